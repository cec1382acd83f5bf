"""Predictions by another ML backend over real HTTP, asked for by real job functions in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from agent_projects import add_images
from builders import CONFIG, PROJECT, task
from doubles import Answer, Asked, FakeLabelStudio, FakeWeb, InlineQueue, as_json
from sqlalchemy import select

from adapters.label_studio.backends import jobs
from adapters.label_studio.backends.predicting import predict_there
from adapters.label_studio.backends.there import There
from adapters.label_studio.backends.wire import PredictOut
from backend.connections.ml_backends import MLBackend
from backend.inference.job import PredictionJob
from backend.predictions.foreign import ForeignPrediction, Said
from backend.projects.service import LabelSet, Mirror
from backend.services import Services
from backend.settings import Settings
from backend.storage.columns import utc_now

RESULT = [{"from_name": "colour", "to_name": "photo", "type": "choices", "value": {"choices": ["red"]}}]
SECRET = {"auth_method": "BASIC_AUTH", "basic_auth_user": "ann", "basic_auth_pass": "correct horse"}


def predict(asked: Asked) -> Answer:
    """Find the same in every task."""
    sent = json.loads(asked.body)["tasks"]
    return as_json({"results": [{"result": RESULT, "score": 0.5, "model_version": "v1"} for _ in sent]})


@pytest.fixture
def backend(fake_web: FakeWeb, monkeypatch: pytest.MonkeyPatch) -> FakeWeb:
    """A healthy ML backend that serves v1."""
    monkeypatch.setattr(jobs, "_RETRIES_S", (0.0, 0.0))
    monkeypatch.setattr(jobs, "_WINDOW", 4)
    fake_web.answers |= {"/health": as_json({"status": "UP"}), "/setup": as_json({"model_version": "v1"})}
    fake_web.answers["/predict"] = predict
    return fake_web


def batches(backend: FakeWeb) -> list[list[int]]:
    """Return the tasks of each request."""
    return [[task["id"] for task in json.loads(asked.body)["tasks"]] for asked in backend.asked_for("/predict")]


# A project that was made here.


@pytest.fixture
def path(caller, services: Services, backend: FakeWeb, label_set: LabelSet) -> str:
    """Of that backend, registered for a project with twelve images."""
    add_images(services, label_set, ["red", "green"] * 6)
    number = services.projects.get(label_set.project_id).project.number
    return f"/api/ml/{caller.add(project=number, url=backend.url, **SECRET)['id']}"


def kept(services: Services) -> list[ForeignPrediction]:
    with services.database.reading() as session:
        return list(session.scalars(select(ForeignPrediction).order_by(ForeignPrediction.task_id)))


def test_as_many_images_are_predicted_as_wanted_and_then_the_others(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    """N-011."""
    answered, predicted = [], []
    for query in ("?batch_size=5", "", ""):
        answered.append(caller.ok("POST", f"{path}/predict{query}"))
        work()
        predicted.append(len(kept(services)))

    assert [(each["tasks"], each["batch_size"]) for each in answered] == [(5, 5), (7, None), (0, None)]
    assert predicted == [5, 12, 12]
    assert [len(batch) for batch in batches(backend)] == [4, 1, 4, 3]
    assert {(each.model_version, each.score) for each in kept(services)} == {("v1", 0.5)}
    assert (answered[0]["run_id"], answered[2]["job_id"]) == (None, None)


def test_a_backend_is_asked_as_label_studio_asks_it(
    caller, label_set: LabelSet, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    caller.ok("POST", f"{path}/predict")
    work()

    first = backend.asked_for("/predict")[0]
    body = json.loads(first.body)
    project = services.projects.get(label_set.project_id).project
    assert first.authorization == "Basic YW5uOmNvcnJlY3QgaG9yc2U="
    assert set(body) == {"tasks", "project", "label_config", "params"}
    assert body["project"] == f"{project.number}.{int(project.created_at.timestamp())}"
    assert body["params"] == {"login": None, "password": None, "context": None}
    assert body["tasks"][0]["data"]["image"].startswith("data:")


def test_predicting_shows_until_it_ends_and_asking_twice_makes_one_job(
    caller, path: str, work: Callable[[], None]
) -> None:
    first, second = (caller.ok("POST", f"{path}/predict") for _ in range(2))
    during = caller.ok("GET", path)
    work()

    assert first["job_id"] == second["job_id"]
    assert "in progress" in second["message"]
    assert (during["state"], caller.ok("GET", path)["state"]) == ("PR", "CO")


def test_a_version_that_answers_otherwise_keeps_its_name(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    named = [{"result": [], "model_version": name} for name in ("v2", None, "")] + [{"result": []}]
    backend.answers["/predict"] = as_json({"results": named})

    caller.ok("POST", f"{path}/predict?batch_size=4")
    work()

    assert [(each.model_version, each.score) for each in kept(services)] == [
        ("v2", None),
        ("v1", None),
        ("v1", None),
        ("v1", None),
    ]


def test_tasks_without_an_answer_are_counted_and_the_others_kept(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    unnameable = {"result": RESULT, "model_version": "\0"}
    answers: list[Any] = [{"result": RESULT}, {"result": "red"}, [], unnameable]
    backend.answers["/predict"] = as_json({"results": answers})

    job_id = caller.ok("POST", f"{path}/predict?batch_size=4")["job_id"]
    work()

    job, seen = services.prediction_jobs.get(job_id), caller.ok("GET", path)
    assert (job.state, job.num_done, job.num_failed, len(kept(services))) == ("completed", 1, 3, 1)
    assert seen["state"] == "ER"
    assert seen["error_message"].startswith("3 of 4 tasks could not be predicted: task ")


@pytest.mark.parametrize("refusal", [Answer(500), as_json({"results": [{"result": RESULT}]}), as_json({"results": []})])
def test_a_backend_that_fails_on_several_tasks_is_asked_one_by_one(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None], refusal: Answer
) -> None:
    backend.break_path("/predict", refusal)

    caller.ok("POST", f"{path}/predict?batch_size=4")
    work()

    assert [len(batch) for batch in batches(backend)] == [4, 1, 1, 1, 1]
    assert len(kept(services)) == 4


def test_a_backend_that_answers_for_no_task_is_not_asked_for_ever(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_FAULTS_IN_A_ROW", 3)
    backend.answers["/predict"] = as_json({"detail": "no weights"}, 500)

    job_id = caller.ok("POST", f"{path}/predict")["job_id"]
    work()

    job = services.prediction_jobs.get(job_id)
    assert (job.state, job.num_failed) == ("failed", 3)
    assert "no weights" in str(job.error)
    assert caller.ok("GET", path)["error_message"] == job.error


def test_a_backend_that_went_down_ends_the_job_with_a_reason(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    job_id = caller.ok("POST", f"{path}/predict")["job_id"]
    backend.answers |= {"/health": Answer(500), "/predict": Answer(502)}

    work()

    job = services.prediction_jobs.get(job_id)
    assert job.state == "failed"
    assert "does not answer any more" in str(job.error)
    assert caller.ok("GET", path)["state"] == "DI"
    assert caller.ask("POST", f"{path}/predict").status_code == 502


def test_a_backend_may_take_as_long_as_its_record_says(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    caller.ok("PATCH", path, json={"timeout": 0.2})
    backend.break_path("/predict", Answer(delay_s=0.6))

    caller.ok("POST", f"{path}/predict?batch_size=2")
    work()

    assert [len(batch) for batch in batches(backend)] == [2, 1, 1]


def test_what_was_said_goes_along_the_next_time(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    caller.ok("POST", f"{path}/predict?batch_size=1")
    work()
    backend.answers["/setup"] = as_json({"model_version": "v2"})

    caller.ok("POST", f"{path}/predict?batch_size=1")
    work()

    [sent] = json.loads(backend.asked_for("/predict")[-1].body)["tasks"]
    assert sent["predictions"] == [{"result": RESULT, "score": 0.5, "model_version": "v1"}]


def test_a_slice_rests_and_the_next_one_goes_on(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_SLICE_S", 0.0)

    job_id = caller.ok("POST", f"{path}/predict")["job_id"]
    work()

    job = services.prediction_jobs.get(job_id)
    assert (job.state, job.num_done) == ("completed", 12)
    assert job.attempt > 2
    assert len({number for batch in batches(backend) for number in batch}) == 12


def test_after_a_kill_the_next_process_asks_for_nothing_that_is_kept(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    job_id = caller.ok("POST", f"{path}/predict")["job_id"]
    services.prediction_jobs.advance()
    job = services.prediction_jobs.claim(job_id, 1)
    tasks = services.foreign_predictions.lacking(job.project_id, "v1", after=0, limit=3)
    services.foreign_predictions.keep(job.project_id, [Said(each.number, "v1", [], None) for each in tasks])
    with services.database.transaction() as session:
        session.get_one(PredictionJob, job_id).heartbeat_at = utc_now() - timedelta(hours=1)

    work()

    assert (services.prediction_jobs.get(job_id).state, len(kept(services))) == ("completed", 12)
    assert sum(map(len, batches(backend))) == 9


def test_a_cancelled_job_keeps_nothing_more(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    job_id = caller.ok("POST", f"{path}/predict")["job_id"]

    def cancel(asked: Asked) -> Answer:
        services.prediction_jobs.cancel(job_id)
        return predict(asked)

    backend.answers["/predict"] = cancel
    work()

    assert (services.prediction_jobs.get(job_id).state, kept(services)) == ("cancelled", [])


def test_a_backend_that_was_removed_is_not_asked(
    caller, services: Services, path: str, backend: FakeWeb, work: Callable[[], None]
) -> None:
    job_id = caller.ok("POST", f"{path}/predict")["job_id"]
    caller.ask("DELETE", path)

    work()

    assert "removed" in str(services.prediction_jobs.get(job_id).error)
    assert batches(backend) == []


def test_a_backend_that_names_no_version_must_be_given_one(
    caller, services: Services, path: str, backend: FakeWeb
) -> None:
    backend.answers["/setup"] = as_json({})
    with services.database.transaction() as session:
        session.get_one(MLBackend, int(path.rpartition("/")[2])).model_version = ""

    refused = caller.ask("POST", f"{path}/predict")
    caller.ok("PATCH", path, json={"auto_update": False, "model_version": "mine"})

    assert (refused.status_code, refused.get_json()["code"]) == (409, "MODEL_NOT_READY")
    assert caller.ok("POST", f"{path}/predict")["tasks"] == 12


def test_a_test_request_shows_what_was_asked_and_answered(caller, path: str, backend: FakeWeb) -> None:
    shown = caller.ok("POST", f"{path}/predict/test?random=true")

    assert (shown["status"], shown["error_message"], shown["url"]) == (200, None, f"{backend.url}/predict")
    assert json.loads(backend.asked_for("/predict")[0].body) == shown["request"]
    assert shown["request"]["tasks"] == [shown["task"]]
    assert shown["response"] == [{"result": RESULT, "score": 0.5, "model_version": "v1"}]
    assert list(caller.wrong("POST", f"{path}/predict/test")) == ["random"]


def test_a_test_request_that_fails_says_why(caller, path: str, backend: FakeWeb) -> None:
    backend.answers["/predict"] = as_json({"detail": "no weights"}, 500)

    failed = caller.ask("POST", f"{path}/predict/test?random=true")

    assert failed.status_code == 502
    assert "no weights" in failed.get_json()["detail"]


# A project that lives in Label Studio.


@pytest.fixture
def asking(
    caller,
    mirror: Mirror,
    settings: Settings,
    services: Services,
    backend: FakeWeb,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., PredictOut]]:
    """Ask for predictions of twelve tasks of `mirror`, with a token for its Label Studio."""
    monkeypatch.setenv("LABEL_STUDIO_URL", fake_label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", fake_label_studio.legacy_token)
    fake_label_studio.tasks[7] = [task(number, "red") for number in range(1, 13)]
    principal = services.accounts.authenticate(caller.key)
    made = services.ml_backends.create(principal, MLBackend(project_id=mirror.project.id, url=backend.url))
    access = {"label_studio_url": fake_label_studio.url, "label_studio_api_key": fake_label_studio.legacy_token}
    with closing(Services.build(Settings(home=settings.home, device="cpu", **access), queue=InlineQueue())) as built:

        def ask(batch_size: int | None = None) -> PredictOut:
            seen = There(built, made, "").look()
            return predict_there(built, made, seen, batch_size)[1]

        yield ask


def test_predictions_are_written_into_label_studio(
    asking: Callable[..., PredictOut], backend: FakeWeb, fake_label_studio: FakeLabelStudio, work: Callable[[], None]
) -> None:
    """N-011."""
    answered, written = [], []
    for batch_size in (5, None, None):
        answered.append(asking(batch_size))
        work()
        written.append(len(fake_label_studio.predictions))

    assert [each.tasks for each in answered] == [5, 7, 0]
    assert written == [5, 12, 12]
    assert fake_label_studio.predictions[0] == {"task": 1, "result": RESULT, "score": 0.5, "model_version": "v1"}
    body = json.loads(backend.asked_for("/predict")[0].body)
    assert (body["project"], body["label_config"], body["tasks"][0]["id"]) == (PROJECT, CONFIG, 1)


def test_what_label_studio_refuses_is_counted(
    asking: Callable[..., PredictOut], services: Services, fake_label_studio: FakeLabelStudio, work: Callable[[], None]
) -> None:
    fake_label_studio.refuses = lambda made: made["task"] == 3

    job_id = asking().job_id
    work()

    job = services.prediction_jobs.get(str(job_id))
    assert (job.state, job.num_done, job.num_failed) == ("completed", 11, 1)
    assert job.faults[0].startswith("task 3: Label Studio refused")


def test_a_label_studio_that_is_away_for_a_moment_is_asked_again(
    asking: Callable[..., PredictOut], services: Services, fake_label_studio: FakeLabelStudio, work: Callable[[], None]
) -> None:
    job_id = asking().job_id
    fake_label_studio.break_path("/api/tasks/", Answer(502))
    fake_label_studio.break_path("/api/projects/7/import/predictions", Answer(502))

    work()

    assert services.prediction_jobs.get(str(job_id)).state == "completed"
    assert sorted(made["task"] for made in fake_label_studio.predictions) == list(range(1, 13))
