"""The life of a training run: its row, its states, and the moves between them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.errors import Conflict
from backend.ids import new_id
from backend.storage.columns import utc_now
from backend.storage.database import Record


class RunState(StrEnum):
    """Where a run stands."""

    DRAFT = "draft"
    """Described, and not wanted yet."""
    PENDING = "pending"
    """Wanted. Further wishes join it, because its labels have not been collected yet."""
    QUEUED = "queued"
    """Its turn has come: labels are being collected, or it waits for a trainer."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to the run any more."""
        return self in {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}

    @property
    def is_open(self) -> bool:
        """Whether it is wanted, and has not ended."""
        return self in {RunState.PENDING, RunState.QUEUED, RunState.RUNNING}

    @property
    def told(self) -> str:
        """What those who describe runs call it: theirs is "pending" until they start it, and "queued" from then on."""
        return {RunState.DRAFT: "pending", RunState.PENDING: "queued"}.get(self, self.value)


_MOVES = {
    RunState.DRAFT: {RunState.PENDING, RunState.CANCELLED},
    RunState.PENDING: {RunState.QUEUED, RunState.CANCELLED, RunState.FAILED},
    RunState.QUEUED: {RunState.RUNNING, RunState.FAILED, RunState.CANCELLED, RunState.COMPLETED},
    RunState.RUNNING: {RunState.QUEUED, RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED},
}


class IllegalTransition(Conflict):
    """A run cannot move from where it is to where it should go."""

    default_code = "illegal_transition"


class Trigger(StrEnum):
    """Who wished for a run."""

    LABEL_STUDIO = "label_studio"
    """Somebody there, or what changed there: such wishes join."""
    API = "api"
    """Somebody who described this very run."""


class RunFault(StrEnum):
    """Why runs fail that nothing else gave a code to."""

    NOT_LEARNABLE = "not_learnable"
    """Its labels or its settings do not allow what was asked; whoever asked can change that."""
    LABELS_INSUFFICIENT = "labels_insufficient"
    """There is nothing to learn from, or nothing to measure on."""
    WORKER_LOST = "worker_lost"
    """Its process was killed too often."""
    INTERNAL = "internal"
    """A bug of ours."""

    @property
    def is_of_data(self) -> bool:
        """Whether whoever asked for the run can do something about it."""
        return self in {RunFault.NOT_LEARNABLE, RunFault.LABELS_INSUFFICIENT}


class TrainingRun(Record, kw_only=True):
    """The wish to train, and what became of it.

    Attributes:
        reason: Why, for people: "Start Training", "24 changed annotations" …
        trigger: See `Trigger`.
        title: What people call it.
        ratios: Shares of "train", "val" and "test" among the tasks without a split, for this run only; empty: tasks
            without a split get theirs for good.
        options: What was asked for beyond `settings`, in the words of whoever asked.
        attempt: Goes up each time a process takes the run up; a process with an older number has lost it.
        job_id: The queue's job that works on it now.
        heartbeat_at: When the process that works on it last said so.
        supplied: SHA-256 of annotated tasks that came with the wish, in the origin's form; None: ask the origin.
        snapshot: SHA-256 of the labelled items; None as long as they have not been collected.
        progress: The newest progress: stage, epoch, num_epochs, fraction, metrics, eta_s; and `dataset`: how much it
            learns from, see `LabelCounts`.
        history: Metrics by epoch.
        error: Why it failed, one sentence for people.
        error_code: The same for programs: a `RunFault`, or the code of the error that ended it.
        version_id: The version it made.
        created_by: The user who described it.
        request_id: The request that wished for it.
    """

    __tablename__ = "training_runs"
    __table_args__ = (
        Index(
            "one_pending_run_per_label_set",
            "label_set_id",
            unique=True,
            sqlite_where=text("state = 'pending' AND trigger = 'label_studio'"),
            postgresql_where=text("state = 'pending' AND trigger = 'label_studio'"),
        ),
        Index(
            "one_active_run_per_label_set",
            "label_set_id",
            unique=True,
            sqlite_where=text("state IN ('queued', 'running')"),
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
        Index("training_runs_by_project", "project_id", "id"),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    label_set_id: Mapped[str] = mapped_column(ForeignKey("label_sets.id"))
    reason: Mapped[str]
    family: Mapped[str]
    settings: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default=RunState.PENDING.value)
    attempt: Mapped[int] = mapped_column(default=0)
    job_id: Mapped[str | None] = mapped_column(default=None)
    heartbeat_at: Mapped[datetime | None] = mapped_column(default=None)
    supplied: Mapped[str | None] = mapped_column(default=None)
    snapshot: Mapped[str | None] = mapped_column(default=None)
    progress: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    history: Mapped[list[Any]] = mapped_column(default_factory=list)
    error: Mapped[str | None] = mapped_column(default=None)
    error_code: Mapped[str | None] = mapped_column(default=None)
    trigger: Mapped[str] = mapped_column(default=Trigger.LABEL_STUDIO.value)
    title: Mapped[str] = mapped_column(default="")
    ratios: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    options: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    created_by: Mapped[str | None] = mapped_column(default=None)
    version_id: Mapped[str | None] = mapped_column(default=None)
    request_id: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)

    def move(self, state: RunState) -> None:
        """Go to another state.

        Raises:
            IllegalTransition: There is no such move.
        """
        if state not in _MOVES.get(RunState(self.state), set()):
            raise IllegalTransition(f"run {self.id} is {self.state} and cannot become {state.value}")
        self.state = state.value
        if state is RunState.RUNNING and self.started_at is None:
            self.started_at = utc_now()
        if state.is_final:
            self.finished_at = utc_now()


class RunLine(Record, kw_only=True):
    """One line of a run's log."""

    __tablename__ = "run_lines"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True, init=False)
    run_id: Mapped[str] = mapped_column(ForeignKey("training_runs.id"), index=True)
    text: Mapped[str]
    at: Mapped[datetime] = mapped_column(default_factory=utc_now)
