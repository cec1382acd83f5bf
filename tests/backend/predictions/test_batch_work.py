"""Batch runs, worked on as a worker does, with a model that may be killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from doubles import InlineQueue
from labelled_projects import make_label_set, make_project
from trained_projects import add_training, build_detector, paint, upload

from backend.inference.engine import Engine
from backend.inference.job import JobKind, JobState, PredictionJob
from backend.inference.service import Inference
from backend.predictions import batch_work
from backend.predictions.answers import Answers
from backend.predictions.batch_work import BatchWork
from backend.projects.service import LabelSet
from backend.projects.tasks import SAID_HERE, Annotation, Task
from backend.services import Services
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.training.run import TrainingRun
from models.images import Image
from models.labels import LabelSchema, Objective
from models.regions import Box, Choice, Region, to_json


class Watched:
    """Finds nothing, counts what it was asked about, and does before what the test says."""

    num_bytes = 1
    min_side_px = None

    def __init__(self, schema: LabelSchema) -> None:
        self.schema = schema
        self.num_images = 0
        self.before: Callable[[], None] = lambda: None

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        self.before()
        self.num_images += len(images)
        return [[Box("red", 0.5, 0.5, 0.5, 0.5, score=0.75)] for _ in images]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def label_set(services: Services) -> LabelSet:
    return make_label_set(services, make_project(services), Objective.DETECTION, ["red", "green"])


@pytest.fixture
def run(services: Services, label_set: LabelSet, tmp_path: Path) -> TrainingRun:
    return add_training(services, label_set, build_detector(tmp_path / "detector", label_set.schema))


@pytest.fixture
def predictor(label_set: LabelSet) -> Watched:
    return Watched(label_set.schema)


@pytest.fixture
def worker(services: Services, settings: Settings, predictor: Watched) -> BatchWork:
    inference = Inference(Engine(lambda _: predictor, capacity_bytes=10), services.tasks, settings)
    return BatchWork(
        services.database,
        services.blobs,
        services.projects,
        services.tasks,
        services.versions,
        services.annotations,
        services.prediction_jobs,
        Answers(inference, services.blobs),
        settings,
    )


@pytest.fixture
def job(services: Services, label_set: LabelSet, run: TrainingRun) -> PredictionJob:
    """The wish to predict ten images."""
    tasks = [upload(services, label_set, paint({(at % 8, at // 8): 0})) for at in range(10)]
    return services.prediction_jobs.ask_batch(
        PredictionJob(
            project_id=label_set.project_id,
            version_name="v1",
            versions={label_set.id: run.version_id},
            kind=JobKind.INFER_ALL.value,
            adapter="mlp",
            run_id=run.id,
            split="all",
            num_tasks=len(tasks),
            selection={"numbers": services.blobs.put(json.dumps([task.number for task in tasks]).encode())},
        )
    )


def claimed(services: Services, queue: InlineQueue) -> tuple[str, int]:
    """Let the clock submit the only job that waits, and return what its worker is called with."""
    services.prediction_jobs.advance()
    [(path, arguments)] = queue.jobs.values()
    queue.jobs.clear()
    assert path == "adapters.mlp.jobs.predict"
    job_id, attempt = arguments
    return job_id, attempt


def test_after_a_kill_the_next_process_goes_on_where_the_last_one_was(
    services: Services,
    queue: InlineQueue,
    job: PredictionJob,
    worker: BatchWork,
    predictor: Watched,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of ten images in windows of four, the third window is lost: only its two are looked at again."""
    monkeypatch.setattr(batch_work, "_WINDOW", 4)

    def die() -> None:
        if predictor.num_images >= 8:
            raise Killed

    predictor.before = die
    with pytest.raises(Killed):
        worker.work(*claimed(services, queue))
    predictor.before = lambda: None
    lost = services.prediction_jobs.get(job.id)
    assert (lost.state, lost.num_done) == ("running", 8)
    with services.database.transaction() as session:
        row = session.get_one(PredictionJob, job.id)
        row.heartbeat_at = utc_now() - timedelta(hours=1)

    worker.work(*claimed(services, queue))

    ended = services.prediction_jobs.get(job.id)
    assert (ended.state, ended.num_done, ended.num_failed) == ("completed", 10, 0)
    assert predictor.num_images == 10


def test_other_work_is_never_kept_waiting_for_long(
    services: Services,
    queue: InlineQueue,
    job: PredictionJob,
    worker: BatchWork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_work, "_WINDOW", 4)
    monkeypatch.setattr(batch_work, "_SLICE_S", 0.0)
    seen = []

    while not JobState(services.prediction_jobs.get(job.id).state).is_final:
        worker.work(*claimed(services, queue))
        seen.append(services.prediction_jobs.get(job.id).num_done)

    assert seen == [4, 8, 10]


def test_a_cancelled_job_stops_at_the_next_window(
    services: Services,
    queue: InlineQueue,
    job: PredictionJob,
    worker: BatchWork,
    predictor: Watched,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_work, "_WINDOW", 4)
    called = claimed(services, queue)
    predictor.before = lambda: JobState(services.prediction_jobs.get(job.id).state).is_final or cancel()

    def cancel() -> None:
        services.prediction_jobs.cancel(job.id)

    worker.work(*called)

    assert services.prediction_jobs.get(job.id).state == "cancelled"
    assert predictor.num_images == 4


def test_a_model_that_crashes_ends_the_job_with_a_reason(
    services: Services, queue: InlineQueue, job: PredictionJob, worker: BatchWork, predictor: Watched
) -> None:
    def crash() -> None:
        raise ZeroDivisionError

    predictor.before = crash

    worker.work(*claimed(services, queue))

    ended = services.prediction_jobs.get(job.id)
    assert ended.state == "failed"
    assert "ZeroDivisionError" in (ended.error or "")


def test_images_that_are_gone_meanwhile_are_left_out(
    services: Services, queue: InlineQueue, job: PredictionJob, worker: BatchWork
) -> None:
    numbers = worker.numbers(job)
    with services.database.transaction() as session:
        for task in session.query(Task).filter_by(number=numbers[0]):
            session.delete(task)

    worker.work(*claimed(services, queue))

    ended = services.prediction_jobs.get(job.id)
    assert (ended.state, ended.num_done, ended.num_failed) == ("completed", 9, 0)


def test_what_was_said_about_a_part_of_an_image_is_not_measured(
    services: Services, queue: InlineQueue, label_set: LabelSet, job: PredictionJob, worker: BatchWork
) -> None:
    about_a_part = Choice("red", part=Box("", 0.5, 0.5, 0.5, 0.5))
    with services.database.transaction() as session:
        task = session.query(Task).filter_by(number=worker.numbers(job)[0]).one()
        session.add(
            Annotation(
                task_id=task.id,
                label_set_id=label_set.id,
                external_id=SAID_HERE,
                regions=to_json([about_a_part]),
                updated_at=utc_now(),
            )
        )

    worker.work(*claimed(services, queue))

    assert services.prediction_jobs.get(job.id).evaluation == {}
