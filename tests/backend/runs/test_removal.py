from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from backend.errors import Conflict
from backend.projects.service import Mirror
from backend.services import Services
from backend.training.run import TrainingRun
from backend.versions.registry import ModelVersion

LabelTasks = Callable[[Sequence[str]], None]
Train = Callable[[], str]


def remove(services: Services, run_id: str) -> None:
    services.removal.remove(services.training.get(run_id))


def let_another_answer(services: Services, mirror: Mirror, label: LabelTasks, train: Train) -> None:
    label(["cat"] * 6 + ["dog"] * 5)
    train()


def test_a_version_that_answers_stays(services: Services, label: LabelTasks, train: Train) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    run_id = train()

    with pytest.raises(Conflict, match="in use"):
        remove(services, run_id)

    assert services.training.get(run_id).version_id


def test_a_version_that_is_predicting_stays(
    services: Services, mirror: Mirror, label: LabelTasks, train: Train
) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    run_id = train()
    job = services.prediction_jobs.ask(mirror.project.id)
    let_another_answer(services, mirror, label, train)

    with pytest.raises(Conflict, match="in use"):
        remove(services, run_id)
    services.prediction_jobs.cancel(job.id)
    remove(services, run_id)

    assert run_id not in {run.id for run in services.training.of_project(mirror.project.id)}


def test_what_two_runs_made_stays_with_the_other_one(
    services: Services, mirror: Mirror, label: LabelTasks, train: Train
) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    first, twin = services.training.get(train()), services.training.get(train())
    let_another_answer(services, mirror, label, train)

    remove(services, first.id)

    version = services.versions.get(twin.version_id or "")
    assert version.run_id == twin.id
    assert all(map(services.blobs.has, (*version.files.values(), twin.snapshot)))


def test_nothing_is_left_of_what_only_one_run_had(
    services: Services, mirror: Mirror, label: LabelTasks, train: Train
) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    run = services.training.get(train())
    version = services.versions.get(run.version_id or "")
    let_another_answer(services, mirror, label, train)

    remove(services, run.id)

    with services.database.reading() as session:
        assert session.get(TrainingRun, run.id) is None
        assert session.get(ModelVersion, version.id) is None
    assert not services.blobs.has(version.files["model.onnx"])
    assert not services.blobs.has(run.snapshot or "")
    assert [moved.version_id for moved in services.versions.history(mirror.label_sets[0].id)] != []
    with pytest.raises(Conflict):
        services.versions.roll_back(mirror.label_sets[0].id)


def test_a_file_that_two_versions_have_stays(
    services: Services, mirror: Mirror, label: LabelTasks, train: Train
) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    run = services.training.get(train())
    weights = services.versions.get(run.version_id or "").files["weights.pth"]  # says "cat", as the next one's
    let_another_answer(services, mirror, label, train)

    remove(services, run.id)

    assert services.blobs.has(weights)
