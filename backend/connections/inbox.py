"""Events from outside: stored before they are acknowledged, coalesced into training runs afterwards."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, cast, delete, func, insert, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from backend.metrics import EVENTS
from backend.projects.service import Project
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record
from backend.training.service import Training

log = logging.getLogger(__name__)

UNTRUSTED_INTERVAL = timedelta(seconds=60)
"""Events whose sender did not prove who it is start at most one run per project in this time."""
KEPT_FOR = timedelta(days=30)


class Event(Record, kw_only=True):
    """Something that happened to a project's labels elsewhere. Only ids are kept, never contents.

    Attributes:
        action: In the origin's words.
        num_changes: How many annotations it touches.
        run_id: The run that took it in.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index(
            "events_waiting",
            "project_id",
            sqlite_where=text("handled_at IS NULL"),
            postgresql_where=text("handled_at IS NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True, init=False)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    action: Mapped[str]
    annotation_ids: Mapped[list[Any]]
    num_changes: Mapped[int]
    is_trusted: Mapped[bool]
    received_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    handled_at: Mapped[datetime | None] = mapped_column(default=None)
    run_id: Mapped[str | None] = mapped_column(default=None)


@dataclass(frozen=True, slots=True)
class _Waiting:
    project_id: str
    num_changes: int
    first_at: datetime
    last_at: datetime
    last_id: int
    are_trusted: bool


@dataclass(frozen=True, slots=True)
class _Unwritten:
    event: dict[str, Any]
    written: Future[None]


class Inbox:
    """Takes events in and turns them into runs by each project's policy."""

    def __init__(self, database: Database, training: Training, settings: Settings) -> None:
        self._database = database
        self._training = training
        self._settings = settings
        self._turn = threading.Lock()
        self._unwritten: deque[_Unwritten] = deque()

    def put(self, project_id: str, action: str, annotation_ids: Sequence[str], *, is_trusted: bool) -> None:
        """Store a change of annotations; when this returns, it survives whatever happens to us.

        Events that arrive while one is being written are written together: they share a transaction, and the disk is
        waited for once. So it must not be called inside a transaction.

        Args:
            project_id: Whose annotations changed.
            action: What happened, in the origin's words.
            annotation_ids: Which ones; where they are not known, the event counts as one change.
            is_trusted: Whether the sender proved who it is.
        """
        event = {
            "project_id": project_id,
            "action": action,
            "annotation_ids": list(annotation_ids),
            "num_changes": max(1, len(annotation_ids)),
            "is_trusted": is_trusted,
            "received_at": utc_now(),
        }
        ours = _Unwritten(event, Future())
        self._unwritten.append(ours)
        with self._turn:
            if not ours.written.done():  # nobody who had the turn before us has written it
                self._write_all()
        ours.written.result()
        EVENTS.labels(action).inc()

    def _write_all(self) -> None:
        batch = [self._unwritten.popleft() for _ in range(len(self._unwritten))]
        try:
            with self._database.transaction() as session:
                session.execute(insert(Event), [each.event for each in batch])
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
            for each in batch:
                each.written.set_exception(error)
        else:
            for each in batch:
                each.written.set_result(None)

    def num_waiting(self, project_id: str | None = None) -> int:
        """Return how many changes no run has taken in yet, of one project or of all."""
        query = select(func.coalesce(func.sum(Event.num_changes), 0)).where(Event.handled_at.is_(None))
        if project_id is not None:
            query = query.where(Event.project_id == project_id)
        with self._database.reading() as session:
            return int(session.scalar(query) or 0)

    def train_every(self, project: Project) -> int:
        """Return after how many changes a project is trained; 0: only when somebody asks."""
        return self._settings.train_every if project.train_every is None else project.train_every

    def train_quiet_s(self, project: Project) -> float:
        """Return how long a project must be quiet before it is trained."""
        return self._settings.train_quiet_s if project.train_quiet_s is None else project.train_quiet_s

    def coalesce(self) -> None:
        """Wish for a run wherever a project's policy says that enough has changed. Called by the clock.

        A project's policy: so many changes, then quiet for a while, but not waiting for quiet too long. A run collects
        its labels when it starts, so whatever is in the inbox while it is pending is in it.
        """
        for waiting in self._all_waiting():
            with self._database.reading() as session:
                project = session.get_one(Project, waiting.project_id)
            runs = self._training.pending(project.id)
            if not runs and self._is_due(waiting, project):
                runs = self._training.wish(project.id, reason=f"{waiting.num_changes} changed annotations")
            if runs:
                self._handled(waiting, runs[0].id)

    def prune(self) -> None:
        """Forget events that were handled long ago."""
        with self._database.transaction() as session:
            session.execute(delete(Event).where(Event.handled_at < utc_now() - KEPT_FOR))

    def _all_waiting(self) -> list[_Waiting]:
        query = (
            select(
                Event.project_id,
                func.sum(Event.num_changes),
                func.min(Event.received_at),
                func.max(Event.received_at),
                func.max(Event.id),
                func.min(cast(Event.is_trusted, Integer)),
            )
            .where(Event.handled_at.is_(None))
            .group_by(Event.project_id)
        )
        with self._database.reading() as session:
            return [
                _Waiting(project_id, int(changes), first_at, last_at, last_id, bool(trusted))
                for project_id, changes, first_at, last_at, last_id, trusted in session.execute(query)
            ]

    def _is_due(self, waiting: _Waiting, project: Project) -> bool:
        every, quiet_s = self.train_every(project), self.train_quiet_s(project)
        if every == 0 or waiting.num_changes < every:
            return False
        now = utc_now()
        is_quiet = now - waiting.last_at >= timedelta(seconds=quiet_s)
        waited_long = now - waiting.first_at >= timedelta(seconds=max(self._settings.train_wait_s, quiet_s))
        if not (is_quiet or waited_long):
            return False
        if waiting.are_trusted:
            return True
        last = self._training.last_wish_at(waiting.project_id)
        return last is None or now - last >= UNTRUSTED_INTERVAL

    def _handled(self, waiting: _Waiting, run_id: str | None) -> None:
        with self._database.transaction() as session:
            session.execute(
                update(Event)
                .where(Event.project_id == waiting.project_id, Event.id <= waiting.last_id, Event.handled_at.is_(None))
                .values(handled_at=utc_now(), run_id=run_id)
            )
        log.info(
            "events coalesced",
            extra={"project_id": waiting.project_id, "num_changes": waiting.num_changes, "run_id": run_id},
        )
