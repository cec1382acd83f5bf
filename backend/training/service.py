"""Training runs: wish, start, watch, cancel, and take up again what lost its process."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, insert, select, update
from sqlalchemy.exc import IntegrityError

from backend.accounts.allowances import Allowances, Outcome
from backend.errors import Conflict, NotFound, Unavailable
from backend.logs import request_id
from backend.projects.service import LabelSet, Origin, Projects
from backend.projects.tasks import LabelCounts
from backend.queue import Queue, QueueName
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.storage.database import Database
from backend.training.run import RunFault, RunLine, RunState, TrainingRun, Trigger
from models.catalog import find_family
from models.family import Family, FitSettings

log = logging.getLogger(__name__)

MAX_LOSSES = 3
"""A run whose process is lost so many times without getting any further has failed."""
_ACTIVE = (RunState.QUEUED.value, RunState.RUNNING.value)
_COLLECT_TIMEOUT_S = 6 * 3600.0


class RunLost(Exception):
    """The run was cancelled, or another process has taken it up: stop, and change nothing."""


class Training:
    """What may be done with training runs. At most one is worked on and one waits per label set."""

    def __init__(
        self, database: Database, queue: Queue, projects: Projects, allowances: Allowances, settings: Settings
    ) -> None:
        self._database = database
        self._queue = queue
        self._projects = projects
        self._allowances = allowances
        self._settings = settings

    def wish(
        self, project_id: str, *, reason: str, label_set_id: str | None = None, supplied: str | None = None
    ) -> list[TrainingRun]:
        """Make sure that each label set of a project is trained on labels that are collected from now on.

        Only rows are written: the clock starts the runs (`advance`), so the caller never waits for the queue.

        Args:
            project_id: The project.
            reason: Why, for people.
            label_set_id: Only this label set.
            supplied: Blob with annotated tasks to learn from, in place of those that the origin has.

        Returns:
            The pending run of each label set, new or already there; empty where nothing can be learnt.
        """
        mirror = self._projects.get(project_id)
        wanted = [row for row in mirror.label_sets if label_set_id in (None, row.id)]
        return [run for row in wanted if (run := self._pending_run(row, reason, supplied)) is not None]

    def _pending_run(self, label_set: LabelSet, reason: str, supplied: str | None) -> TrainingRun | None:
        family = find_family(label_set.schema)
        if family is None:
            return None
        pending = select(TrainingRun).filter_by(
            label_set_id=label_set.id, state=RunState.PENDING.value, trigger=Trigger.LABEL_STUDIO.value
        )
        for _ in range(2):
            with contextlib.suppress(IntegrityError), self._database.transaction() as session:
                found = session.scalar(pending)
                if found is None:
                    found = TrainingRun(
                        project_id=label_set.project_id,
                        label_set_id=label_set.id,
                        reason=reason,
                        family=family.name,
                        settings=asdict(self.fit_settings(family)),
                        request_id=request_id(),
                    )
                    session.add(found)
                found.supplied = supplied or found.supplied
                session.flush()
                return found
        raise Conflict(f"training of {label_set.name!r} could not be arranged; try again")

    def fit_settings(self, family: Family) -> FitSettings:
        """Return how a family learns where nobody says otherwise."""
        within_s = self._settings.train_within_s
        return family.settings if within_s is None else replace(family.settings, time_limit_s=within_s)

    def get(self, run_id: str) -> TrainingRun:
        """Return a run.

        Raises:
            NotFound: There is none with that id.
        """
        with self._database.reading() as session:
            run = session.get(TrainingRun, run_id)
            if run is None:
                raise NotFound(f"there is no training run {run_id!r}", code="run_not_found")
            return run

    def of_project(self, project_id: str, limit: int = 20) -> list[TrainingRun]:
        """Return a project's runs, newest first."""
        with self._database.reading() as session:
            query = select(TrainingRun).filter_by(project_id=project_id).order_by(TrainingRun.id.desc()).limit(limit)
            return list(session.scalars(query))

    def pending(self, project_id: str) -> list[TrainingRun]:
        """Return the runs of a project that further wishes would join."""
        query = select(TrainingRun).filter_by(
            project_id=project_id, state=RunState.PENDING.value, trigger=Trigger.LABEL_STUDIO.value
        )
        with self._database.reading() as session:
            return list(session.scalars(query))

    def log_lines(self, run_id: str, after: int = 0) -> list[RunLine]:
        """Return the lines of a run's log with a greater number than `after`, oldest first."""
        with self._database.reading() as session:
            query = select(RunLine).where(RunLine.run_id == run_id, RunLine.number > after).order_by(RunLine.number)
            return list(session.scalars(query))

    def num_by_state(self) -> dict[str, int]:
        """Return how many runs there are in each state that is not final."""
        counts = {state.value: 0 for state in RunState if state.is_open}
        with self._database.reading() as session:
            for state in session.scalars(select(TrainingRun.state).where(TrainingRun.state.in_(counts))):
                counts[state] += 1
        return counts

    def cancel(self, run_id: str) -> TrainingRun:
        """End a run for good: the row says so first, then its process is stopped.

        Raises:
            NotFound: There is none with that id.
            IllegalTransition: It has already ended.
        """
        with self._database.transaction() as session:
            run = session.get(TrainingRun, run_id, with_for_update=True)
            if run is None:
                raise NotFound(f"there is no training run {run_id!r}", code="run_not_found")
            run.move(RunState.CANCELLED)
            self._settle(run)
        if run.job_id:
            with contextlib.suppress(Unavailable):
                self._queue.cancel(run.job_id)
        return run

    def advance(self) -> None:
        """Start what waits, and take up again what lost its process. Called every second by the clock.

        Raises:
            Unavailable: The queue cannot be reached; nothing is lost, the next call tries again.
        """
        with self._database.reading() as session:
            open_runs = session.scalars(
                select(TrainingRun)
                .where(TrainingRun.state.in_((*_ACTIVE, RunState.PENDING.value)))
                .order_by(TrainingRun.id)
            ).all()
        busy = {run.label_set_id for run in open_runs if run.state in _ACTIVE}
        for run in open_runs:
            if run.state == RunState.PENDING:
                if run.label_set_id not in busy:
                    busy.add(run.label_set_id)
                    self._submit(run.id, run.attempt)
            elif self._is_lost(run):
                self._submit(run.id, run.attempt)

    def _is_lost(self, run: TrainingRun) -> bool:
        if run.heartbeat_at is None:
            return run.job_id is None or not self._queue.is_expected(run.job_id)
        return utc_now() - run.heartbeat_at > timedelta(seconds=self._settings.lost_after_s)

    def _submit(self, run_id: str, attempt: int) -> None:
        """Give a run, if nobody did so since it had this attempt number, to the workers: a new attempt."""
        with self._database.transaction() as session:
            run = session.get_one(TrainingRun, run_id, with_for_update=True)
            if run.attempt != attempt or RunState(run.state).is_final:
                return
            if run.heartbeat_at is not None and not self._count_loss(run):
                run.move(RunState.FAILED)
                self._settle(run)
                return
            if run.state != RunState.QUEUED:
                run.move(RunState.QUEUED)
            run.attempt += 1
            run.heartbeat_at = None
            stage = "collect" if run.snapshot is None else "train"
            run.job_id = f"{run.id}-{stage}-{run.attempt}"
            origin = session.get_one(Origin, run.project_id)
        if stage == "collect":
            job, queue, timeout_s = f"adapters.{origin.kind}.jobs.collect", QueueName.BACKGROUND, _COLLECT_TIMEOUT_S
        else:
            job, queue, timeout_s = "backend.jobs.train", QueueName.TRAINING, self._settings.run_timeout_s
        self._queue.submit(job, run.id, run.attempt, queue=queue, job_id=run.job_id, timeout_s=timeout_s)
        log.info("run submitted", extra={"run_id": run.id, "stage": stage, "attempt": run.attempt})

    @staticmethod
    def _count_loss(run: TrainingRun) -> bool:
        """Note that the run's process is gone; say whether it is worth another attempt."""
        fraction = float(run.progress.get("fraction", 0.0))
        got_further = fraction > float(run.progress.get("fraction_at_loss", -1.0))
        losses = 1 if got_further else int(run.progress.get("losses", 0)) + 1
        run.progress = {**run.progress, "losses": losses, "fraction_at_loss": fraction}
        log.warning("run lost its process", extra={"run_id": run.id, "attempt": run.attempt, "losses": losses})
        if losses < MAX_LOSSES:
            return True
        run.error = (
            f"its process was killed {losses} times at the same point; the machine may be short of memory "
            "(see the log of the worker)"
        )
        run.error_code = RunFault.WORKER_LOST.value
        return False

    # What the process that works on a run may say; each raises RunLost when the run is no longer its own.

    def claim(self, run_id: str, attempt: int, *, state: RunState) -> TrainingRun:
        """Take a run up that waits in the queue; `state` is what it is from now on.

        Raises:
            RunLost: It is no longer waiting for this attempt.
        """
        with self._database.transaction() as session:
            run = session.get(TrainingRun, run_id, with_for_update=True)
            if run is None or run.attempt != attempt or run.state != RunState.QUEUED or run.heartbeat_at is not None:
                raise RunLost(run_id)
            if state is not RunState.QUEUED:
                run.move(state)
            run.heartbeat_at = utc_now()
            return run

    def beat(self, run: TrainingRun) -> None:
        """Say that the run is being worked on.

        Raises:
            RunLost: See there.
        """
        self._change(run, heartbeat_at=utc_now())

    def tell(self, run: TrainingRun, progress: Mapping[str, Any], history: list[Any]) -> None:
        """Store the newest progress and the metrics by epoch.

        Raises:
            RunLost: See there.
        """
        self._change(run, heartbeat_at=utc_now(), progress=dict(progress), history=history)

    def add_line(self, run: TrainingRun, text: str) -> None:
        """Add a line to the run's log."""
        with self._database.transaction() as session:
            session.execute(insert(RunLine).values(run_id=run.id, text=text[:2000], at=utc_now()))

    def collected(self, run: TrainingRun, snapshot: str, *, counts: LabelCounts | None = None) -> None:
        """The labels are collected: the run now waits for a trainer.

        Raises:
            RunLost: See there.
        """
        counted = {"dataset": asdict(counts)} if counts else {}
        self._change(run, snapshot=snapshot, heartbeat_at=None, job_id=None, progress={**run.progress, **counted})

    def end(
        self,
        run: TrainingRun,
        state: RunState,
        *,
        error: str | None = None,
        error_code: str | None = None,
        version_id: str | None = None,
    ) -> None:
        """Complete, fail or cancel the run, and let it pay for what it took.

        Raises:
            RunLost: See there.
        """
        with self._database.transaction() as session:
            stored = session.get_one(TrainingRun, run.id, with_for_update=True)
            if stored.attempt != run.attempt or RunState(stored.state).is_final:
                raise RunLost(run.id)
            stored.move(state)
            stored.error, stored.error_code, stored.version_id = error, error_code, version_id
            if state is RunState.COMPLETED:
                stored.progress = {**stored.progress, "fraction": 1.0, "eta_s": 0.0}
            self._settle(stored)
        log.info("run ended", extra={"run_id": run.id, "state": state.value, "error": error})

    def _settle(self, run: TrainingRun) -> None:
        minutes = (utc_now() - run.started_at).total_seconds() / 60 if run.started_at else 0.0
        self._allowances.settle(run.id, minutes, outcome=_outcome(run))

    def twin(self, run: TrainingRun) -> TrainingRun | None:
        """Return an earlier completed run with the same labels and settings: it has already made this version."""
        query = (
            select(TrainingRun)
            .filter_by(label_set_id=run.label_set_id, snapshot=run.snapshot, family=run.family)
            .where(TrainingRun.state == RunState.COMPLETED.value)
            .order_by(TrainingRun.id.desc())
        )
        with self._database.reading() as session:
            return next((row for row in session.scalars(query) if row.settings == run.settings), None)

    def last_wish_at(self, project_id: str) -> datetime | None:
        """Return when a run of the project was last wished for."""
        with self._database.reading() as session:
            wished = select(TrainingRun.created_at).filter_by(project_id=project_id, trigger=Trigger.LABEL_STUDIO.value)
            return session.scalar(wished.order_by(TrainingRun.id.desc()).limit(1))

    def _change(self, run: TrainingRun, **values: Any) -> None:
        statement = (
            update(TrainingRun)
            .where(TrainingRun.id == run.id, TrainingRun.attempt == run.attempt, TrainingRun.state.in_(_ACTIVE))
            .values(**values)
        )
        with self._database.transaction() as session:
            result = session.execute(statement)
            assert isinstance(result, CursorResult)
            if result.rowcount != 1:
                raise RunLost(run.id)


def _outcome(run: TrainingRun) -> Outcome:
    """Say how a run ended, as far as it matters for what it costs."""
    match run.state:
        case RunState.COMPLETED:
            return Outcome.COMPLETED
        case RunState.CANCELLED:
            return Outcome.CANCELLED if run.history else Outcome.CANCELLED_EARLY
    is_of_data = run.error_code in {fault.value for fault in RunFault if fault.is_of_data}
    return Outcome.FAILED if is_of_data else Outcome.LOST
