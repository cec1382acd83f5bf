"""Predict many tasks in the background: the job's row, its states, and who may work on it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import CursorResult, ForeignKey, select, update
from sqlalchemy.orm import Mapped, mapped_column

from backend.errors import Conflict, NotFound
from backend.ids import new_id
from backend.projects.service import Origin, Projects
from backend.queue import Queue, QueueName
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record
from backend.versions.registry import ModelVersion, Versions, combined_name

log = logging.getLogger(__name__)

_MAX_LOSSES = 5
_WISH = ("project_id", "run_id", "version_name", "kind", "split", "threshold", "iou")
_SLICE_TIMEOUT_S = 1800.0


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self in {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}


class JobKind(StrEnum):
    """What becomes of the predictions of a job."""

    WRITE_BACK = "write_back"
    """They are written to the project's origin."""
    INFER_ALL = "infer_all"
    """They are kept here, for whoever asks."""
    EVALUATE = "evaluate"
    """They are compared with what people said."""
    ELSEWHERE = "elsewhere"
    """Another ML backend makes them, and `adapter` sees to it that they are kept."""


class PredictionJob(Record, kw_only=True):
    """The wish to predict the tasks of a project with certain versions, and how far it is.

    It is worked on in slices, so that other background work is never kept waiting for long.

    Attributes:
        adapter: Who works on it: the folder under adapters/ whose `jobs.predict` is called.
        run_id: The training run whose version is asked; None where those in use are.
        split: Of the tasks: a split's name, "unassigned" or "all"; "" where `selection` says which.
        threshold: Regions with a smaller score are left out.
        iou: What counts as found, for EVALUATE.
        evaluation: What comparing with what people said came to: "metrics", as `models.metrics` measures them, and
            "num_images"; empty where it was not done, or where nobody had said anything.
        created_by: The user who asked.
        version_name: What the predictions are marked with; one name for all versions.
        versions: Version id by label set id, fixed when the job was asked for; empty for ELSEWHERE.
        selection: Which tasks, in the origin's words. For INFER_ALL and EVALUATE "numbers": the blob that lists theirs,
            where there are any, and "is_written_back": whether a WRITE_BACK follows, with the same "numbers" unless it
            is for all. For ELSEWHERE in the words of `adapter`.
        is_replacing: Whether predictions of other versions of ours are removed once all new ones exist.
        cursor: How far the tasks have been gone through: the last one, in the origin's words or by its number.
        num_tasks: How many tasks there are to predict; None before the first slice.
        num_done: Tasks that were predicted, and where that is asked for written.
        num_failed: Tasks that could not be predicted.
        faults: What became of some of those: sentences.
        attempt: Goes up with each slice; a process with an older number has lost the job.
        num_losses: How often a process that worked on it was lost without getting any further.
        queue_job_id: The queue's job that works on it now.
        heartbeat_at: When the process that works on it last said so.
        error: Why it failed, one sentence for people.
    """

    __tablename__ = "prediction_jobs"
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    version_name: Mapped[str]
    versions: Mapped[dict[str, Any]]
    kind: Mapped[str] = mapped_column(default=JobKind.WRITE_BACK.value)
    adapter: Mapped[str] = mapped_column(default="label_studio")
    run_id: Mapped[str | None] = mapped_column(default=None, index=True)
    split: Mapped[str] = mapped_column(default="")
    threshold: Mapped[float] = mapped_column(default=0.0)
    iou: Mapped[float] = mapped_column(default=0.5)
    evaluation: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    created_by: Mapped[str | None] = mapped_column(default=None)
    selection: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    is_replacing: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(default=JobState.QUEUED.value)
    cursor: Mapped[int] = mapped_column(default=0)
    num_tasks: Mapped[int | None] = mapped_column(default=None)
    num_done: Mapped[int] = mapped_column(default=0)
    num_failed: Mapped[int] = mapped_column(default=0)
    faults: Mapped[list[Any]] = mapped_column(default_factory=list)
    attempt: Mapped[int] = mapped_column(default=0)
    num_losses: Mapped[int] = mapped_column(default=0)
    queue_job_id: Mapped[str | None] = mapped_column(default=None)
    heartbeat_at: Mapped[datetime | None] = mapped_column(default=None)
    error: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class JobLost(Exception):
    """The job was cancelled, or another process has taken it up: stop, and write nothing more."""


class PredictionJobs:
    """What may be done with prediction jobs. Of those that write to a project's origin, one after the other begins."""

    def __init__(
        self, database: Database, queue: Queue, projects: Projects, versions: Versions, settings: Settings
    ) -> None:
        self._database = database
        self._queue = queue
        self._projects = projects
        self._versions = versions
        self._settings = settings

    def ask(
        self,
        project_id: str,
        *,
        selection: Mapping[str, Any] | None = None,
        is_replacing: bool = False,
        versions: Mapping[str, ModelVersion] | None = None,
        can_wait: bool = False,
    ) -> PredictionJob:
        """Ask for the tasks of a project to be predicted, and for the predictions to be written to its origin.

        Args:
            project_id: Which.
            selection: Which of its tasks; None: all.
            is_replacing: See `PredictionJob`.
            versions: By label set id; None: those in use now.
            can_wait: Whether it may begin after the end of those that were asked for before.

        Raises:
            NotFound: There is no such project.
            Conflict: Nothing was trained yet, or such a job has not ended, and it cannot wait for that.
        """
        mirror = self._projects.get(project_id)
        current = self._versions.current(mirror.label_sets) if versions is None else versions
        if not current:
            raise Conflict("the project has no trained version yet; train it first", code="untrained")
        with self._database.transaction() as session:
            session.get_one(Origin, mirror.project.id, with_for_update=True)
            busy = next((job for job in self.of_project(mirror.project.id) if not JobState(job.state).is_final), None)
            if busy is not None and not can_wait:
                raise Conflict(f"prediction job {busy.id} of the project has not ended", code="job_in_progress")
            job = PredictionJob(
                project_id=mirror.project.id,
                version_name=combined_name(current),
                versions={label_set_id: version.id for label_set_id, version in current.items()},
                selection=dict(selection or {}),
                is_replacing=is_replacing,
            )
            session.add(job)
            return job

    def ask_batch(self, wanted: PredictionJob) -> PredictionJob:
        """Add a job of another kind, or return the one with the same wish that goes on: see `_WISH`."""
        same = {name: getattr(wanted, name) for name in _WISH}
        unfinished = PredictionJob.state.in_([state.value for state in JobState if not state.is_final])
        with self._database.transaction() as session:
            session.get_one(Origin, wanted.project_id, with_for_update=True)
            busy = session.scalar(select(PredictionJob).filter_by(**same).where(unfinished).limit(1))
            if busy is not None:
                return busy
            session.add(wanted)
            return wanted

    def of_run(self, run_id: str) -> list[PredictionJob]:
        """Return the jobs that ask the version of a run, newest first."""
        with self._database.reading() as session:
            query = select(PredictionJob).filter_by(run_id=run_id).order_by(PredictionJob.id.desc())
            return list(session.scalars(query))

    def get(self, job_id: str) -> PredictionJob:
        """Return a job.

        Raises:
            NotFound: There is none with that id.
        """
        with self._database.reading() as session:
            job = session.get(PredictionJob, job_id)
            if job is None:
                raise NotFound(f"there is no prediction job {job_id!r}", code="job_not_found")
            return job

    def of_project(self, project_id: str, limit: int = 20) -> list[PredictionJob]:
        """Return the jobs that write to a project's origin, newest first."""
        with self._database.reading() as session:
            writing = {"project_id": project_id, "kind": JobKind.WRITE_BACK.value}
            query = select(PredictionJob).filter_by(**writing).order_by(PredictionJob.id.desc())
            return list(session.scalars(query.limit(limit)))

    def cancel(self, job_id: str) -> PredictionJob:
        """End a job; what it has written stays. The process that works on it stops at its next word.

        Raises:
            NotFound: There is none with that id.
            Conflict: It has already ended.
        """
        with self._database.transaction() as session:
            job = session.get(PredictionJob, job_id, with_for_update=True)
            if job is None:
                raise NotFound(f"there is no prediction job {job_id!r}", code="job_not_found")
            if JobState(job.state).is_final:
                raise Conflict(f"prediction job {job_id} has already ended: {job.state}", code="job_ended")
            job.state, job.finished_at = JobState.CANCELLED.value, utc_now()
            return job

    def advance(self) -> None:
        """Start what waits, and take up again what lost its process. Called every second by the clock.

        Raises:
            Unavailable: The queue cannot be reached; nothing is lost, the next call tries again.
        """
        open_states = [state.value for state in JobState if not state.is_final]
        with self._database.reading() as session:
            query = select(PredictionJob).where(PredictionJob.state.in_(open_states)).order_by(PredictionJob.id)
            waiting = [job for job in _in_turn(session.scalars(query)) if self._is_waiting(job)]
        for job in waiting:
            self._submit(job.id, job.attempt)

    def _is_waiting(self, job: PredictionJob) -> bool:
        if job.heartbeat_at is None:
            return job.queue_job_id is None or not self._queue.is_expected(job.queue_job_id)
        return utc_now() - job.heartbeat_at > timedelta(seconds=self._settings.lost_after_s)

    def _submit(self, job_id: str, attempt: int) -> None:
        """Give a job's next slice, if nobody did so since it had this attempt number, to the workers."""
        with self._database.transaction() as session:
            job = session.get_one(PredictionJob, job_id, with_for_update=True)
            if job.attempt != attempt or JobState(job.state).is_final:
                return
            if job.heartbeat_at is not None:
                job.num_losses += 1
                log.warning("prediction job lost its process", extra={"job_id": job.id, "losses": job.num_losses})
            if job.num_losses >= _MAX_LOSSES:
                job.state, job.finished_at = JobState.FAILED.value, utc_now()
                job.error = f"its process was killed {job.num_losses} times without getting any further"
                return
            job.attempt += 1
            job.heartbeat_at = None
            job.queue_job_id = f"{job.id}-predict-{job.attempt}"
        self._queue.submit(
            f"adapters.{job.adapter}.jobs.predict",
            job.id,
            job.attempt,
            queue=QueueName.BACKGROUND,
            job_id=job.queue_job_id,
            timeout_s=_SLICE_TIMEOUT_S,
        )

    # What the process that works on a job may say; each raises JobLost when the job is no longer its own.

    def claim(self, job_id: str, attempt: int) -> PredictionJob:
        """Take up a job's next slice.

        Raises:
            JobLost: It is no longer waiting for this attempt.
        """
        with self._database.transaction() as session:
            job = session.get(PredictionJob, job_id, with_for_update=True)
            is_ours = job is not None and job.attempt == attempt and job.heartbeat_at is None
            if job is None or not is_ours or JobState(job.state).is_final:
                raise JobLost(job_id)
            job.state, job.heartbeat_at = JobState.RUNNING.value, utc_now()
            job.started_at = job.started_at or utc_now()
            return job

    def beat(self, job: PredictionJob) -> None:
        """Say that the job is being worked on.

        Raises:
            JobLost: See there.
        """
        self._change(job, heartbeat_at=utc_now())

    def tell(self, job: PredictionJob) -> None:
        """Store how far the job is: `cursor`, the counts and `faults` as they are now.

        Raises:
            JobLost: See there.
        """
        self._change(
            job,
            heartbeat_at=utc_now(),
            cursor=job.cursor,
            num_tasks=job.num_tasks,
            num_done=job.num_done,
            num_failed=job.num_failed,
            faults=list(job.faults),
            num_losses=0,
        )

    def rest(self, job: PredictionJob) -> None:
        """End a slice: the next one may begin.

        Raises:
            JobLost: See there.
        """
        self._change(job, heartbeat_at=None, queue_job_id=None)

    def end(self, job: PredictionJob, *, error: str | None = None) -> None:
        """Complete the job, with its `evaluation` as it is now, or let it fail.

        Raises:
            JobLost: See there.
        """
        state = JobState.FAILED if error else JobState.COMPLETED
        self._change(job, state=state.value, error=error, evaluation=job.evaluation, finished_at=utc_now())
        log.info("prediction job ended", extra={"job_id": job.id, "state": state.value, "error": error})

    def _change(self, job: PredictionJob, **values: Any) -> None:
        statement = (
            update(PredictionJob)
            .where(
                PredictionJob.id == job.id,
                PredictionJob.attempt == job.attempt,
                PredictionJob.state == JobState.RUNNING.value,
                PredictionJob.heartbeat_at.is_not(None),  # else it rests, and a late heartbeat would keep it waiting
            )
            .values(**values)
        )
        with self._database.transaction() as session:
            result = session.execute(statement)
            assert isinstance(result, CursorResult)
            if result.rowcount != 1:
                raise JobLost(job.id)


def _in_turn(jobs: Iterable[PredictionJob]) -> Iterator[PredictionJob]:
    """Leave out those that write to an origin where an older one has not ended."""
    projects_written: set[str] = set()
    for job in jobs:
        if job.kind != JobKind.WRITE_BACK or job.project_id not in projects_written:
            yield job
        if job.kind == JobKind.WRITE_BACK:
            projects_written.add(job.project_id)
