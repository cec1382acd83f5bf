"""Model versions: register, promote, pin, roll back. A version never changes after it is registered."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.errors import Conflict, NotFound
from backend.ids import new_id
from backend.projects.service import LabelSet
from backend.storage.blobs import BlobStore
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record
from models.checkpoint import ARRAYS, FILES, MANIFEST, ONNX, read_manifest
from models.labels import LabelSchema, Objective

UNTRAINED = "untrained"
"""Name of the version that answers before the first training."""


class ModelVersion(Record, kw_only=True):
    """An immutable trained model and where it comes from.

    Attributes:
        name: Unique in its project; stable across restarts and replicas.
        files: SHA-256 by file name, see `models.checkpoint`.
        snapshot: SHA-256 of the labelled items it learnt from.
        metrics: On the held-out split.
    """

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("label_set_id", "number"), UniqueConstraint("project_id", "name"))
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    label_set_id: Mapped[str] = mapped_column(ForeignKey("label_sets.id"))
    number: Mapped[int]
    name: Mapped[str]
    run_id: Mapped[str]
    family: Mapped[str]
    labels: Mapped[dict[str, Any]]
    settings: Mapped[dict[str, Any]]
    libraries: Mapped[dict[str, Any]]
    weights_source: Mapped[str]
    snapshot: Mapped[str]
    files: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)

    @property
    def schema(self) -> LabelSchema:
        """The labels it was trained with."""
        return LabelSchema.from_json(self.labels)


class Promoted(Record, kw_only=True):
    """One move of the pointer from a label set to its version: the history that rolling back follows."""

    __tablename__ = "promotions"
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    label_set_id: Mapped[str] = mapped_column(ForeignKey("label_sets.id"), index=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


class Versions:
    """Registers versions and says which one answers. Promoting and rolling back are one pointer each."""

    def __init__(self, database: Database, blobs: BlobStore, checkpoints: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._checkpoints = checkpoints
        self._known = lru_cache(maxsize=256)(self.get)  # not stale: a version never changes

    def keep(self, folder: Path) -> dict[str, str]:
        """Put a checkpoint's files into the blob store; return their digests by name."""
        return {name: self._blobs.put_file(folder / name) for name in (*FILES, ARRAYS) if (folder / name).exists()}

    def register(self, label_set_id: str, files: Mapping[str, str], *, run_id: str, snapshot: str) -> ModelVersion:
        """Make a new version of a label set of a checkpoint that is kept.

        The same weights, registered again, are the version that they already are.

        Args:
            label_set_id: What it answers for.
            files: As `keep` returned them.
            run_id: The run that it comes from.
            snapshot: SHA-256 of the labelled items that it learnt from.
        """
        manifest = read_manifest(self._blobs.path(files[MANIFEST]))
        with self._database.transaction() as session:
            label_set = session.get_one(LabelSet, label_set_id)
            rows = session.scalars(select(ModelVersion).filter_by(label_set_id=label_set_id)).all()
            for row in rows:
                if row.files == dict(files):
                    return row
            number = 1 + max((row.number for row in rows), default=0)
            version = ModelVersion(
                project_id=label_set.project_id,
                label_set_id=label_set_id,
                number=number,
                name=f"{_slug(label_set.name)}-v{number}-{files.get(ONNX, files[MANIFEST])[:8]}",
                run_id=run_id,
                family=manifest.family,
                labels=manifest.schema.to_json(),
                settings=asdict(manifest.settings),
                libraries=dict(manifest.libraries),
                weights_source=manifest.weights_source,
                snapshot=snapshot,
                files=dict(files),
                metrics=dict(manifest.metrics),
            )
            session.add(version)
            session.flush()
            return version

    def get(self, version_id: str) -> ModelVersion:
        """Return a version by its id.

        Raises:
            NotFound: There is none.
        """
        with self._database.reading() as session:
            found = session.get(ModelVersion, version_id)
            if found is None:
                raise NotFound(f"there is no model version {version_id!r}", code="version_not_found")
            session.expunge(found)  # what is rolled back takes what its session holds with it
            return found

    def named(self, project_id: str, name: str) -> ModelVersion:
        """Return a version of a project by its name.

        Raises:
            NotFound: There is none.
        """
        with self._database.reading() as session:
            found = session.scalar(select(ModelVersion).filter_by(project_id=project_id, name=name))
            if found is None:
                raise NotFound(f"the project has no model version {name!r}", code="version_not_found")
            return found

    def of_project(self, project_id: str) -> list[ModelVersion]:
        """Return a project's versions, oldest first."""
        with self._database.reading() as session:
            query = select(ModelVersion).filter_by(project_id=project_id).order_by(ModelVersion.id)
            return list(session.scalars(query))

    def of_label_set(self, label_set_id: str) -> list[ModelVersion]:
        """Return a label set's versions, oldest first."""
        with self._database.reading() as session:
            query = select(ModelVersion).filter_by(label_set_id=label_set_id).order_by(ModelVersion.number)
            return list(session.scalars(query))

    def current(self, label_sets: Sequence[LabelSet]) -> dict[str, ModelVersion]:
        """Return the version in use, by label set id; label sets that were never trained are absent.

        Those that only answer clicks are absent too: they predict nothing, and no prediction names them.
        """
        return self._in_use(row for row in label_sets if row.schema.objective is not Objective.CLICK_SEGMENTATION)

    def answering_clicks(self, label_sets: Sequence[LabelSet]) -> dict[str, ModelVersion]:
        """Return the version in use of the label sets that only answer clicks, by their id."""
        return self._in_use(row for row in label_sets if row.schema.objective is Objective.CLICK_SEGMENTATION)

    def _in_use(self, label_sets: Iterable[LabelSet]) -> dict[str, ModelVersion]:
        return {row.id: self._known(row.version_id) for row in label_sets if row.version_id}

    def checkpoint(self, version: ModelVersion) -> Path:
        """Return a folder with the version's files.

        Raises:
            NotFound: A file is missing from the store.
        """
        return self._blobs.materialize(version.files, self._checkpoints / version.id)

    def remove(self, version: ModelVersion) -> None:
        """Forget a version that does not answer, and that it ever did; `discard_files` once that is settled."""
        with self._database.transaction() as session:
            session.execute(delete(Promoted).filter_by(version_id=version.id))
            session.execute(delete(ModelVersion).filter_by(id=version.id))

    def discard_files(self, version: ModelVersion) -> None:
        """Let go of a forgotten version's files, but those that other versions have too."""
        with self._database.reading() as session:
            shared = {digest for files in session.scalars(select(ModelVersion.files)) for digest in files.values()}
        for digest in set(version.files.values()) - shared:
            self._blobs.remove(digest)
        shutil.rmtree(self._checkpoints / version.id, ignore_errors=True)

    def promote(self, version: ModelVersion, *, reason: str) -> None:
        """Let a version answer from now on."""
        with self._database.transaction() as session:
            self._point(session, session.get_one(LabelSet, version.label_set_id), version.id, reason)

    def pin(self, version: ModelVersion) -> None:
        """Let a version answer, and no other until `unpin`."""
        with self._database.transaction() as session:
            label_set = session.get_one(LabelSet, version.label_set_id)
            self._point(session, label_set, version.id, "pinned")
            label_set.is_pinned = True

    def unpin(self, label_set_id: str) -> None:
        """Let new versions take over again."""
        with self._database.transaction() as session:
            session.get_one(LabelSet, label_set_id).is_pinned = False

    def roll_back(self, label_set_id: str) -> ModelVersion:
        """Let the version answer that answered before the present one, and pin it; return it.

        Raises:
            Conflict: There was none.
        """
        with self._database.transaction() as session:
            label_set = session.get_one(LabelSet, label_set_id)
            history = session.scalars(
                select(Promoted.version_id)
                .filter_by(label_set_id=label_set_id)
                .order_by(Promoted.created_at, Promoted.id)
            ).all()
            current = label_set.version_id
            number = {row.id: row.number for row in self.of_label_set(label_set_id)}
            older = [version_id for version_id in history if number[version_id] < number.get(current or "", 0)]
            if not older:
                raise Conflict(f"{label_set.name!r} has no earlier version to go back to", code="no_earlier_version")
            self._point(session, label_set, older[-1], "rolled back")
            label_set.is_pinned = True
            return session.get_one(ModelVersion, older[-1])

    def history(self, label_set_id: str) -> list[Promoted]:
        """Return which versions answered when, oldest first."""
        with self._database.reading() as session:
            query = select(Promoted).filter_by(label_set_id=label_set_id).order_by(Promoted.created_at, Promoted.id)
            return list(session.scalars(query))

    @staticmethod
    def _point(session: Session, label_set: LabelSet, version_id: str, reason: str) -> None:
        if label_set.version_id != version_id:
            label_set.version_id = version_id
            session.add(Promoted(label_set_id=label_set.id, version_id=version_id, reason=reason))


def combined_name(current: Mapping[str, ModelVersion]) -> str:
    """Name the versions of all label sets of a project as one, for callers who know only one version.

    A project with one label set has that version's name; several are joined, each being unique in the project.
    """
    names = sorted(version.name for version in current.values())
    if not names:
        return UNTRAINED
    joined = "+".join(names)
    if len(joined) <= 200:
        return joined
    return f"{len(names)}-versions-{sha256(joined.encode()).hexdigest()[:16]}"


def _slug(name: str) -> str:
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in name)[:40]
