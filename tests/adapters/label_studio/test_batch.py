"""Prediction jobs against a Label Studio over HTTP, worked on by real job functions in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import PROJECT, add_version, setup_body, task
from doubles import Answer, FakeLabelStudio, InlineQueue
from flask.testing import FlaskClient
from sqlalchemy import select

from adapters.label_studio import batch
from adapters.label_studio.access import KIND
from backend.errors import Conflict
from backend.inference.job import PredictionJob
from backend.projects.service import Mirror
from backend.projects.tasks import GivenTask, Task
from backend.services import Services
from backend.settings import Settings
from backend.versions.registry import ModelVersion


@pytest.fixture(autouse=True)
def environment(
    settings: Settings, fake_label_studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:  # job functions read it
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("LABEL_STUDIO_URL", fake_label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", fake_label_studio.legacy_token)
    monkeypatch.setattr(batch, "_RETRIES_S", (0.0, 0.0))


@pytest.fixture
def mirror(client: FlaskClient, services: Services) -> Mirror:
    assert client.post("/setup", json=setup_body()).status_code == 200
    found = services.projects.find(KIND, PROJECT)
    assert found is not None
    return found


@pytest.fixture
def version(services: Services, mirror: Mirror, tmp_path: Path) -> ModelVersion:
    return add_version(services, mirror.label_sets[0], tmp_path / "checkpoint")


@pytest.fixture
def tasks(fake_label_studio: FakeLabelStudio) -> list[dict[str, Any]]:
    """Ten tasks, red and green in turn; every fifth is annotated."""
    made = [task(number, ("red", "green")[number % 2]) for number in range(1, 11)]
    for each in made[::5]:
        each["annotations"] = [{"id": each["id"], "result": []}]
    fake_label_studio.tasks[7] = made
    return made


def work(services: Services, queue: InlineQueue, *, slices: int = 20) -> None:
    """Be clock and worker until nothing waits."""
    for _ in range(slices):
        services.prediction_jobs.advance()
        if not queue.jobs:
            return
        queue.run_all()


def written(fake: FakeLabelStudio) -> dict[int, list[str]]:
    """Return the colours written for each task."""
    found: dict[int, list[str]] = {}
    for made in fake.predictions:
        found.setdefault(made["task"], []).extend(
            colour for item in made["result"] for colour in item["value"]["choices"]
        )
    return found


COLOURS = {number: [("red", "green")[number % 2]] for number in range(1, 11)}


def test_each_task_gets_one_prediction_with_the_version_and_a_score(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "_WINDOW", 3)
    job = services.prediction_jobs.ask(mirror.project.id)

    work(services, queue)

    ended = services.prediction_jobs.get(job.id)
    assert (ended.state, ended.num_tasks, ended.num_done, ended.num_failed) == ("completed", 10, 10, 0)
    assert written(fake_label_studio) == COLOURS
    assert {made["model_version"] for made in fake_label_studio.predictions} == {version.name}
    assert all(0 <= made["score"] <= 1 for made in fake_label_studio.predictions)


def test_the_next_tasks_are_asked_for_before_the_present_ones_are_written(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "_WINDOW", 4)
    services.prediction_jobs.ask(mirror.project.id)

    work(services, queue)

    asked = [
        json.loads(each.query["query"])["filters"]["items"][0]["value"] if each.path == "/api/tasks/" else each.path
        for each in fake_label_studio.asked
    ]
    assert asked.index(4) < asked.index("/api/projects/7/import/predictions")
    assert [made["task"] for made in fake_label_studio.predictions] == list(range(1, 11))


def test_asking_again_writes_nothing_twice(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
) -> None:
    jobs = []
    for _ in range(2):
        jobs.append(services.prediction_jobs.ask(mirror.project.id))
        work(services, queue)

    assert len(fake_label_studio.predictions) == 10
    assert [services.prediction_jobs.get(job.id).num_tasks for job in jobs] == [10, 0]


def test_only_tasks_without_annotations_may_be_asked_for(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
) -> None:
    services.prediction_jobs.ask(mirror.project.id, selection={"is_unlabelled": True})

    work(services, queue)

    assert sorted(written(fake_label_studio)) == [2, 3, 4, 5, 7, 8, 9, 10]


def test_a_job_rests_between_slices_and_goes_on_where_it_was(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "_WINDOW", 4)
    monkeypatch.setattr(batch, "_SLICE_S", 1e-6)
    job = services.prediction_jobs.ask(mirror.project.id)

    work(services, queue)

    ended = services.prediction_jobs.get(job.id)
    assert (ended.state, ended.num_done) == ("completed", 10)
    assert ended.attempt > 2
    assert written(fake_label_studio) == COLOURS


def test_what_a_killed_process_wrote_is_not_written_again(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process dies after Label Studio has stored predictions and before the row says so."""
    monkeypatch.setattr(batch, "_WINDOW", 4)
    job = services.prediction_jobs.ask(mirror.project.id)
    services.prediction_jobs.advance()
    queue.jobs.clear()
    services.prediction_jobs.claim(job.id, 1)
    fake_label_studio.predictions = [
        {"task": number, "result": [], "score": 0.5, "model_version": version.name} for number in (1, 2, 3, 4)
    ]
    with services.database.transaction() as session:
        lost = session.get_one(PredictionJob, job.id)
        assert lost.heartbeat_at is not None
        lost.heartbeat_at = lost.heartbeat_at.replace(year=2020)

    work(services, queue)

    ended = services.prediction_jobs.get(job.id)
    assert (ended.state, ended.num_losses) == ("completed", 0)
    assert sorted(made["task"] for made in fake_label_studio.predictions) == list(range(1, 11))


def test_an_answer_that_got_lost_on_the_way_is_not_written_again(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
) -> None:
    fake_label_studio.break_path("/api/tasks/", Answer(503))
    fake_label_studio.break_path("/api/projects/7/import/predictions", Answer(502))
    job = services.prediction_jobs.ask(mirror.project.id)

    work(services, queue)

    assert services.prediction_jobs.get(job.id).state == "completed"
    assert sorted(made["task"] for made in fake_label_studio.predictions) == list(range(1, 11))


def test_tasks_that_cannot_be_predicted_are_counted_and_named_and_get_nothing(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
) -> None:
    tasks[2]["data"] = {"img": "/data/upload/7/gone.png"}
    tasks[3]["data"] = {}
    job = services.prediction_jobs.ask(mirror.project.id)

    work(services, queue)

    ended = services.prediction_jobs.get(job.id)
    assert (ended.state, ended.num_done, ended.num_failed) == ("completed", 8, 2)
    assert [fault.split(":")[0] for fault in ended.faults] == ["task 3", "task 4"]
    assert not {3, 4} & set(written(fake_label_studio))


def test_a_prediction_that_label_studio_refuses_does_not_hold_the_others_back(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
) -> None:
    fake_label_studio.refuses = lambda made: made["task"] == 6
    job = services.prediction_jobs.ask(mirror.project.id)

    work(services, queue)

    ended = services.prediction_jobs.get(job.id)
    assert (ended.num_done, ended.num_failed) == (9, 1)
    assert "task 6: Label Studio refused" in ended.faults[0]


def test_a_cancelled_job_writes_nothing_more(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
) -> None:
    job = services.prediction_jobs.ask(mirror.project.id)
    services.prediction_jobs.advance()
    services.prediction_jobs.cancel(job.id)

    queue.run_all()
    work(services, queue)

    assert services.prediction_jobs.get(job.id).state == "cancelled"
    assert fake_label_studio.predictions == []
    with pytest.raises(Conflict, match="already ended"):
        services.prediction_jobs.cancel(job.id)


@pytest.mark.parametrize(
    ("is_replacing", "left"), [(True, {"somebody else's"}), (False, {"untrained", "old", "somebody else's"})]
)
def test_old_predictions_of_ours_go_only_when_asked_and_when_all_new_ones_exist(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
    tmp_path: Path,
    is_replacing: bool,
    left: set[str],
) -> None:
    newer = add_version(services, mirror.label_sets[0], tmp_path / "newer", sharpness=9.0)
    names = {"untrained": "untrained", "old": version.name, "somebody else's": "gpt"}
    fake_label_studio.predictions = [
        {"task": 1, "result": [], "score": 0.0, "model_version": name} for name in names.values()
    ]
    services.prediction_jobs.ask(mirror.project.id, is_replacing=is_replacing)

    work(services, queue)

    others = {made["model_version"] for made in fake_label_studio.predictions} - {newer.name}
    assert others == {names[name] for name in left}


def test_old_predictions_stay_where_a_task_has_no_new_one(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
) -> None:
    tasks[2]["data"] = {}
    fake_label_studio.predictions = [{"task": 3, "result": [], "score": 0.0, "model_version": "untrained"}]
    services.prediction_jobs.ask(mirror.project.id, is_replacing=True)

    work(services, queue)

    assert "untrained" in {made["model_version"] for made in fake_label_studio.predictions}


def test_without_an_address_of_label_studio_the_job_fails_with_what_to_set(
    services: Services, mirror: Mirror, version: ModelVersion, queue: InlineQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL")
    job = services.prediction_jobs.ask(mirror.project.id)

    work(services, queue)

    ended = services.prediction_jobs.get(job.id)
    assert ended.state == "failed"
    assert "set LABEL_STUDIO_URL" in (ended.error or "")


class TestOverHttp:
    def test_a_job_can_be_asked_for_watched_and_cancelled(
        self, client: FlaskClient, mirror: Mirror, version: ModelVersion
    ) -> None:
        asked = client.post(f"/tandem/projects/{mirror.project.id}/predictions", json={"is_unlabelled": True})
        job = asked.get_json()

        assert asked.status_code == 202
        assert job["selection"] == {"is_unlabelled": True}
        assert client.get(f"/tandem/predictions/{job['id']}").get_json()["state"] == "queued"
        assert client.post(f"/tandem/projects/{mirror.project.id}/predictions").status_code == 409
        assert client.post(f"/tandem/predictions/{job['id']}/cancel").get_json()["state"] == "cancelled"
        listed = client.get(f"/tandem/projects/{mirror.project.id}/predictions").get_json()["jobs"]
        assert [each["id"] for each in listed] == [job["id"]]

    def test_an_untrained_project_has_nothing_to_predict_with(self, client: FlaskClient, mirror: Mirror) -> None:
        answered = client.post(f"/tandem/projects/{mirror.project.id}/predictions")

        assert (answered.status_code, answered.get_json()["code"]) == (409, "untrained")


@pytest.mark.parametrize("chosen", [(2, 3, 9), (10,), tuple(range(1, 11))])
def test_named_tasks_are_predicted_and_no_others(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
    chosen: tuple[int, ...],
) -> None:
    monkeypatch.setattr(batch, "_WINDOW", 2)
    job = ask_for(services, mirror, chosen)

    work(services, queue)

    ended = services.prediction_jobs.get(job.id)
    assert (ended.state, ended.num_tasks, ended.num_done) == ("completed", len(chosen), len(chosen))
    assert written(fake_label_studio) == {number: COLOURS[number] for number in chosen}


def test_named_tasks_that_have_a_prediction_or_are_gone_are_passed_over(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "_WINDOW", 2)
    ask_for(services, mirror, (2, 3, 5, 9))
    for number in (2, 3, 4):
        fake_label_studio.predictions.append({"task": number, "model_version": version.name, "result": []})
    tasks[:] = [each for each in tasks if each["id"] != 9]

    work(services, queue)

    assert written(fake_label_studio) == {2: [], 3: [], 4: [], 5: COLOURS[5]}


def test_jobs_that_can_wait_follow_one_another(
    services: Services,
    mirror: Mirror,
    version: ModelVersion,
    tasks: list[dict[str, Any]],
    queue: InlineQueue,
    fake_label_studio: FakeLabelStudio,
) -> None:
    jobs = [ask_for(services, mirror, chosen) for chosen in ((1, 2), (2, 3))]
    services.prediction_jobs.advance()
    begun = [services.prediction_jobs.get(job.id).attempt for job in jobs]

    work(services, queue)

    assert begun == [1, 0]
    assert [services.prediction_jobs.get(job.id).state for job in jobs] == ["completed", "completed"]
    assert written(fake_label_studio) == {number: COLOURS[number] for number in (1, 2, 3)}


def ask_for(services: Services, mirror: Mirror, chosen: tuple[int, ...]) -> PredictionJob:
    """Ask for tasks 1 … 10 of Label Studio that are known here to be predicted, some of them."""
    services.tasks.replace(mirror.project.id, [GivenTask(str(number), {}, ()) for number in range(1, 11)])
    with services.database.reading() as session:
        known = session.execute(select(Task.number, Task.external_id).filter_by(project_id=mirror.project.id))
        numbers = [row.number for row in known if int(row.external_id) in chosen]
    selection = {"numbers": services.blobs.put(json.dumps(sorted(numbers)).encode())}
    return services.prediction_jobs.ask(mirror.project.id, selection=selection, can_wait=True)
