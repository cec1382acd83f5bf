"""What is being labelled: projects, where they came from, and their label sets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import ForeignKey, Select, UniqueConstraint, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.errors import NotFound
from backend.ids import new_id
from backend.secrets import Vault
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record, next_number
from models.labels import LabelSchema

OWN_PARAMS = "tandem"
"""The key of `Origin.params` under which we keep what is ours; no origin may change it."""


class Promotion(StrEnum):
    """When a new version takes over."""

    ALWAYS = "always"
    WHEN_BETTER = "when_better"
    """Only when it is at least as good on the same held-out items."""
    MANUAL = "manual"


class Project(Record, kw_only=True):
    """Something that is being labelled.

    Attributes:
        number: The same project for those who count: unique, and never used again.
        workspace_id: Who may touch it; None: the members of the oldest workspace, because nobody said whose it is.
        train_every, train_quiet_s: Override the settings of the same name; None: as set for the server.
    """

    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    number: Mapped[int] = mapped_column(unique=True, index=True)
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    workspace_id: Mapped[str | None] = mapped_column(index=True, default=None)
    created_by: Mapped[str | None] = mapped_column(default=None)
    promotion: Mapped[str] = mapped_column(default=Promotion.ALWAYS.value)
    train_every: Mapped[int | None] = mapped_column(default=None)
    train_quiet_s: Mapped[float | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


class Origin(Record, kw_only=True):
    """Where a project lives in somebody else's program.

    Attributes:
        kind: The adapter that speaks to it: the folder under adapters/.
        uid: Its name there, unique among installations.
        url: Address of that installation, as it says; may be unusable from here.
        document: The labelling configuration in its own words; only the adapter reads it.
        params: Extra parameters a person entered there; and what we keep ourselves, under `OWN_PARAMS`.
        token: Its access token, encrypted.
        is_trusted: Whether it was set up by a caller who knew our credentials.
        seen_at: When it last called us.
        error: Why it last failed; empty when it did not.
    """

    __tablename__ = "origins"
    __table_args__ = (UniqueConstraint("kind", "uid"),)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    kind: Mapped[str]
    uid: Mapped[str]
    url: Mapped[str] = mapped_column(default="")
    document: Mapped[str] = mapped_column(default="")
    params: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    token: Mapped[str] = mapped_column(default="")
    is_trusted: Mapped[bool] = mapped_column(default=False)
    seen_at: Mapped[datetime | None] = mapped_column(default=None)
    error: Mapped[str] = mapped_column(default="")


class LabelSet(Record, kw_only=True):
    """A named schema within a project, with the version that answers for it.

    Attributes:
        name: What the origin calls it: in Label Studio the control's name.
        title: What people call it; unique in its project where it is not empty.
        labels: The schema's stored form.
        document: Its own part of the labelling configuration in the origin's words, as long as the origin's does not
            have it as it is here; "": the project's is all there is.
        colors: "#rrggbb" by label, where somebody chose one.
        field: Which field of a task's data it is about.
        is_active: Whether the project's configuration still has it.
        version_id: The model version in use; None before the first training.
        is_pinned: Whether new versions must not take over.
    """

    __tablename__ = "label_sets"
    __table_args__ = (UniqueConstraint("project_id", "name"),)
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str]
    labels: Mapped[dict[str, Any]]
    title: Mapped[str] = mapped_column(default="")
    document: Mapped[str] = mapped_column(default="")
    colors: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    field: Mapped[str] = mapped_column(default="")
    is_active: Mapped[bool] = mapped_column(default=True)
    version_id: Mapped[str | None] = mapped_column(default=None)
    is_pinned: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default_factory=utc_now)

    @property
    def schema(self) -> LabelSchema:
        """What may be said."""
        return LabelSchema.from_json(self.labels)


@dataclass(frozen=True, slots=True)
class Mirror:
    """A project as its origin last described it."""

    project: Project
    origin: Origin
    label_sets: tuple[LabelSet, ...]


_MIRROR = (
    select(Project, Origin, LabelSet)
    .join(Origin, Origin.project_id == Project.id)
    .outerjoin(LabelSet, (LabelSet.project_id == Project.id) & LabelSet.is_active)
    .order_by(Project.id, LabelSet.id)
)


class Projects:
    """Finds, mirrors and changes projects."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def mirror(
        self,
        kind: str,
        uid: str,
        *,
        document: str,
        schemas: Mapping[str, LabelSchema],
        fields: Mapping[str, str] | None = None,
        url: str | None = None,
        params: Mapping[str, Any] | None = None,
        token: str | None = None,
        is_trusted: bool = False,
    ) -> Mirror:
        """Find the project of an origin, or create it, and bring it up to date with what the origin says now.

        Label sets that disappeared are kept, inactive: they and their versions come back with their name. Those with a
        document of their own, which the origin is still to get, stay as they are. Writes only where something changed,
        so it may be called with every request.

        Args:
            kind: The adapter.
            uid: The project's name there.
            document: Its configuration; where it is the stored one, only the names in `schemas` are compared.
            schemas: What may be said, by label set name.
            fields: Which field of a task's data a label set is about, by its name.
            url: Address of the installation; None leaves it as it is.
            params: What a person entered there; None leaves them as they are.
            token: Its access token; None leaves it as it is.
            is_trusted: Whether the caller proved to know our credentials; once trusted, always trusted.
        """
        mirror = self.find(kind, uid)
        is_known = mirror is not None and _told(mirror.label_sets) == set(schemas) - _untold(mirror.label_sets)
        if is_known and mirror and not self._differs(mirror.origin, document, url, params, token, is_trusted):
            return mirror
        self._make_sure_of(kind, uid)
        with self._database.transaction() as session:
            origin = session.scalars(select(Origin).filter_by(kind=kind, uid=uid).with_for_update()).one()
            origin.document = document
            origin.url = url if url is not None else origin.url
            origin.params = _merged(params, origin.params) if params is not None else origin.params
            origin.token = self._vault.encrypt(token) if token else origin.token
            origin.is_trusted = origin.is_trusted or is_trusted
            self._update_label_sets(session, origin.project_id, schemas, fields or {})
            session.flush()
            found = self.find(kind, uid)
        assert found is not None
        return found

    def _make_sure_of(self, kind: str, uid: str) -> None:
        """Create a project without label sets for an origin that has none; of several at once the first wins."""
        with contextlib.suppress(IntegrityError), self._database.transaction() as session:
            if session.scalar(select(Origin.uid).filter_by(kind=kind, uid=uid)) is None:
                project = Project(number=next_number(session, "project"), title=uid.split(".")[0])
                session.add(project)
                session.flush()
                session.add(Origin(project_id=project.id, kind=kind, uid=uid))

    def find(self, kind: str, uid: str) -> Mirror | None:
        """Return the project of an origin, if it was ever set up."""
        with self._database.reading() as session:
            return next(_mirrors(session, _MIRROR.where(Origin.kind == kind, Origin.uid == uid)), None)

    def find_origin(self, kind: str, uid: str) -> Origin | None:
        """Return an origin alone, if its project was ever set up; a third of the work of `find`."""
        with self._database.reading() as session:
            return session.scalar(select(Origin).filter_by(kind=kind, uid=uid))

    def get(self, project_id: str) -> Mirror:
        """Return a project by its id, by its origin's uid, or by the number with which that uid begins.

        Raises:
            NotFound: None fits, or several do.
        """
        with self._database.reading() as session:
            is_meant = (
                (Origin.project_id == project_id)
                | (Origin.uid == project_id)
                | Origin.uid.startswith(f"{project_id}.", autoescape=True)
            )
            fitting = list(_mirrors(session, _MIRROR.where(is_meant)))
            if len(fitting) != 1:
                what = "several projects fit" if fitting else "there is no project"
                raise NotFound(f"{what} {project_id!r}; `tandem status` lists them", code="project_not_found")
            return fitting[0]

    def all(self) -> list[Mirror]:
        """Return every project, oldest first."""
        with self._database.reading() as session:
            return list(_mirrors(session, _MIRROR))

    def get_label_set(self, label_set_id: str) -> LabelSet:
        """Return a label set.

        Raises:
            NotFound: There is none with that id.
        """
        with self._database.reading() as session:
            found = session.get(LabelSet, label_set_id)
            if found is None:
                raise NotFound(f"there is no label set {label_set_id!r}", code="label_set_not_found")
            return found

    def note_contact(self, origin: Origin, *, error: str = "") -> None:
        """Remember that an origin called us, and how that went; at most one write in ten seconds where all is well.

        Args:
            origin: As it was found when it called.
            error: Why it failed; empty where it did not.
        """
        now = utc_now()
        is_fresh = origin.seen_at is not None and (now - origin.seen_at).total_seconds() < 10
        if is_fresh and origin.error == error:
            return
        with self._database.transaction() as session:
            noted = update(Origin).filter_by(project_id=origin.project_id).values(seen_at=now, error=error)
            session.execute(noted)

    def change(
        self,
        project_id: str,
        *,
        promotion: Promotion | None = None,
        train_every: int | None = None,
        train_quiet_s: float | None = None,
    ) -> Project:
        """Change how a project promotes and trains; None leaves a value as it is."""
        with self._database.transaction() as session:
            project = session.get_one(Project, project_id)
            project.promotion = promotion.value if promotion else project.promotion
            project.train_every = train_every if train_every is not None else project.train_every
            project.train_quiet_s = train_quiet_s if train_quiet_s is not None else project.train_quiet_s
            return project

    def token(self, origin: Origin) -> str | None:
        """Return the access token an origin gave us, if it can be read."""
        return self._vault.decrypt(origin.token) if origin.token else None

    def _differs(
        self,
        origin: Origin,
        document: str,
        url: str | None,
        params: Mapping[str, Any] | None,
        token: str | None,
        is_trusted: bool,
    ) -> bool:
        return (
            origin.document != document
            or (url is not None and origin.url != url)
            or (params is not None and origin.params != _merged(params, origin.params))
            or (bool(token) and self.token(origin) != token)
            or (is_trusted and not origin.is_trusted)
        )

    @staticmethod
    def _update_label_sets(
        session: Session, project_id: str, schemas: Mapping[str, LabelSchema], fields: Mapping[str, str]
    ) -> None:
        known = {row.name: row for row in session.scalars(select(LabelSet).filter_by(project_id=project_id))}
        untold = _untold(known.values())
        for name, row in known.items():
            row.is_active = name in schemas or name in untold
        for name, schema in schemas.items():
            if name in untold:
                continue
            row = known.get(name) or LabelSet(project_id=project_id, name=name, labels={})
            row.labels, row.field = schema.to_json(), fields.get(name, "")
            session.add(row)


def _told(label_sets: Iterable[LabelSet]) -> set[str]:
    return {row.name for row in label_sets if not row.document}


def _untold(label_sets: Iterable[LabelSet]) -> set[str]:
    """Return the names of those that the origin is still to get, see `LabelSet.document`."""
    return {row.name for row in label_sets if row.document}


def _merged(params: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person entered, with what we keep ourselves."""
    return {**params, OWN_PARAMS: before[OWN_PARAMS]} if OWN_PARAMS in before else dict(params)


def _mirrors(session: Session, query: Select[Project, Origin, LabelSet]) -> Iterator[Mirror]:
    for (project, origin), group in groupby(session.execute(query), key=itemgetter(0, 1)):
        label_sets = (label_set for _, _, label_set in group)
        yield Mirror(project, origin, tuple(filter(None, label_sets)))  # None where there are no label sets
