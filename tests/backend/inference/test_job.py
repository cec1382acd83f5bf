from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from doubles import InlineQueue

from backend.errors import Conflict
from backend.inference.job import JobKind, JobLost, PredictionJob
from backend.projects.service import Mirror
from backend.services import Services


@pytest.fixture
def run_id(label: Callable[[Sequence[str]], None], train: Callable[[], str]) -> str:
    """A project that was trained once."""
    label(["cat", "dog"] * 5)
    return train()


@pytest.fixture
def wish(mirror: Mirror, run_id: str) -> Callable[..., PredictionJob]:
    """Return a wish that only differs as the test says."""

    def make(**changes: object) -> PredictionJob:
        same = {"kind": JobKind.INFER_ALL.value, "run_id": run_id, "split": "all", "threshold": 0.25, "iou": 0.5}
        return PredictionJob(project_id=mirror.project.id, version_name="v1", versions={}, **{**same, **changes})

    return make


def test_an_equal_batch_that_goes_on_is_returned_instead(
    services: Services, wish: Callable[..., PredictionJob]
) -> None:
    jobs = services.prediction_jobs
    first = jobs.ask_batch(wish())
    others = [
        jobs.ask_batch(wish(**changed))
        for changed in ({"kind": "evaluate"}, {"split": "val"}, {"threshold": 0.5}, {"iou": 0.75}, {"run_id": "01x"})
    ]

    assert jobs.ask_batch(wish()).id == first.id
    assert len({first.id, *(job.id for job in others)}) == 6

    jobs.cancel(first.id)
    assert jobs.ask_batch(wish()).id != first.id


def test_batches_do_not_keep_predictions_from_being_written(
    services: Services, mirror: Mirror, wish: Callable[..., PredictionJob]
) -> None:
    batch = services.prediction_jobs.ask_batch(wish())

    written = services.prediction_jobs.ask(mirror.project.id)

    assert [job.id for job in services.prediction_jobs.of_project(mirror.project.id)] == [written.id]
    assert [job.id for job in services.prediction_jobs.of_run(batch.run_id or "")] == [batch.id]
    with pytest.raises(Conflict):
        services.prediction_jobs.ask(mirror.project.id)


def test_a_heartbeat_that_comes_late_does_not_keep_a_resting_job_waiting(
    services: Services, wish: Callable[..., PredictionJob], queue: InlineQueue
) -> None:
    jobs = services.prediction_jobs
    asked = jobs.ask_batch(wish())
    jobs.advance()
    job = jobs.claim(asked.id, 1)
    jobs.rest(job)

    with pytest.raises(JobLost):
        jobs.beat(job)

    jobs.advance()
    assert jobs.claim(asked.id, 2).state == "running"
