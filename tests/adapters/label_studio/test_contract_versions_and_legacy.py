"""Sections A.8 and A.9 of the contract: GET /versions, and the routes that older and other clients call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import CONFIG, PROJECT, add_version, annotation, counted, predict_body, setup_body, task
from doubles import InlineQueue
from flask.testing import FlaskClient

from adapters.label_studio.access import KIND
from backend.projects.service import Mirror
from backend.services import Services
from backend.settings import Settings
from backend.training.run import RunState
from backend.versions.registry import UNTRAINED, ModelVersion

TRAIN = {
    "annotations": [
        {**task(1), "annotations": [annotation(1, 1)]},
        {**task(2, "green"), "annotations": [annotation(2, 2, "green")]},
    ],
    "project": PROJECT,
    "label_config": CONFIG,
    "params": {"login": None, "password": None},
}
UNLEARNABLE = '<View><Text name="t" value="$t"/><TextArea name="note" toName="t"/></View>'


class TestVersions:
    def test_before_any_set_up_there_is_the_untrained_one(self, client: FlaskClient) -> None:
        """C-071."""
        assert client.get("/versions").get_json() == {"versions": [UNTRAINED]}

    def test_all_versions_are_listed(
        self, client: FlaskClient, services: Services, mirror: Mirror, tmp_path: Path
    ) -> None:
        """C-071: GET does not say which project, POST does."""
        names = [add_version(services, mirror.label_sets[0], tmp_path, sharpness=s).name for s in (5, 10, 20)]
        client.post("/setup", json=setup_body(project="8.1"))

        assert client.get("/versions").get_json() == {"versions": [*names, UNTRAINED]}
        assert client.post("/versions", json={"project": PROJECT}).get_json() == {"versions": names}
        assert client.post("/versions", json={"project": "8.1"}).get_json() == {"versions": [UNTRAINED]}
        assert set(client.post("/versions", json={}).get_json()["versions"]) == {*names, UNTRAINED}

    def test_those_of_an_unknown_project_are_404(self, client: FlaskClient) -> None:
        assert client.post("/versions", json={"project": "9.1"}).get_json()["code"] == "project_not_found"

    def test_the_version_in_use_is_among_them(self, client: FlaskClient, version: ModelVersion) -> None:
        """Issue 2: /setup, /versions and every prediction agree."""
        named = client.post("/setup", json=setup_body()).get_json()["model_version"]
        [entry] = client.post("/predict", json=predict_body(task(1))).get_json()["results"]

        assert entry["model_version"] == named
        assert named in client.get("/versions").get_json()["versions"]


class TestTrain:
    def test_a_job_is_made_of_the_tasks_in_the_body(
        self,
        client: FlaskClient,
        services: Services,
        queue: InlineQueue,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """C-072: the project need not have been set up, and Label Studio is not asked."""
        monkeypatch.setenv("TANDEM_HOME", str(settings.home))

        response = client.post("/train", json=TRAIN)
        services.training.advance()
        queue.run_all()

        assert response.status_code == 201
        run = services.training.get(response.get_json()["job"])
        assert run.snapshot is not None, run.error
        label_set = services.projects.get_label_set(run.label_set_id)
        items = services.tasks.labelled_items(label_set)
        assert [(item.key, item.regions[0].label) for item in items] == [("1", "red"), ("2", "green")]

    def test_what_is_not_needed_is_not_kept(self, client: FlaskClient, services: Services, settings: Settings) -> None:
        client.post("/train", json={**TRAIN, "params": {"login": "viewer", "password": "hush"}})

        assert not any(b"hush" in path.read_bytes() for path in settings.home.rglob("*") if path.is_file())

    @pytest.mark.parametrize(
        "changed",
        [
            {"annotations": []},
            {"annotations": [task(1)]},
            {"annotations": [{"id": 1}]},
            {"annotations": None},
            {"annotations": {}},
            {"annotations": [{**task(1), "annotations": 5}]},
            {"annotations": [{**task(1), "annotations": [{"id": 2**64}]}]},
            {"project": None},
            {"project": "seven"},
            {"label_config": "<View>"},
            {"label_config": UNLEARNABLE},
        ],
    )
    def test_a_body_without_annotations_or_with_broken_ones_is_400(
        self, client: FlaskClient, services: Services, changed: dict[str, Any]
    ) -> None:
        """C-072."""
        response = client.post("/train", json={**TRAIN, **changed})

        assert response.status_code == 400
        assert services.training.num_by_state()["pending"] == 0

    def test_without_a_config_that_of_the_set_up_counts(self, client: FlaskClient, mirror: Mirror) -> None:
        assert client.post("/train", json={**TRAIN, "label_config": None}).status_code == 201

    def test_without_any_config_it_is_404(self, client: FlaskClient) -> None:
        assert client.post("/train", json={**TRAIN, "label_config": None}).status_code == 404


class TestJobStatus:
    @pytest.mark.parametrize(
        ("states", "status"),
        [
            ([], "queued"),
            ([RunState.QUEUED], "queued"),
            ([RunState.QUEUED, RunState.RUNNING], "started"),
            ([RunState.QUEUED, RunState.RUNNING, RunState.COMPLETED], "finished"),
            ([RunState.FAILED], "failed"),
            ([RunState.CANCELLED], "failed"),
        ],
    )
    def test_each_state_has_a_word_of_label_studio(
        self, client: FlaskClient, services: Services, mirror: Mirror, states: list[RunState], status: str
    ) -> None:
        """C-073."""
        [run] = services.training.wish(mirror.project.id, reason="test")
        with services.database.transaction() as session:
            stored = session.get_one(type(run), run.id)
            for state in states:
                stored.move(state)

        body = client.post("/job_status", json={"job": run.id}).get_json()

        assert body["job_status"] == status
        assert body["created_at"] is not None
        assert (body["ended_at"] is not None) == (status in {"finished", "failed"})
        assert body.keys() == {
            "job_status",
            "error",
            "created_at",
            "enqueued_at",
            "started_at",
            "ended_at",
            "result",
        }

    @pytest.mark.parametrize("job", ["", "none", "' OR 1=1 --", "é"])
    def test_an_unknown_job_is_410(self, client: FlaskClient, job: str) -> None:
        """C-073."""
        response = client.post("/job_status", json={"job": job})

        assert (response.status_code, response.mimetype) == (410, "application/json")

    @pytest.mark.parametrize("job", [None, 5, [], {}])
    def test_a_job_that_is_no_text_is_400(self, client: FlaskClient, job: object) -> None:
        assert client.post("/job_status", json={"job": job}).status_code == 400


class TestOthers:
    """C-074."""

    def test_is_training_tells_while_a_run_has_not_ended(
        self, client: FlaskClient, services: Services, mirror: Mirror
    ) -> None:
        answers = [client.get(f"/is_training?project={PROJECT}").get_json()]
        [run] = services.training.wish(mirror.project.id, reason="test")
        answers.append(client.get(f"/is_training?project={PROJECT}").get_json())
        services.training.cancel(run.id)
        answers.append(client.get(f"/is_training?project={PROJECT}").get_json())

        idle = {"is_training": False, "jobs": []}
        assert answers == [idle, {"is_training": True, "jobs": [run.id]}, idle]

    def test_an_unknown_project_is_not_training(self, client: FlaskClient) -> None:
        assert client.get("/is_training?project=9.1").get_json() == {"is_training": False, "jobs": []}

    def test_validate_says_what_is_learnt_and_why_the_rest_is_not(self, client: FlaskClient) -> None:
        both = CONFIG.replace("</View>", '<TextArea name="note" toName="photo"/></View>')

        response = client.post("/validate", json={"config": both})

        assert response.status_code == 200
        assert response.get_json()["controls"] == ["colour"]
        assert "TextArea" in response.get_json()["not_learnt"]["note"]

    @pytest.mark.parametrize("config", ["<View>", "<View/>", UNLEARNABLE, "", None, 5])
    def test_validate_refuses_what_cannot_be_learnt(self, client: FlaskClient, config: object) -> None:
        response = client.post("/validate", json={"config": config})

        assert response.status_code == 400
        assert response.get_json()["detail"]

    def test_delete_forgets_what_was_computed_and_nothing_else(
        self, client: FlaskClient, version: ModelVersion
    ) -> None:
        first = client.post("/predict", json=predict_body(task(1))).get_json()
        computed = counted("tandem_prediction_seconds_count")

        assert client.post("/delete", json={"project": PROJECT}).status_code == 200
        assert client.post("/delete", json={"project": "9.1"}).status_code == 200

        assert client.post("/predict", json=predict_body(task(1))).get_json() == first
        assert counted("tandem_prediction_seconds_count") == computed + 1
        assert client.get("/versions").get_json() == {"versions": [version.name]}

    def test_duplicate_model_lets_a_version_answer_for_another_project(
        self, client: FlaskClient, services: Services, version: ModelVersion
    ) -> None:
        client.post("/setup", json=setup_body(project="8.1"))

        response = client.post("/duplicate_model", json={"project_src": PROJECT, "project_dst": "8.1"})

        assert response.status_code == 200
        [entry] = client.post("/predict", json=predict_body(task(1, "green"), project="8.1")).get_json()["results"]
        assert entry["model_version"] == response.get_json()["model_version"] != UNTRAINED
        assert entry["result"][0]["value"] == {"choices": ["green"]}
        original = services.projects.find(KIND, PROJECT)
        assert original is not None
        assert original.label_sets[0].version_id == version.id

    @pytest.mark.parametrize("pair", [("9.1", PROJECT), (PROJECT, "9.1")])
    def test_duplicate_model_of_an_unknown_project_is_404(
        self, client: FlaskClient, mirror: Mirror, pair: tuple[str, str]
    ) -> None:
        response = client.post("/duplicate_model", json=dict(zip(("project_src", "project_dst"), pair, strict=True)))

        assert response.status_code == 404

    def test_metrics_are_for_prometheus(self, client: FlaskClient, version: ModelVersion) -> None:
        """C-075."""
        client.post("/predict", json=predict_body(task(1)))
        client.get("/nothing")

        response = client.get("/metrics")

        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = response.get_data(as_text=True)
        for line in (
            'tandem_requests_total{route="contract.predict",status="200"}',
            'tandem_request_seconds_bucket{le="0.1",route="contract.predict"}',
            'tandem_queue_depth{queue="tandem-training"} 0.0',
            "tandem_queue_up 1.0",
            'tandem_runs{state="running"} 0.0',
            "tandem_model_loads_total",
            "tandem_changes_waiting 0.0",
            "# TYPE tandem_errors_total counter",
        ):
            assert line in text

    def test_metrics_as_json_are_an_empty_object(self, client: FlaskClient) -> None:
        """C-075."""
        response = client.get("/metrics", headers={"Accept": "application/json"})

        assert (response.get_json(), response.mimetype) == ({}, "application/json")
