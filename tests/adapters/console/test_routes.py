"""Routes for people and scripts, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import PROJECT, add_version, annotation, predict_body, setup_body, task, webhook_body
from doubles import InlineQueue
from flask.testing import FlaskClient

from adapters.label_studio.access import KIND
from backend.projects.service import Mirror
from backend.services import Services
from backend.training.run import TrainingRun
from backend.versions.registry import UNTRAINED, ModelVersion


@pytest.fixture
def mirror(client: FlaskClient, services: Services) -> Mirror:
    client.post("/setup", json=setup_body())
    found = services.projects.find(KIND, PROJECT)
    assert found is not None
    return found


@pytest.fixture
def versions(services: Services, mirror: Mirror, tmp_path: Path) -> list[ModelVersion]:
    """Three versions; the last one is in use."""
    return [add_version(services, mirror.label_sets[0], tmp_path, sharpness=s) for s in (5, 10, 20)]


def in_use(client: FlaskClient) -> str:
    name: str = client.get(f"/tandem/projects/{PROJECT}").get_json()["model_version"]
    predicted = client.post("/predict", json=predict_body(task(1))).get_json()["results"][0]["model_version"]
    assert client.post("/setup", json=setup_body()).get_json()["model_version"] == name == predicted
    return name


class TestStatus:
    def test_nothing_is_there_at_first(self, client: FlaskClient) -> None:
        assert client.get("/tandem/status").get_json() == {"projects": []}

    def test_a_project_is_described(self, client: FlaskClient, mirror: Mirror) -> None:
        client.post("/webhook", json=webhook_body("ANNOTATION_CREATED", annotation=annotation(1, 1)))

        [project] = client.get("/tandem/status").get_json()["projects"]

        assert project["uid"] == PROJECT
        assert (project["state"], project["readable_state"]) == ("CO", "Connected")
        assert project["model_version"] == UNTRAINED
        assert project["num_changes_waiting"] == 1
        assert project["label_sets"][0]["labels"] == ["red", "green"]
        assert "token" not in str(project)

    @pytest.mark.parametrize("name", ["7", PROJECT, "id"])
    def test_a_project_is_found_by_number_uid_and_id(self, client: FlaskClient, mirror: Mirror, name: str) -> None:
        wanted = mirror.project.id if name == "id" else name

        assert client.get(f"/tandem/projects/{wanted}").get_json()["id"] == mirror.project.id

    @pytest.mark.parametrize("name", ["8", "7.1", "%25", "' OR 1=1 --", "é"])
    def test_an_unknown_project_is_404(self, client: FlaskClient, mirror: Mirror, name: str) -> None:
        response = client.get(f"/tandem/projects/{name}")

        assert response.status_code == 404
        assert response.get_json()["code"] == "project_not_found"

    def test_a_number_of_two_installations_is_ambiguous(self, client: FlaskClient, mirror: Mirror) -> None:
        client.post("/setup", json=setup_body(project="7.1600000000"))

        assert "several projects fit" in client.get("/tandem/projects/7").status

    def test_a_run_makes_the_state_training(self, client: FlaskClient, mirror: Mirror) -> None:
        [run] = client.post("/tandem/projects/7/train").get_json()["runs"]

        project = client.get("/tandem/projects/7").get_json()
        assert (project["state"], project["newest_run"]["id"]) == ("TR", run["id"])
        assert client.post(f"/tandem/runs/{run['id']}/cancel").get_json()["state"] == "cancelled"
        assert client.get("/tandem/projects/7").get_json()["state"] == "CO"


class TestPolicy:
    def test_it_is_changed_and_kept(self, client: FlaskClient, mirror: Mirror) -> None:
        changes = {"promotion": "when_better", "train_every": 0, "train_quiet_s": 1.5}

        changed = client.patch("/tandem/projects/7", json=changes).get_json()

        assert {name: changed[name] for name in changes} == changes
        assert client.patch("/tandem/projects/7", json={}).get_json() == changed

    @pytest.mark.parametrize(
        "body",
        [
            [],
            None,
            {"promotion": "sometimes"},
            {"promotion": []},
            {"promotion": 1},
            {"train_every": -1},
            {"train_every": 1.5},
            {"train_every": "20"},
            {"train_every": True},
            {"train_every": 10**400},
            {"train_quiet_s": []},
            {"train_quiet_s": 1e9},
        ],
    )
    def test_values_that_make_no_sense_change_nothing(self, client: FlaskClient, mirror: Mirror, body: object) -> None:
        before = client.get("/tandem/projects/7").get_json()

        response = client.patch("/tandem/projects/7", json=body)

        assert response.status_code == 400
        assert response.get_json()["code"] == "body_invalid"
        assert client.get("/tandem/projects/7").get_json() == before


class TestVersions:
    def test_they_are_listed_with_their_lineage(self, client: FlaskClient, versions: list[ModelVersion]) -> None:
        listed = client.get("/tandem/projects/7/versions").get_json()["versions"]

        assert [row["name"] for row in listed] == [version.name for version in versions]
        assert [row["is_in_use"] for row in listed] == [False, False, True]
        assert listed[0].keys() >= {"snapshot", "settings", "libraries", "metrics", "weights_source", "run_id"}

    def test_promoting_pinning_and_rolling_back_answer_at_once(
        self, client: FlaskClient, mirror: Mirror, versions: list[ModelVersion]
    ) -> None:
        label_set = mirror.label_sets[0].id
        names = [version.name for version in versions]
        assert in_use(client) == names[2]

        assert client.post(f"/tandem/label-sets/{label_set}/rollback").get_json()["name"] == names[1]
        assert in_use(client) == names[1]
        client.post(f"/tandem/projects/7/versions/{names[0]}/promote")
        assert in_use(client) == names[0]
        client.post(f"/tandem/projects/7/versions/{names[2]}/pin")
        assert in_use(client) == names[2]
        assert client.get("/tandem/projects/7").get_json()["label_sets"][0]["is_pinned"]
        unpinned = client.post(f"/tandem/label-sets/{label_set}/unpin").get_json()
        assert not unpinned["label_sets"][0]["is_pinned"]

    def test_without_an_earlier_version_there_is_no_way_back(self, client: FlaskClient, mirror: Mirror) -> None:
        response = client.post(f"/tandem/label-sets/{mirror.label_sets[0].id}/rollback")

        assert (response.status_code, response.get_json()["code"]) == (409, "no_earlier_version")

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("projects/7/versions/none/pin", 404),
            ("projects/8/versions/none/pin", 404),
            ("label-sets/none/rollback", 404),
            ("label-sets/none/unpin", 404),
            ("runs/none/cancel", 404),
            ("projects/8/train", 404),
            ("label-sets/%00/rollback", 400),
        ],
    )
    def test_what_is_not_there_cannot_be_changed(
        self, client: FlaskClient, mirror: Mirror, path: str, status: int
    ) -> None:
        assert client.post(f"/tandem/{path}").status_code == status

    def test_an_unknown_act_is_400(self, client: FlaskClient, versions: list[ModelVersion]) -> None:
        response = client.post(f"/tandem/projects/7/versions/{versions[0].name}/frame")

        assert response.get_json()["code"] == "unknown_act"
        assert in_use(client) == versions[2].name


class TestRuns:
    @pytest.fixture
    def run(self, client: FlaskClient, mirror: Mirror) -> dict[str, Any]:
        [made] = client.post("/tandem/projects/7/train").get_json()["runs"]
        return dict(made)

    def test_asking_twice_is_one_run(self, client: FlaskClient, run: dict[str, Any]) -> None:
        again = client.post("/tandem/projects/7/train")

        assert again.status_code == 202
        assert [row["id"] for row in again.get_json()["runs"]] == [run["id"]]
        assert [row["id"] for row in client.get("/tandem/projects/7/runs").get_json()["runs"]] == [run["id"]]

    def test_the_log_is_read_from_any_line_on(
        self, client: FlaskClient, services: Services, run: dict[str, Any]
    ) -> None:
        for text in ("one", "two", "three"):
            services.training.add_line(services.training.get(run["id"]), text)

        log = client.get(f"/tandem/runs/{run['id']}").get_json()["log"]
        rest = client.get(f"/tandem/runs/{run['id']}?after={log[0]['number']}").get_json()["log"]

        assert [line["text"] for line in log] == ["one", "two", "three"]
        assert rest == log[1:]

    def test_progress_is_shown_from_when_it_is_known_how_far_a_run_is(
        self, client: FlaskClient, services: Services, run: dict[str, Any]
    ) -> None:
        def shown(progress: dict[str, Any]) -> Any:
            with services.database.transaction() as session:
                session.get_one(TrainingRun, run["id"]).progress = progress
            return client.get(f"/tandem/runs/{run['id']}").get_json()["progress"]

        assert shown({"dataset": {"num_train": 8}}) == {}
        assert shown({"dataset": {"num_train": 8}, "fraction": 0.5})["fraction"] == 0.5

    @pytest.mark.parametrize("after", ["-1", "0", "x", "", "99999999999", "9" * 30, "9" * 5000])
    def test_any_line_number_is_answered(self, client: FlaskClient, run: dict[str, Any], after: str) -> None:
        assert client.get(f"/tandem/runs/{run['id']}?after={after}").get_json()["log"] == []

    def test_a_run_ends_once(self, client: FlaskClient, queue: InlineQueue, run: dict[str, Any]) -> None:
        assert client.post(f"/tandem/runs/{run['id']}/cancel").status_code == 200

        again = client.post(f"/tandem/runs/{run['id']}/cancel")

        assert (again.status_code, again.get_json()["code"]) == (409, "illegal_transition")
