"""ML backends that somebody registered: this server itself, or another one by its URL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import JSON, ForeignKey, UniqueConstraint, and_, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.access import Access
from backend.accounts.service import Principal
from backend.connections.state import Connection, Facts, derive
from backend.errors import Invalid, NotFound
from backend.inference.job import JobState, PredictionJob
from backend.projects.service import Origin, Project
from backend.projects.tasks import Task
from backend.secrets import Vault
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record
from backend.training.run import RunState, TrainingRun

SELF = "self"
"""`url` of a backend that is this server."""
TRAINING_FAILED = "Training error: "
"""How an error message begins that stays until the next training, however well the backend is."""
_MIRRORED = "label_studio"
"""The kind of origin whose projects are counted there."""


class MLBackend(Record, kw_only=True):
    """A connection between a project and an ML backend.

    Attributes:
        url: `SELF`, or the address of another server.
        basic_auth_pass: Encrypted; "" where there is none.
        auto_update: Whether `model_version` follows what the backend says.
        timeout_s: How long one request to the backend may take.
        is_reachable, error_message: What came of the last time it was asked.
        run_ids: Training runs that were last asked for through it.
        prediction_job_id: The prediction job that was last asked for through it.
    """

    __tablename__ = "ml_backends"
    __table_args__ = (UniqueConstraint("project_id", "url"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True, init=False)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    url: Mapped[str]
    title: Mapped[str | None] = mapped_column(default="default")
    description: Mapped[str | None] = mapped_column(default="")
    auth_method: Mapped[str] = mapped_column(default="NONE")
    basic_auth_user: Mapped[str | None] = mapped_column(default="")
    basic_auth_pass: Mapped[str] = mapped_column(default="")
    is_interactive: Mapped[bool] = mapped_column(default=False)
    auto_update: Mapped[bool] = mapped_column(default=True)
    model_version: Mapped[str | None] = mapped_column(default="")
    extra_params: Mapped[Any] = mapped_column(JSON, nullable=True, default=None)
    timeout_s: Mapped[float] = mapped_column(default=100.0)
    is_reachable: Mapped[bool] = mapped_column(default=False)
    error_message: Mapped[str | None] = mapped_column(default=None)
    run_ids: Mapped[list[Any]] = mapped_column(default_factory=list)
    prediction_job_id: Mapped[str | None] = mapped_column(default=None)
    created_by: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


class Changes(TypedDict, total=False):
    """What may be changed of a backend; see there."""

    url: str
    title: str | None
    description: str | None
    auth_method: str
    basic_auth_user: str | None
    is_interactive: bool
    auto_update: bool
    model_version: str | None
    extra_params: Any
    timeout_s: float


class MLBackends:
    """The registry of ML backends: who may see one sees its project."""

    def __init__(self, database: Database, access: Access, vault: Vault) -> None:
        self._database = database
        self._access = access
        self._vault = vault

    def find_project(self, principal: Principal, number: int) -> Project | None:
        """Return the project that callers know by a number: Label Studio's, or ours where it does not live there.

        Where several installations count so, it is the one that called us last.
        """
        is_mirrored = Origin.kind == _MIRRORED
        with self._database.reading() as session:
            rows = session.execute(
                select(Project, Origin)
                .join(Origin, Origin.project_id == Project.id)
                .where(
                    or_(
                        and_(is_mirrored, or_(Origin.uid == str(number), Origin.uid.startswith(f"{number}."))),
                        and_(~is_mirrored, Project.number == number),
                    )
                )
            ).all()
        seen = [(project, origin) for project, origin in rows if self._is_visible(principal, project)]
        seen.sort(key=lambda row: (row[1].kind == _MIRRORED, row[1].seen_at or row[0].created_at, row[0].id))
        return seen[-1][0] if seen else None

    def project_number(self, backend: MLBackend) -> int:
        """Return the number by which callers know a backend's project."""
        with self._database.reading() as session:
            origin = session.get_one(Origin, backend.project_id)
            if origin.kind == _MIRRORED:
                return int(origin.uid.partition(".")[0])
            return session.get_one(Project, backend.project_id).number

    def create(self, principal: Principal, backend: MLBackend, *, password: str = "") -> MLBackend:
        """Register a backend.

        Raises:
            NotFound: There is no such project.
            Invalid: The project has it already.
        """
        self._access.project(principal, backend.project_id)
        backend.basic_auth_pass = self._vault.encrypt(password) if password else ""
        backend.created_by = principal.user_id
        try:
            with self._database.transaction() as session:
                session.add(backend)
        except IntegrityError:
            raise _is_there_already(backend.url) from None
        return backend

    def all(self, principal: Principal, project_id: str | None = None) -> list[MLBackend]:
        """Return the backends that somebody may see, of one project or of all, oldest first."""
        query = select(MLBackend, Project).join(Project, Project.id == MLBackend.project_id).order_by(MLBackend.id)
        if project_id is not None:
            query = query.where(MLBackend.project_id == project_id)
        with self._database.reading() as session:
            rows = session.execute(query).all()
        return [backend for backend, project in rows if self._is_visible(principal, project)]

    def get(self, principal: Principal, backend_id: int) -> MLBackend:
        """Return a backend.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        with self._database.reading() as session:
            return self._get(session, principal, backend_id)

    def find(self, backend_id: int) -> MLBackend | None:
        """Return a backend, whoever's it is; None: it was removed."""
        with self._database.reading() as session:
            return session.get(MLBackend, backend_id)

    def change(
        self, principal: Principal, backend_id: int, *, password: str | None = None, **changes: Unpack[Changes]
    ) -> MLBackend:
        """Change a backend.

        Args:
            principal: Who asks.
            backend_id: The backend.
            password: The new one; None: as it is; "": none.
            **changes: What else is to be changed.

        Raises:
            NotFound: There is none, or it is somebody else's.
            Invalid: Its project has another one with that URL.
        """
        try:
            with self._database.transaction() as session:
                backend = self._get(session, principal, backend_id)
                for name, value in changes.items():
                    setattr(backend, name, value)
                if password is not None:
                    backend.basic_auth_pass = self._vault.encrypt(password) if password else ""
                backend.updated_at = utc_now()
        except IntegrityError:
            raise _is_there_already(changes.get("url", "")) from None
        return backend

    def delete(self, principal: Principal, backend_id: int) -> None:
        """Forget a backend; what was started through it goes on.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        with self._database.transaction() as session:
            session.delete(self._get(session, principal, backend_id))

    def password(self, backend: MLBackend) -> str:
        """Return a backend's password; "" where there is none, or none that can be read."""
        return self._vault.decrypt(backend.basic_auth_pass) or "" if backend.basic_auth_pass else ""

    def note(
        self, backend: MLBackend, *, is_reachable: bool, error: str | None, model_version: str | None = None
    ) -> MLBackend:
        """Remember what came of asking a backend; nothing is written where that is known already.

        Args:
            backend: The backend.
            is_reachable: Whether it answered.
            error: What is wrong with it.
            model_version: What it says that it serves; None: it did not say.
        """
        served = model_version if model_version is not None and backend.auto_update else backend.model_version
        found = (is_reachable, error, served)
        if found != (backend.is_reachable, backend.error_message, backend.model_version):
            backend.is_reachable, backend.error_message, backend.model_version = found
            self._write(backend.id, is_reachable=is_reachable, error_message=error, model_version=served)
        return backend

    def note_training(self, backend: MLBackend, run_ids: Sequence[str]) -> None:
        """Remember the runs that were asked for through a backend; what went wrong before no longer counts."""
        self._write(backend.id, run_ids=list(run_ids), error_message=None)

    def note_predicting(self, backend: MLBackend, job_id: str) -> None:
        """Remember the prediction job that was asked for through a backend."""
        self._write(backend.id, prediction_job_id=job_id)

    def open_runs(self, backend: MLBackend) -> list[str]:
        """Return the ids of the runs that were asked for through a backend and have not ended."""
        return [run.id for run in self._runs(backend) if RunState(run.state).is_open]

    def state(self, backend: MLBackend, *, is_training: bool = False) -> Connection:
        """Return what a backend is doing, as far as is known.

        Args:
            backend: The backend.
            is_training: Whether it says itself that it is.
        """
        runs = self._runs(backend)
        with self._database.reading() as session:
            job = session.get(PredictionJob, backend.prediction_job_id) if backend.prediction_job_id else None
        failure = next((run.error for run in runs if run.state == RunState.FAILED), None)
        return derive(
            Facts(
                is_reachable=backend.is_reachable,
                is_training=is_training or any(RunState(run.state).is_open for run in runs),
                is_predicting=job is not None and not JobState(job.state).is_final,
                error=backend.error_message or failure or (_fault_of(job) if job else None),
            )
        )

    def task(self, backend: MLBackend, number: int) -> Task:
        """Return a task of a backend's project by the number that callers know it by; see `find_project`.

        Raises:
            NotFound: It has none, or none that was seen here.
        """
        with self._database.reading() as session:
            is_mirrored = session.get_one(Origin, backend.project_id).kind == _MIRRORED
            named = Task.external_id == str(number) if is_mirrored else Task.number == number
            found = session.scalar(select(Task).where(Task.project_id == backend.project_id, named))
        if found is None:
            raise _not_found()
        return found

    def random_task(self, backend: MLBackend) -> Task | None:
        """Return any task of a backend's project that was seen here; None: there is none."""
        with self._database.reading() as session:
            wanted = select(Task).where(Task.project_id == backend.project_id)
            return session.scalar(wanted.order_by(func.random()).limit(1))

    def _runs(self, backend: MLBackend) -> Sequence[TrainingRun]:
        with self._database.reading() as session:
            return session.scalars(select(TrainingRun).where(TrainingRun.id.in_(backend.run_ids))).all()

    def _get(self, session: Session, principal: Principal, backend_id: int) -> MLBackend:
        found = session.get(MLBackend, backend_id)
        project = session.get(Project, found.project_id) if found else None
        if found is None or project is None or not self._is_visible(principal, project):
            raise _not_found()
        return found

    def _is_visible(self, principal: Principal, project: Project) -> bool:
        return self._access.workspace_id(project) in principal.workspace_ids

    def _write(self, backend_id: int, **facts: Any) -> None:
        with self._database.transaction() as session:
            row = session.get(MLBackend, backend_id)  # None: it was removed meanwhile
            for name, value in facts.items() if row else ():
                setattr(row, name, value)


def _fault_of(job: PredictionJob) -> str | None:
    """Return why a job failed, or which tasks it could not get predicted."""
    if job.error or not (JobState(job.state).is_final and job.num_failed):
        return job.error
    return f"{job.num_failed} of {job.num_done + job.num_failed} tasks could not be predicted: {job.faults[0]}"


def _not_found() -> NotFound:
    return NotFound("Not found.", code="not_found")


def _is_there_already(url: str) -> Invalid:
    message = f"The project has an ML backend with the URL {url!r} already."
    return Invalid(message, code="validation_error", details={"fields": {"url": message}})
