"""What a worker does with a job that predicts tasks whose files are here, slice by slice."""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from backend.datasets.annotations import Annotations
from backend.errors import TandemError
from backend.inference.custody import work_on
from backend.inference.job import PredictionJob, PredictionJobs
from backend.predictions.answers import Answer, Answers
from backend.projects.service import LabelSet, Projects
from backend.projects.tasks import Task, Tasks
from backend.settings import Settings
from backend.storage.blobs import BlobStore
from backend.storage.database import Database
from backend.versions.registry import ModelVersion, Versions
from models.metrics import evaluate
from models.regions import Region

ALL = "all"
"""The split of a job that goes through all tasks of a project."""
_SLICE_S = 30.0
"""Other background work waits for so long at most."""
_WINDOW = 64
"""Tasks predicted together; what a killed process leaves to be done again."""
_MAX_FAULTS = 50


class BatchWork:
    """Works on prediction jobs that are not written to an origin: what is found is kept, and measured at the end."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        projects: Projects,
        tasks: Tasks,
        versions: Versions,
        annotations: Annotations,
        jobs: PredictionJobs,
        answers: Answers,
        settings: Settings,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._projects = projects
        self._tasks = tasks
        self._versions = versions
        self._annotations = annotations
        self._jobs = jobs
        self._answers = answers
        self._settings = settings

    def work(self, job_id: str, attempt: int) -> None:
        """Work on a job for a while, and leave the rest to the next slice."""
        work_on(self._jobs, job_id, attempt, self._slice, every_s=self._settings.heartbeat_s)

    def numbers(self, job: PredictionJob) -> list[int]:
        """Return the numbers of a job's tasks, rising.

        Raises:
            NotFound: The list is missing.
        """
        if "numbers" not in job.selection:
            return []
        numbers: list[int] = json.loads(self._blobs.path(job.selection["numbers"]).read_bytes())
        return numbers

    def names(self, job: PredictionJob) -> list[str]:
        """Return the names in the origin of a job's tasks; deleted ones are left out.

        Raises:
            NotFound: The list is missing.
        """
        numbers = set(self.numbers(job))
        with self._database.reading() as session:
            tasks = session.execute(select(Task.number, Task.external_id).filter_by(project_id=job.project_id))
            return [name for number, name in tasks if number in numbers]

    def find(self, job: PredictionJob, numbers: Sequence[int]) -> list[tuple[Task, Answer | TandemError]]:
        """Return for tasks of a job what its version finds, or why nothing could be found; deleted ones are left out.

        Raises:
            NotFound: The version's files are missing.
        """
        with self._database.reading() as session:
            wanted = select(Task).where(Task.project_id == job.project_id, Task.number.in_(numbers))
            tasks = list(session.scalars(wanted.order_by(Task.number)))
        label_set, version = self._asked(job)
        return list(zip(tasks, self._answers.find(version, label_set, tasks, threshold=job.threshold), strict=True))

    def _asked(self, job: PredictionJob) -> tuple[LabelSet, ModelVersion]:
        [(label_set_id, version_id)] = job.versions.items()
        return self._projects.get_label_set(label_set_id), self._versions.get(version_id)

    def _slice(self, job: PredictionJob) -> None:
        until = time.monotonic() + _SLICE_S
        numbers = self.numbers(job)
        while window := window_after(numbers, job.cursor, _WINDOW):
            outcomes = self.find(job, window)
            self._tasks.flush()  # whoever asks for them is another process
            faults = [(task, outcome) for task, outcome in outcomes if isinstance(outcome, TandemError)]
            job.num_done += len(outcomes) - len(faults)
            job.num_failed += len(faults)
            said = [f"image {task.filename or task.external_id}: {fault.message}" for task, fault in faults]
            job.faults = [*job.faults, *said][:_MAX_FAULTS]
            job.cursor = window[-1]
            self._jobs.tell(job)
            if time.monotonic() > until and job.cursor != numbers[-1]:
                self._jobs.rest(job)
                return
        job.evaluation = self._evaluation(job, numbers)
        with self._database.transaction():
            if job.selection.get("is_written_back"):
                self._write_back(job)
            self._jobs.end(job)

    def _evaluation(self, job: PredictionJob, numbers: Sequence[int]) -> dict[str, Any]:
        """Compare what was found with what people said by now, about those tasks that they spoke about."""
        label_set, _ = self._asked(job)
        truths: dict[str, Sequence[Region]] = {}
        found: dict[str, Sequence[Region]] = {}
        for start in range(0, len(numbers), _WINDOW):
            said = self._said(job, label_set, numbers[start : start + _WINDOW])
            for task, outcome in self.find(job, list(said)) if said else ():
                if isinstance(outcome, Answer):
                    truths[str(task.number)], found[str(task.number)] = said[task.number], outcome.regions
        if not truths:
            return {}
        measured = evaluate(label_set.schema, truths, found, min_overlap=job.iou)
        return {"metrics": dict(measured.metrics), "num_images": len(truths)}

    def _said(
        self, job: PredictionJob, label_set: LabelSet, numbers: Sequence[int]
    ) -> Mapping[int, tuple[Region, ...]]:
        """Return what counts for labelled tasks, by number. What was said about a part of one is no answer."""
        with self._database.reading() as session:
            wanted = select(Task).where(Task.project_id == job.project_id, Task.number.in_(numbers))
            tasks = list(session.scalars(wanted))
        said = {}
        for task, labelled in zip(tasks, self._annotations.what_counts(label_set, tasks), strict=True):
            regions = labelled.regions
            about_all = tuple(region for region in regions or () if getattr(region, "part", None) is None)
            if regions is not None and (about_all or not regions):
                said[task.number] = about_all
        return said

    def _write_back(self, job: PredictionJob) -> None:
        """Let what was found be written to Label Studio, if the project lives there, in its turn."""
        is_for_all = job.split == ALL
        if self._projects.get(job.project_id).origin.kind != "label_studio" or not (is_for_all or job.num_tasks):
            return
        label_set, version = self._asked(job)
        chosen = {} if is_for_all else {"numbers": job.selection["numbers"]}
        self._jobs.ask(job.project_id, versions={label_set.id: version}, selection=chosen, can_wait=True)


def window_after(numbers: Sequence[int], cursor: int, size: int) -> Sequence[int]:
    """Return the first numbers of a rising list that are greater than a cursor.

    >>> window_after([1, 3, 5, 7], 3, 1)
    [5]
    """
    start = bisect_right(numbers, cursor)
    return numbers[start : start + size]
