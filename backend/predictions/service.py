"""What may be asked of the version that a training run made: about one task at once, about many in the background."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from backend.access import Access
from backend.accounts.service import Principal
from backend.errors import Invalid, NotFound, TandemError
from backend.inference.job import JobKind, JobState, PredictionJob, PredictionJobs
from backend.inference.service import Inference
from backend.predictions.answers import Answer, Answers
from backend.predictions.batch_work import ALL, BatchWork, window_after
from backend.projects.agreement import SHARED_AS, TEST
from backend.projects.service import LabelSet
from backend.projects.tasks import Annotation, Prediction, Task
from backend.runs.service import Runs
from backend.storage.blobs import BlobStore
from backend.storage.database import Database
from backend.training import snapshot
from backend.training.run import TrainingRun
from backend.versions.registry import ModelVersion
from models.metrics import OVERLAPPING

UNASSIGNED = "unassigned"
USUAL_IOU = 0.5
"""What must overlap where nobody says otherwise."""
_LISTED = ""
"""The split of a job whose tasks were chosen for what they lack."""
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """Who answers: the version that a run made, for the label set that it learnt."""

    run: TrainingRun
    version: ModelVersion
    label_set: LabelSet


@dataclass(frozen=True, slots=True)
class Filling:
    """Jobs, one per version at most, that go through tasks without an answer.

    Attributes:
        num_tasks: How many tasks they go through, all together.
        is_new: Whether they were not there before.
    """

    jobs: Sequence[PredictionJob]
    num_tasks: int
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Results:
    """A page of what a job found.

    Attributes:
        outcomes: What was found in each task, or why nothing could be; empty as long as the job goes on.
        cursor: Where the next page begins; None: there is none.
    """

    asked: Asked
    job: PredictionJob
    outcomes: Sequence[tuple[Task, Answer | TandemError]]
    cursor: int | None


class Predictions:
    """Answers those who may see a run."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        access: Access,
        runs: Runs,
        jobs: PredictionJobs,
        inference: Inference,
        answers: Answers,
        work: BatchWork,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._access = access
        self._runs = runs
        self._jobs = jobs
        self._inference = inference
        self._answers = answers
        self._work = work

    def infer(
        self, principal: Principal, run_id: str, task_id: str, *, threshold: float, max_regions: int
    ) -> tuple[Asked, Answer]:
        """Return what a run's version finds in a task, and wait for it.

        Args:
            principal: Who asks.
            run_id: Whose version.
            task_id: Of the same project.
            threshold: Regions with a smaller score are left out.
            max_regions: The best ones are returned.

        Raises:
            NotFound: There is no such run, or no such task in its project.
            Conflict: The run has made no version ("model_not_ready"), or the task's file is not here.
            Invalid: The file cannot be read ("image_invalid").
            Unavailable: It takes too long ("prediction_timeout"), or too many ask.
        """
        run, task = self._access.run(principal, run_id), self._access.task(principal, task_id)
        if task.project_id != run.project_id:
            raise NotFound("There is no such image in the project of this training.", code="not_found")
        asked = self._asked(principal, run)
        [outcome] = self._inference.run(
            lambda: self._answers.find(
                asked.version, asked.label_set, [task], threshold=threshold, max_regions=max_regions
            ),
            timeout_s=_PATIENCE_S,
        )
        if isinstance(outcome, TandemError):
            raise outcome
        return asked, outcome

    def infer_all(
        self, principal: Principal, run_id: str, *, split: str, threshold: float, is_written_back: bool
    ) -> PredictionJob:
        """Ask for all tasks of a split to be predicted; the same wish that goes on is returned instead.

        Args:
            principal: Who asks.
            run_id: Whose version.
            split: "train", "val", "test", "unassigned" or "all", as tasks are assigned now.
            threshold: Regions with a smaller score are left out.
            is_written_back: Whether a project in Label Studio gets the predictions, too.

        Raises:
            NotFound: There is no such run.
            Conflict: It has made no version ("model_not_ready").
        """
        asked = self._asked(principal, self._access.run(principal, run_id))
        query = select(Task.number).filter_by(project_id=asked.run.project_id).order_by(Task.number)
        if split != ALL:
            query = query.where(Task.split == SHARED_AS[split] if split in SHARED_AS else Task.split.is_(None))
        with self._database.reading() as session:
            numbers = list(session.scalars(query))
        job = self._job(principal, asked, JobKind.INFER_ALL, numbers, split=split, threshold=threshold)
        job.selection["is_written_back"] = is_written_back
        return self._jobs.ask_batch(job)

    def infer_missing(self, principal: Principal, versions: Sequence[ModelVersion], *, limit: int | None) -> Filling:
        """Ask for those tasks to be predicted that one of a project's versions has not answered, in their order.

        A task has an answer of a version as long as that is kept, see `Prediction`; one that cannot be predicted never
        has. Jobs that were asked for here and have not ended are returned instead.

        Args:
            principal: Who asks.
            versions: Of one project.
            limit: How many tasks at most; None: all.

        Raises:
            NotFound: They are versions of no run that the principal may see.
        """
        asked = [self._asked(principal, self._access.run(principal, version.run_id)) for version in versions]
        busy = [job for each in asked for job in self._jobs.of_run(each.run.id) if _is_filling(job)]
        if busy:
            return Filling(busy, max(job.num_tasks or 0 for job in busy), is_new=False)
        lacking = [self._lacking(each) for each in asked]
        chosen = set(sorted(set().union(*lacking))[:limit])
        jobs = [
            self._jobs.ask_batch(
                self._job(principal, each, JobKind.INFER_ALL, numbers, split=_LISTED, threshold=0.0),
            )
            for each, open_numbers in zip(asked, lacking, strict=True)
            if (numbers := [number for number in open_numbers if number in chosen])
        ]
        return Filling(jobs, len(chosen))

    def evaluate(
        self, principal: Principal, run_id: str, *, split: str | None, threshold: float, iou: float
    ) -> PredictionJob:
        """Ask for the labelled tasks of a split to be compared; the same wish that goes on is returned instead.

        Tasks that nobody assigned are in the split that the run drew for them. Those that it has not learnt from, and
        not been measured on, are for tests.

        Args:
            principal: Who asks.
            run_id: Whose version.
            split: See `infer_all`; None: "test", or where nothing is labelled there "val".
            threshold: Regions with a smaller score are left out.
            iou: What must overlap to count as found, in (0, 1]; only where boxes or polygons are.

        Raises:
            NotFound: There is no such run.
            Conflict: It has made no version ("model_not_ready").
            Invalid: There is nothing that overlaps.
        """
        asked = self._asked(principal, self._access.run(principal, run_id))
        if iou != USUAL_IOU and asked.label_set.schema.objective not in OVERLAPPING:
            message = "nothing overlaps here; it is for boxes and polygons, leave it out"
            raise Invalid(f"iou: {message}", code="validation_error", details={"fields": {"iou": message}})
        by_split = self._labelled(asked)
        if split is None:
            split = "val" if not by_split["test"] and by_split["val"] else "test"
        numbers = by_split[split]
        job = self._job(principal, asked, JobKind.EVALUATE, numbers, split=split, threshold=threshold)
        job.iou = iou
        return self._jobs.ask_batch(job)

    def results(self, principal: Principal, run_id: str, *, job_id: str | None, limit: int, cursor: int) -> Results:
        """Return a page of what a job found, in the order in which the tasks were added.

        Args:
            principal: Who asks.
            run_id: Whose version was asked.
            job_id: None: the newest one that keeps predictions.
            limit: How many tasks at most.
            cursor: Of the page before; 0: the first one.

        Raises:
            NotFound: There is no such run, or no such job ("results_not_found").
            Unavailable: What has been forgotten meanwhile is found again, and that takes too long.
        """
        run = self._access.run(principal, run_id)
        jobs = self._of_run(run, job_id)
        job = jobs[0] if job_id else next((each for each in jobs if each.kind == JobKind.INFER_ALL), None)
        if job is None:
            raise _no_results()
        asked = self._asked(principal, run)
        if job.state != JobState.COMPLETED:
            return Results(asked, job, [], None)
        numbers = self._work.numbers(job)
        window = window_after(numbers, cursor, limit)
        outcomes = self._inference.run(lambda: self._work.find(job, window)) if window else []
        return Results(asked, job, outcomes, window[-1] if window and window[-1] != numbers[-1] else None)

    def evaluation(self, principal: Principal, run_id: str, *, job_id: str | None) -> PredictionJob:
        """Return the newest job that has measured a run's version, or where none has, one that still may.

        Args:
            principal: Who asks.
            run_id: Which run.
            job_id: This job and no other.

        Raises:
            NotFound: There is no such run, or no such job ("results_not_found").
            Invalid: Nothing is labelled in any of the splits that were asked for ("labels_insufficient").
        """
        jobs = self._of_run(self._access.run(principal, run_id), job_id)
        measured = [job for job in jobs if job.evaluation]
        unfinished = [job for job in jobs if not JobState(job.state).is_final]
        if found := next(iter([*measured, *unfinished]), None):
            return found
        silent = next((job for job in jobs if job.state == JobState.COMPLETED), None)
        if silent is not None:
            raise Invalid(
                f"Nothing can be measured: no image of the split {silent.split} is labelled. Label some, then evaluate "
                "again.",
                code="labels_insufficient",
                details={"split": silent.split, "found": 0, "needed": 1},
            )
        return jobs[0]

    def _of_run(self, run: TrainingRun, job_id: str | None) -> list[PredictionJob]:
        jobs = [job for job in self._jobs.of_run(run.id) if job_id in (None, job.id)]
        if not jobs:
            raise _no_results()
        return jobs

    def _asked(self, principal: Principal, run: TrainingRun) -> Asked:
        version = self._runs.version(principal, run.id)
        with self._database.reading() as session:
            return Asked(run, version, session.get_one(LabelSet, run.label_set_id))

    def _job(
        self,
        principal: Principal,
        asked: Asked,
        kind: JobKind,
        numbers: Sequence[int],
        *,
        split: str,
        threshold: float,
    ) -> PredictionJob:
        return PredictionJob(
            project_id=asked.run.project_id,
            version_name=asked.version.name,
            versions={asked.label_set.id: asked.version.id},
            kind=kind.value,
            adapter="mlp",
            run_id=asked.run.id,
            split=split,
            threshold=threshold,
            created_by=principal.user_id,
            selection={"numbers": self._blobs.put(json.dumps(numbers).encode())} if numbers else {},
            num_tasks=len(numbers),
        )

    def _lacking(self, asked: Asked) -> list[int]:
        """Return the numbers of the uploaded tasks that a version has not answered, rising."""
        answer = select(Prediction).where(Prediction.version_id == asked.version.id, Prediction.media == Task.content)
        query = select(Task.number).where(Task.project_id == asked.run.project_id, ~answer.exists())
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(Task.number)))

    def _labelled(self, asked: Asked) -> dict[str, list[int]]:
        """Return the numbers of labelled tasks by split, for "unassigned" and "all" as well."""
        drawn = {}
        if asked.run.snapshot is not None and asked.run.ratios:
            drawn = snapshot.splits(self._blobs, asked.run.snapshot)
        is_labelled = Task.id.in_(select(Annotation.task_id).filter_by(label_set_id=asked.label_set.id))
        with self._database.reading() as session:
            query = select(Task).filter_by(project_id=asked.run.project_id)
            tasks = session.scalars(query.where(is_labelled).order_by(Task.number)).all()
        numbers: dict[str, list[int]] = {name: [] for name in (*SHARED_AS, UNASSIGNED, ALL)}
        name_of = {split: name for name, split in SHARED_AS.items()}
        for task in tasks:
            split = task.split
            numbers[ALL].append(task.number)
            if split is None:
                numbers[UNASSIGNED].append(task.number)
                if asked.run.ratios:
                    split = drawn.get(task.digest(asked.label_set.field) or "", TEST)
            if split is not None:
                numbers[name_of[split]].append(task.number)
        return numbers


def _is_filling(job: PredictionJob) -> bool:
    return job.kind == JobKind.INFER_ALL and job.split == _LISTED and not JobState(job.state).is_final


def _no_results() -> NotFound:
    return NotFound(
        "There are no results: ask for some with POST /training/{id}/infer-all or /evaluate.", code="results_not_found"
    )
