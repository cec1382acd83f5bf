"""Predicting as many tasks as wanted, of those without predictions, in a project that was made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from agent_projects import add_images, make_label_set
from builders import build_checkpoint
from sqlalchemy import func, select

from backend.projects.service import LabelSet
from backend.projects.tasks import Prediction
from backend.services import Services
from backend.training.run import RunState, TrainingRun
from backend.versions.registry import ModelVersion


def make_path(caller, services: Services, label_set: LabelSet) -> str:
    """Register this server for the project; return where it predicts."""
    number = services.projects.get(label_set.project_id).project.number
    return f"/api/ml/{caller.add(project=number)['id']}/predict"


@pytest.fixture
def train(caller, services: Services, tmp_path: Path) -> Callable[..., ModelVersion]:
    """Let a version answer that a run has made; other sharpness makes another version."""
    principal = services.accounts.authenticate(caller.key)

    def trained(label_set: LabelSet, *, sharpness: float = 20.0) -> ModelVersion:
        run = services.runs.describe(principal, label_set.id)
        folder = tmp_path / f"{label_set.id}-{sharpness}"
        files = services.versions.keep(build_checkpoint(folder, label_set.schema, sharpness=sharpness))
        version = services.versions.register(label_set.id, files, run_id=run.id, snapshot="0" * 64)
        services.versions.promote(version, reason="test")
        with services.database.transaction() as session:
            stored = session.get_one(TrainingRun, run.id)
            stored.state, stored.version_id = RunState.COMPLETED.value, version.id
        return version

    return trained


def num_predicted(services: Services, version: ModelVersion) -> int:
    with services.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Prediction).filter_by(version_id=version.id)) or 0


def test_nothing_is_predicted_before_something_was_trained(caller, services: Services, label_set: LabelSet) -> None:
    """N-011."""
    response = caller.ask("POST", f"{make_path(caller, services, label_set)}?batch_size=5")

    assert (response.status_code, response.get_json()["code"]) == (409, "MODEL_NOT_READY")


def test_as_many_images_are_predicted_as_wanted_and_then_the_others(
    caller, services: Services, label_set: LabelSet, train: Callable[..., ModelVersion], work: Callable[[], None]
) -> None:
    """N-011."""
    add_images(services, label_set, ["red", "green"] * 6)
    version = train(label_set)
    path = make_path(caller, services, label_set)

    answered, predicted = [], []
    for query in ("?batch_size=5", "", ""):
        answered.append(caller.ok("POST", f"{path}{query}"))
        work()
        predicted.append(num_predicted(services, version))

    assert [(each["tasks"], each["batch_size"]) for each in answered] == [(5, 5), (7, None), (0, None)]
    assert predicted == [5, 12, 12]
    assert (answered[0]["run_id"], answered[2]["job_id"]) == (f"inf_{answered[0]['job_id']}", None)


def test_more_than_there_are_is_all(
    caller, services: Services, label_set: LabelSet, train: Callable[..., ModelVersion]
) -> None:
    add_images(services, label_set, ["red", "green"])
    train(label_set)

    assert caller.ok("POST", f"{make_path(caller, services, label_set)}?batch_size=9")["tasks"] == 2


def test_a_new_version_begins_again(
    caller, services: Services, label_set: LabelSet, train: Callable[..., ModelVersion], work: Callable[[], None]
) -> None:
    """N-011."""
    add_images(services, label_set, ["red", "green", "red"])
    train(label_set)
    path = make_path(caller, services, label_set)
    caller.ok("POST", path)
    work()

    train(label_set, sharpness=30.0)

    assert caller.ok("POST", path)["tasks"] == 3


def test_predicting_shows_until_it_ends_and_asking_twice_makes_one_job(
    caller, services: Services, label_set: LabelSet, train: Callable[..., ModelVersion]
) -> None:
    add_images(services, label_set, ["red", "green", None])
    train(label_set)
    path = make_path(caller, services, label_set)
    about = path.removesuffix("/predict")

    first, second = (caller.ok("POST", f"{path}?batch_size=2") for _ in range(2))
    during = caller.ok("GET", about)
    services.prediction_jobs.cancel(first["job_id"])

    assert (first["job_id"], first["tasks"]) == (second["job_id"], second["tasks"])
    assert "in progress" in second["message"]
    assert (during["state"], caller.ok("GET", about)["state"]) == ("PR", "CO")


def test_images_that_cannot_be_predicted_are_counted_in_the_error(
    caller, services: Services, label_set: LabelSet, train: Callable[..., ModelVersion], work: Callable[[], None]
) -> None:
    [broken, *_] = add_images(services, label_set, ["red", "green"])
    train(label_set)
    services.blobs.path(broken.content).write_bytes(b"no image")
    path = make_path(caller, services, label_set)

    caller.ok("POST", path)
    work()

    seen = caller.ok("GET", path.removesuffix("/predict"))
    assert seen["state"] == "ER"
    assert seen["error_message"].startswith("1 of 2 tasks could not be predicted: ")
    assert caller.ok("POST", path)["tasks"] == 1


def test_an_image_lacks_a_prediction_as_long_as_one_label_set_has_none_of_it(
    caller, services: Services, label_set: LabelSet, train: Callable[..., ModelVersion], work: Callable[[], None]
) -> None:
    add_images(services, label_set, ["red", "green", "red"])
    train(label_set)
    path = make_path(caller, services, label_set)
    caller.ok("POST", f"{path}?batch_size=1")
    work()
    with services.database.transaction() as session:
        other = LabelSet(project_id=label_set.project_id, name="other", labels=label_set.labels, field="image")
        session.add(other)
    version = train(other, sharpness=30.0)

    answered = caller.ok("POST", f"{path}?batch_size=2")
    work()

    assert (answered["tasks"], num_predicted(services, version)) == (2, 2)


def test_strangers_predict_nothing(caller, stranger, services: Services, label_set: LabelSet) -> None:
    make_label_set(services, services.accounts.authenticate(stranger.key).workspace_ids[0])

    assert stranger.ask("POST", make_path(caller, services, label_set)).status_code == 404
