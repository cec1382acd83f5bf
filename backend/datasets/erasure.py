"""How projects, label sets and images are forgotten, with the files that nothing else needs."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, String, Table, cast, delete, or_, select
from sqlalchemy.orm import Session

from backend.errors import Conflict
from backend.inference.job import JobState, PredictionJob
from backend.projects.service import LabelSet, Project
from backend.projects.tasks import Task, Tasks
from backend.runs.remains import Leftovers, Remains
from backend.settings import Settings
from backend.storage.blobs import BlobStore
from backend.storage.database import Database, Record
from backend.training.run import RunState, TrainingRun
from backend.versions.registry import ModelVersion

THUMBNAILS = "cache/thumbnails"
"""Where below `Settings.home` smaller copies of images lie: <SHA-256>-<longest side>.jpg."""
_FEW = 20
_OPEN = [state.value for state in RunState if state.is_open]
_UNFINISHED = [state.value for state in JobState if not state.is_final]


class Erasure:
    """Forgets things; files go last, so that a row never names one that is gone."""

    def __init__(
        self, database: Database, tasks: Tasks, remains: Remains, blobs: BlobStore, settings: Settings
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._remains = remains
        self._blobs = blobs
        self._settings = settings

    def project(self, project_id: str) -> None:
        """Forget a project and all that is in it.

        Raises:
            Conflict: Something works on it ("invalid_state").
        """
        self._tasks.flush()
        with self._database.transaction() as session:
            _require_idle(session, TrainingRun.project_id == project_id, PredictionJob.project_id == project_id)
            digests = _digests(session, select(Task).filter_by(project_id=project_id))
            left = _leftovers(session, TrainingRun.project_id == project_id, ModelVersion.project_id == project_id)
            _erase(session, Record.metadata.tables["projects"], Project.id == project_id)
        self._remains.discard(left)
        self._discard_images(digests)

    def label_set(self, label_set: LabelSet) -> None:
        """Forget a label set: what was said for it, and what was learnt from that.

        Raises:
            Conflict: Something works on it ("invalid_state").
        """
        self._tasks.flush()
        with self._database.transaction() as session:
            _require_idle(
                session, TrainingRun.label_set_id == label_set.id, PredictionJob.project_id == label_set.project_id
            )
            left = _leftovers(
                session, TrainingRun.label_set_id == label_set.id, ModelVersion.label_set_id == label_set.id
            )
            _erase(session, Record.metadata.tables["label_sets"], LabelSet.id == label_set.id)
        self._remains.discard(left)

    def image(self, task: Task) -> None:
        """Forget an image and what was said about it. Its file stays as long as a training may want it."""
        with self._database.transaction() as session:
            digests = _digests(session, select(Task).filter_by(id=task.id))
            _erase(session, Record.metadata.tables["tasks"], Task.id == task.id)
            is_open = TrainingRun.state.in_(_OPEN)
            if session.scalar(select(TrainingRun.id).filter_by(project_id=task.project_id).where(is_open).limit(1)):
                return
        self._discard_images(digests)

    def _discard_images(self, digests: set[str]) -> None:
        """Let go of the files that no task shows any more; nobody can begin to show one meanwhile."""
        with self._database.transaction() as session:
            shown = select(Task)
            if len(digests) <= _FEW:
                named = [cast(Task.media, String).contains(digest) for digest in digests]
                shown = shown.where(or_(Task.content.in_(digests), *named))
            unneeded = digests - _digests(session, shown)
            for digest in unneeded:
                self._blobs.remove(digest)
        for digest in unneeded:
            for small in (self._settings.home / THUMBNAILS).glob(f"{digest}-*"):
                small.unlink(missing_ok=True)


def _require_idle(session: Session, run: ColumnElement[bool], job: ColumnElement[bool]) -> None:
    state = session.scalar(select(TrainingRun.state).where(run, TrainingRun.state.in_(_OPEN)).limit(1))
    if state is not None:
        raise Conflict(
            "A training is queued or running; cancel it first, or wait until it has ended.",
            code="invalid_state",
            details={"status": RunState(state).told},
        )
    state = session.scalar(select(PredictionJob.state).where(job, PredictionJob.state.in_(_UNFINISHED)).limit(1))
    if state is not None:
        raise Conflict(
            "A batch run is queued or running; wait until it has ended.",
            code="invalid_state",
            details={"status": state},
        )


def _digests(session: Session, shown: Select[Task]) -> set[str]:
    """Return the digests of all files that tasks show."""
    found: set[str] = set()
    rows = shown.with_only_columns(Task.content, Task.media).execution_options(yield_per=1000)
    for content, media in session.execute(rows):
        found |= {content, *(kept["sha256"] for kept in media.values())} - {None}
    return found


def _leftovers(session: Session, run: ColumnElement[bool], version: ColumnElement[bool]) -> Leftovers:
    versions = list(session.scalars(select(ModelVersion).where(version)))
    session.expunge_all()  # the rows will be gone, and what is in them is still wanted
    runs = session.execute(select(TrainingRun.id, TrainingRun.snapshot).where(run)).all()
    snapshots = {snapshot for _, snapshot in runs if snapshot} | {version.snapshot for version in versions}
    return Leftovers(versions, [run_id for run_id, _ in runs], snapshots)


def _erase(session: Session, table: Table, condition: ColumnElement[bool]) -> None:
    """Delete rows, and before them all rows that refer to them."""
    for other in Record.metadata.sorted_tables:
        for key in other.foreign_keys:
            if key.column.table is table:
                _erase(session, other, key.parent.in_(select(key.column).where(condition)))
    session.execute(delete(table).where(condition))
