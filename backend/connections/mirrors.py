"""Projects that are mirrored into Label Studio: what is still to be done there, and which process does it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Select, String, cast, func, select, update
from sqlalchemy.orm import Session

from backend.access import Access
from backend.accounts.service import Principal
from backend.connections.inbox import Event
from backend.errors import Conflict, Denied, Invalid
from backend.ids import first_id_at
from backend.projects.service import OWN_PARAMS, LabelSet, Origin
from backend.projects.tasks import SAID_HERE, Annotation, Task
from backend.queue import Queue, QueueName
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.storage.database import Database

log = logging.getLogger(__name__)

KIND = "label_studio"
_JOB = "adapters.mlp.mirroring.mirror"
_TIMEOUT_S = 1800.0
_UPLOADS_TAKE = timedelta(hours=1)
"""At most, from an image's id until others can see its row."""


class MirrorLost(Exception):
    """Another process has taken the mirror up, or the project is gone: stop, and write nothing more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a mirror is. It is kept in `Origin.params`, beside what a person entered there.

    Attributes:
        wanted: The number of the Label Studio project to link; None: a new one is made.
        url: Address of that Label Studio, as we reach it; "" as long as nothing is there.
        is_connected: Whether this server is its ML backend.
        sent_until: Images with smaller ids are all there; they sort by the time they were made.
        last_event: The newest event whose annotations were fetched.
        num_gone: Labelled images that Label Studio no longer has.
        attempt: Goes up whenever a process is asked for; one with an older number has lost the mirror.
        heartbeat_at: When the process that works on it last said so; ISO 8601.
        queue_job_id: The queue's job that works on it now.
        rests_until: Nothing is done before; ISO 8601.
        error: Why it failed; one sentence for people.
    """

    wanted: int | None = None
    url: str = ""
    is_connected: bool = False
    sent_until: str = ""
    last_event: int = 0
    num_gone: int = 0
    attempt: int = 0
    heartbeat_at: str | None = None
    queue_job_id: str | None = None
    rests_until: str | None = None
    error: str = ""

    @property
    def trouble(self) -> str:
        """What people should know; "" where all is well."""
        if self.error or not self.num_gone:
            return self.error
        return f"{self.num_gone} labelled images are gone from Label Studio; they stay here."

    @classmethod
    def of(cls, origin: Origin) -> Self | None:
        """Return how far a project's mirror is; None: nobody asked for one."""
        kept = origin.params.get(OWN_PARAMS)
        return cls(**kept) if kept else None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a task: its name in Label Studio, where its file is said to be, the annotation that came along."""

    external_id: str
    source: str
    annotation_id: str | None


class Mirrors:
    """Keeps mirrors going."""

    def __init__(self, database: Database, queue: Queue, access: Access, settings: Settings) -> None:
        self._database = database
        self._queue = queue
        self._access = access
        self._settings = settings

    def ask(self, principal: Principal, project_id: str, *, number: int | None = None) -> None:
        """Ask for a project to be mirrored; asking again for what is there tries at once what failed.

        Only a row is written: the clock has it done.

        Args:
            principal: Who asks.
            project_id: Which project.
            number: The Label Studio project to link; None: a new one is made.

        Raises:
            NotFound: There is no such project.
            Invalid: This server has no Label Studio, or does not know its own address, see `require_reach`.
            Denied: The principal may not know what is in other projects of Label Studio.
            Conflict: The project is another one there already.
        """
        project = self._access.project(principal, project_id)
        self.require_reach()
        with self._database.transaction() as session:
            origin = session.get_one(Origin, project.id, with_for_update=True)
            is_there = origin.kind == KIND
            if number is not None and is_there and number != _number(origin):
                raise Conflict(
                    f"The project is Label Studio's project {_number(origin)} already; that cannot be changed.",
                    code="invalid_state",
                    details={"projectId": _number(origin)},
                )
            if number is not None and not is_there and not self._access.sees_unowned(principal):
                raise Denied(
                    "Only members of the first workspace, which Label Studio's projects belong to, may link one.",
                    code="forbidden",
                )
            known = Progress.of(origin) or Progress(is_connected=is_there)
            _keep(origin, replace(known, wanted=number, rests_until=None))

    def require_reach(self) -> None:
        """Make sure that this server has a Label Studio to mirror into, and can tell it where to find us.

        Raises:
            Invalid: It has none, or nobody said where we are.
        """
        if not self.reaches(""):
            raise Invalid(
                "This server knows no Label Studio: its operator must set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.",
                code="label_studio_url_missing",
            )
        # NOTE: the Host header of a request must not do instead: whoever wrote it would be sent our Basic auth.
        if not self._settings.base_url:
            raise Invalid(
                "This server does not know where Label Studio reaches it: its operator must set TANDEM_BASE_URL.",
                code="base_url_missing",
            )

    def reaches(self, url: str) -> bool:
        """Say whether the Label Studio at an address, "" for any, is the one that this server has a key for."""
        ours = self._settings.label_studio_url.rstrip("/")
        has_key = bool(self._settings.label_studio_api_key.get_secret_value())
        return bool(ours) and has_key and url.rstrip("/") in ("", ours)

    def advance(self) -> None:
        """Have done what is to be done in Label Studio. Called every second by the clock.

        Raises:
            Unavailable: The queue cannot be reached; nothing is lost, the next call tries again.
        """
        asked = select(Origin).where(cast(Origin.params, String).contains(f'"{OWN_PARAMS}"'))
        with self._database.reading() as session:
            due = [
                (origin.project_id, progress.attempt)
                for origin in session.scalars(asked)
                if (progress := Progress.of(origin)) and self._is_due(session, origin, progress)
            ]
        for project_id, attempt in due:
            self._submit(project_id, attempt)

    def _is_due(self, session: Session, origin: Origin, progress: Progress) -> bool:
        now = utc_now()
        if progress.heartbeat_at is not None:
            silence = now - datetime.fromisoformat(progress.heartbeat_at)
            return silence > timedelta(seconds=self._settings.lost_after_s)
        if progress.queue_job_id is not None and self._queue.is_expected(progress.queue_job_id):
            return False
        if progress.rests_until is not None and now < datetime.fromisoformat(progress.rests_until):
            return False
        return self._has_work(session, origin, progress)

    def _has_work(self, session: Session, origin: Origin, progress: Progress) -> bool:
        if origin.kind != KIND or not progress.is_connected:
            return True
        happened = select(Event.id).where(Event.project_id == origin.project_id, Event.id > progress.last_event)
        unsent = _unsent(origin.project_id).where(Task.id > progress.sent_until)
        work = (unsent.exists(), _unsaid(origin.project_id).exists(), happened.exists())
        return any(session.scalar(select(each)) for each in work)

    def _submit(self, project_id: str, attempt: int) -> None:
        with self._database.transaction() as session:
            origin = session.get(Origin, project_id, with_for_update=True)
            progress = Progress.of(origin) if origin else None
            if origin is None or progress is None or progress.attempt != attempt:
                return
            job_id = f"{project_id}-mirror-{attempt + 1}"
            _keep(origin, replace(progress, attempt=attempt + 1, heartbeat_at=None, queue_job_id=job_id))
        self._queue.submit(
            _JOB, project_id, attempt + 1, queue=QueueName.BACKGROUND, job_id=job_id, timeout_s=_TIMEOUT_S
        )

    # What the process that works on a mirror may say; each raises MirrorLost when the mirror is no longer its own.

    def claim(self, project_id: str, attempt: int) -> Progress:
        """Take a mirror up.

        Raises:
            MirrorLost: It does not wait for this attempt.
        """
        with self._database.transaction() as session:
            origin = session.get(Origin, project_id, with_for_update=True)
            progress = Progress.of(origin) if origin else None
            if origin is None or progress is None or progress.attempt != attempt or progress.heartbeat_at is not None:
                raise MirrorLost(project_id)
            return _keep(origin, replace(progress, heartbeat_at=utc_now().isoformat()))

    def tell(self, project_id: str, attempt: int, **changes: Any) -> Progress:
        """Say that the mirror is being worked on, and store how far it is: fields of `Progress`.

        Raises:
            MirrorLost: See there.
        """
        with self._database.transaction() as session:
            origin = _claimed(session, project_id, attempt)
            progress = Progress.of(origin)
            assert progress is not None
            return _keep(origin, replace(progress, **{"heartbeat_at": utc_now().isoformat(), **changes}))

    def end(self, project_id: str, attempt: int, *, error: str = "", rest_s: float = 0.0) -> None:
        """Let go of the mirror, and of what is still to be done there for a while.

        Raises:
            MirrorLost: See there.
        """
        rests_until = (utc_now() + timedelta(seconds=rest_s)).isoformat()
        self.tell(project_id, attempt, error=error, heartbeat_at=None, queue_job_id=None, rests_until=rests_until)
        log.log(
            logging.WARNING if error else logging.INFO,
            "project mirrored",
            extra={"project_id": project_id, "error": error or None},
        )

    def move_in(self, project_id: str, attempt: int, *, uid: str, url: str) -> None:
        """Say that the project now lives in Label Studio, where it is called `uid`.

        Raises:
            Conflict: Another project lives there already.
            MirrorLost: See there.
        """
        with self._database.transaction() as session:
            origin = _claimed(session, project_id, attempt)
            other = session.scalar(select(Origin.project_id).filter_by(kind=KIND, uid=uid))
            if other not in (None, project_id):
                raise Conflict(
                    f"Project {uid.partition('.')[0]} of Label Studio is a project of its own here already.",
                    code="conflict",
                )
            origin.kind, origin.uid, origin.url, origin.is_trusted = KIND, uid, url, True
            progress = Progress.of(origin)
            assert progress is not None
            _keep(origin, replace(progress, url=url))

    def unsent(self, project_id: str, limit: int) -> list[Task]:
        """Return the oldest images that are not yet tasks in Label Studio."""
        with self._database.reading() as session:
            return list(session.scalars(_unsent(project_id).order_by(Task.number).limit(limit)))

    def note_all_sent(self, project_id: str, attempt: int) -> None:
        """Say that there was nothing left to send; what was uploaded lately is looked at again all the same.

        Raises:
            MirrorLost: See there.
        """
        long_ago = utc_now() - _UPLOADS_TAKE
        self.tell(project_id, attempt, sent_until=first_id_at(long_ago))

    def newest_sent(self, project_id: str) -> int:
        """Return the greatest number that one of the project's tasks has in Label Studio; 0 where none is there."""
        sent = select(Task.external_id).where(Task.project_id == project_id, Task.external_id != Task.id)
        greatest = sent.order_by(func.length(Task.external_id).desc(), Task.external_id.desc()).limit(1)
        with self._database.reading() as session:
            return int(session.scalar(greatest) or 0)

    def said_here(self, task_ids: Sequence[str]) -> dict[str, list[Annotation]]:
        """Return what was said here and not in Label Studio, by task."""
        found: dict[str, list[Annotation]] = {}
        with self._database.reading() as session:
            query = select(Annotation).where(Annotation.task_id.in_(task_ids), Annotation.external_id == SAID_HERE)
            for row in session.scalars(query.order_by(Annotation.label_set_id)):
                found.setdefault(row.task_id, []).append(row)
        return found

    def note_sent(self, project_id: str, attempt: int, sent: Mapping[str, Sent]) -> None:
        """Give tasks, by their ids, the names that Label Studio has given them.

        Raises:
            MirrorLost: See there.
        """
        with self._database.transaction() as session:
            _claimed(session, project_id, attempt)
            for task in session.scalars(_unsent(project_id).where(Task.id.in_(sent))):
                there = sent[task.id]
                task.external_id = there.external_id
                task.media = {field: {**kept, "source": there.source} for field, kept in task.media.items()}
                if there.annotation_id is not None:
                    said = update(Annotation).filter_by(task_id=task.id, external_id=SAID_HERE)
                    session.execute(said.values(external_id=there.annotation_id))

    def labelled_there(self, project_id: str) -> set[str]:
        """Return the names in Label Studio of images of ours that somebody said something about there."""
        said = select(Annotation.id).where(Annotation.task_id == Task.id, Annotation.external_id != SAID_HERE)
        sent = (Task.project_id == project_id, Task.content.is_not(None), Task.external_id != Task.id)
        with self._database.reading() as session:
            return set(session.scalars(select(Task.external_id).where(*sent, said.exists())))

    def unsaid(self, project_id: str) -> dict[str, str]:
        """Return the label sets that Label Studio's configuration does not have as they are: documents by name."""
        with self._database.reading() as session:
            return {row.name: row.document for row in session.scalars(_unsaid(project_id).order_by(LabelSet.id))}

    def note_said(self, project_id: str, attempt: int, documents: Mapping[str, str]) -> None:
        """Say that Label Studio's configuration has label sets as they are in these documents, by name.

        Raises:
            MirrorLost: See there.
        """
        with self._database.transaction() as session:
            _claimed(session, project_id, attempt)
            for row in session.scalars(_unsaid(project_id)):
                if documents.get(row.name) == row.document:
                    row.document = ""

    def newest_event(self, project_id: str) -> int:
        """Return the number of the newest event of a project; 0 where there was none."""
        with self._database.reading() as session:
            return session.scalar(select(func.max(Event.id)).filter_by(project_id=project_id)) or 0


def _unsent(project_id: str) -> Select[Task]:
    return select(Task).where(Task.project_id == project_id, Task.external_id == Task.id, Task.content.is_not(None))


def _unsaid(project_id: str) -> Select[LabelSet]:
    return select(LabelSet).where(LabelSet.project_id == project_id, LabelSet.document != "")


def _claimed(session: Session, project_id: str, attempt: int) -> Origin:
    origin = session.get(Origin, project_id, with_for_update=True, populate_existing=True)
    progress = Progress.of(origin) if origin else None
    if origin is None or progress is None or progress.attempt != attempt:
        raise MirrorLost(project_id)
    return origin


def _keep(origin: Origin, progress: Progress) -> Progress:
    origin.params = {**origin.params, OWN_PARAMS: asdict(progress)}
    return progress


def _number(origin: Origin) -> int | None:
    number = origin.uid.partition(".")[0]
    return int(number) if number.isdecimal() else None
