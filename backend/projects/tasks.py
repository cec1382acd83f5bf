"""The things to label, and what people and models said about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, Index, UniqueConstraint, bindparam, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.errors import Invalid
from backend.ids import new_id
from backend.projects.agreement import TEST, agree_on_parts, draw, hold_out
from backend.projects.service import LabelSet
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record, next_number
from backend.storage.write_behind import WriteBehind
from models.examples import Split
from models.labels import LabelSchema
from models.regions import Box, Region, from_json, to_json

PREDICTIONS_KEPT_FOR = timedelta(days=30)
_MAX_UNWRITTEN = 256


class Task(Record, kw_only=True):
    """One item to label.

    Attributes:
        number: The same task for those who count: unique, and never used again.
        external_id: Its name in the project's origin.
        media: By field of its data: where that came from, as the origin names it, and its SHA-256 in the blob store,
            None as long as it could not be had.
        split: What it may be used for, once it was labelled; it never changes, so versions stay comparable, unless a
            person says otherwise.
        content: SHA-256 of the file that was uploaded here; None where the origin holds it.
        mime_type, width_px, height_px, num_bytes: Of that file; the size is that of the upright image.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        UniqueConstraint("project_id", "external_id"),
        Index("one_task_per_upload", "project_id", "content", unique=True),
        Index("tasks_by_project", "project_id", "id"),
        Index("tasks_by_split", "project_id", "split"),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    number: Mapped[int] = mapped_column(unique=True, index=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    external_id: Mapped[str]
    media: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    split: Mapped[str | None] = mapped_column(default=None)
    filename: Mapped[str] = mapped_column(default="")
    content: Mapped[str | None] = mapped_column(default=None)
    mime_type: Mapped[str] = mapped_column(default="")
    width_px: Mapped[int | None] = mapped_column(default=None)
    height_px: Mapped[int | None] = mapped_column(default=None)
    num_bytes: Mapped[int | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)

    def digest(self, field: str) -> str | None:
        """Return the SHA-256 of what a field holds, if that is here; what was uploaded is what any field holds."""
        return self.content or self.media.get(field, {}).get("sha256")


class Source(StrEnum):
    """Where an annotation comes from."""

    HUMAN = "human"
    IMPORT = "import"
    AGENT = "agent"
    MODEL = "model"


SAID_HERE = "here"
"""`external_id` of the one annotation of a task and label set that was given to us and not to the origin."""


class Annotation(Record, kw_only=True):
    """What one person said about a task, for one label set.

    Attributes:
        external_id: Its name in the origin, or `SAID_HERE`.
    """

    __tablename__ = "annotations"
    __table_args__ = (UniqueConstraint("task_id", "label_set_id", "external_id"),)
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"), index=True)
    label_set_id: Mapped[str] = mapped_column(ForeignKey("label_sets.id"), index=True)
    external_id: Mapped[str]
    regions: Mapped[list[Any]]
    updated_at: Mapped[datetime]
    source: Mapped[str] = mapped_column(default=Source.HUMAN.value)
    created_by: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


class Prediction(Record, kw_only=True):
    """What a version said about an item, kept so that the same question is not computed twice."""

    __tablename__ = "predictions"
    version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    media: Mapped[str] = mapped_column(primary_key=True)
    regions: Mapped[list[Any]]
    width_px: Mapped[int]
    height_px: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


_KEPT = select(Prediction.media, Prediction.regions, Prediction.width_px, Prediction.height_px).where(
    Prediction.version_id == bindparam("version_id"), Prediction.media.in_(bindparam("media", expanding=True))
)


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a version found in an item, and its size as a viewer shows it, 0 × 0 for a text."""

    regions: tuple[Region, ...]
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class GivenAnnotation:
    """An annotation as an adapter read it.

    Attributes:
        regions: By label set id; a label set that was not answered is absent.
    """

    external_id: str
    updated_at: datetime
    regions: Mapping[str, tuple[Region, ...]]


@dataclass(frozen=True, slots=True)
class GivenMedia:
    """Where a field's content came from, and its SHA-256 in the blob store; None where it could not be had."""

    source: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class GivenTask:
    """A task with its annotations, as an adapter read it; media by field."""

    external_id: str
    media: Mapping[str, GivenMedia]
    annotations: tuple[GivenAnnotation, ...]


@dataclass(frozen=True, slots=True)
class LabelledItem:
    """A task, or a part of its image, that people labelled, with what they agree on: one line of a snapshot."""

    key: str
    media: str
    regions: tuple[Region, ...]
    split: Split
    part: Box | None = None


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How much there is to learn from and to measure on.

    Attributes:
        num_train, num_held_out, num_test: Labelled tasks by split.
        num_regions: What people said about those that are not for tests.
    """

    num_train: int
    num_held_out: int
    num_test: int
    num_regions: int

    @property
    def is_enough(self) -> bool:
        """Whether anything can be learnt, and measured: see `require_enough`."""
        return min(self.num_train, self.num_held_out, self.num_regions) > 0

    def require_enough(self) -> None:
        """Make sure that a training makes sense.

        Raises:
            Invalid: Nothing is labelled in train or in val, or nothing was found in any of it.
        """
        if not self.is_enough:
            found = {"train": self.num_train, "val": self.num_held_out, "annotations": self.num_regions}
            raise Invalid(
                "Training needs a labelled image in train and one in val, and an annotation in one of them; "
                f"there are {self.num_train} and {self.num_held_out} with {self.num_regions}. Label more images.",
                code="labels_insufficient",
                details={"needed": {"train": 1, "val": 1, "annotations": 1}, "found": found},
            )


class Tasks:
    """Keeps tasks and annotations, and makes labelled items of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept = WriteBehind(self._write_predictions, max_waiting=_MAX_UNWRITTEN)

    def known_media(self, project_id: str) -> dict[tuple[str, str], str]:
        """Return the media digests we already have, by (external id, source)."""
        with self._database.reading() as session:
            rows = session.execute(select(Task.external_id, Task.media).where(Task.project_id == project_id))
            return {
                (external_id, kept["source"]): kept["sha256"]
                for external_id, media in rows
                for kept in media.values()
                if kept["sha256"]
            }

    def replace(self, project_id: str, given: Iterable[GivenTask], *, spared: Collection[str] = ()) -> None:
        """Make the annotations that the origin has exactly the given ones. Tasks that are not given lose theirs.

        Args:
            project_id: Of which project.
            given: The origin's tasks.
            spared: Names of tasks in the origin that keep theirs all the same.
        """
        with self._database.transaction() as session:
            rows = {row.external_id: row for row in session.scalars(select(Task).filter_by(project_id=project_id))}
            told = select(Task.id).where(Task.project_id == project_id, Task.external_id.not_in(spared))
            theirs = (Annotation.task_id.in_(told), Annotation.external_id != SAID_HERE)
            before = _written_here(session, *theirs)
            session.execute(delete(Annotation).where(*theirs))
            said: list[tuple[Task, GivenTask]] = []
            for item in given:
                task = rows.get(item.external_id)
                if task is None:
                    number = next_number(session, "task")
                    task = Task(number=number, project_id=project_id, external_id=item.external_id)
                    rows[item.external_id] = task
                    session.add(task)
                task.media = {
                    name: {"source": media.source, "sha256": media.sha256} for name, media in item.media.items()
                }
                said.append((task, item))
            session.flush()
            session.add_all(
                Annotation(
                    task_id=task.id,
                    label_set_id=label_set_id,
                    external_id=annotation.external_id,
                    regions=to_json(regions),
                    updated_at=annotation.updated_at,
                    **before.get((task.id, label_set_id, annotation.external_id), {}),
                )
                for task, item in said
                for annotation in item.annotations
                for label_set_id, regions in annotation.regions.items()
            )

    def labelled_items(
        self, label_set: LabelSet, *, ratios: Mapping[str, float] | None = None, seed: int = 0
    ) -> list[LabelledItem]:
        """Return what people said about each task, in agreement, in the order of the tasks' names.

        Where they spoke about parts of it, each part is an item. Tasks without media or set aside for tests, and
        answers with labels that the schema no longer has, are left out.

        Args:
            label_set: For which they spoke.
            ratios: How tasks without a split are shared out, see `agreement.draw`; nobody remembers. None or empty:
                they get their split here, for good, and about a fifth of each label is held out.
            seed: Of that draw.
        """
        with self._database.transaction() as session:
            answers = self._answers(session, label_set)
            splits = _splits(answers, ratios, seed)
            numbers: Counter[str] = Counter()
            items = []
            for task, part, regions in answers:
                if splits[task.id] == TEST:
                    continue
                if not ratios:
                    task.split = splits[task.id]
                numbers[task.external_id] += 1
                key = task.external_id if part is None else f"{task.external_id}#{numbers[task.external_id]}"
                split = Split(splits[task.id])
                items.append(LabelledItem(key, task.digest(label_set.field) or "", regions, split, part))
            return items

    def count_labelled(
        self, label_set: LabelSet, *, ratios: Mapping[str, float] | None = None, seed: int = 0
    ) -> LabelCounts:
        """Count what `labelled_items` would return, and what it would leave out for tests."""
        with self._database.reading() as session:
            answers = self._answers(session, label_set)
        splits = _splits(answers, ratios, seed)
        counts = Counter(splits[task_id] for task_id in {task.id for task, _, _ in answers})
        num_regions = sum(len(regions) for task, _, regions in answers if splits[task.id] != TEST)
        return LabelCounts(counts[Split.TRAIN.value], counts[Split.HELD_OUT.value], counts[TEST], num_regions)

    def _answers(self, session: Session, label_set: LabelSet) -> list[tuple[Task, Box | None, tuple[Region, ...]]]:
        return [
            (task, part, regions)
            for task, opinions in self._said(session, label_set.id, label_set.schema)
            if task.digest(label_set.field)
            for part, regions in agree_on_parts(label_set.schema.objective, opinions)
        ]

    def find_predictions(self, version_id: str, media: Sequence[str]) -> dict[str, Predicted]:
        """Return what a version found earlier, by media digest."""
        unwritten = self._kept.find((version_id, digest) for digest in media)
        found = {digest: predicted for (_, digest), predicted in unwritten.items()}
        asked = [digest for digest in media if digest not in found]
        with self._database.reading() as session:
            for start in range(0, len(asked), 500):
                digests = asked[start : start + 500]
                rows = session.execute(_KEPT, {"version_id": version_id, "media": digests})
                for digest, regions, width_px, height_px in rows:
                    found[digest] = Predicted(from_json(regions), width_px, height_px)
        return found

    def keep_predictions(self, version_id: str, predicted: Mapping[str, Predicted]) -> None:
        """Keep what a version found, by media digest; it is found from now on, and written in a moment."""
        self._kept.put({(version_id, digest): found for digest, found in predicted.items()})

    def flush(self) -> None:
        """Wait until what was kept is written."""
        self._kept.flush()

    def _write_predictions(self, predicted: Mapping[tuple[str, str], Predicted]) -> None:
        now = utc_now()
        rows = [
            {
                "version_id": version_id,
                "media": digest,
                "regions": to_json(found.regions),
                "width_px": found.width_px,
                "height_px": found.height_px,
                "created_at": now,
            }
            for (version_id, digest), found in sorted(predicted.items(), key=itemgetter(0))
        ]
        self._database.insert_new(Prediction, rows)

    def forget_predictions(self, version_ids: Iterable[str]) -> None:
        """Drop the kept predictions of versions that are no longer in use."""
        self._kept.flush()
        with self._database.transaction() as session:
            session.execute(delete(Prediction).where(Prediction.version_id.in_(list(version_ids))))

    def prune(self) -> None:
        """Forget predictions that were made long ago; whoever asks again has them computed again."""
        with self._database.transaction() as session:
            session.execute(delete(Prediction).where(Prediction.created_at < utc_now() - PREDICTIONS_KEPT_FOR))

    @staticmethod
    def _said(session: Session, label_set_id: str, schema: LabelSchema) -> list[tuple[Task, list[tuple[Region, ...]]]]:
        """Return each labelled task with everybody's opinion, oldest first; labels that are gone are left out."""
        rows = session.execute(
            select(Task, Annotation)
            .join(Annotation, Annotation.task_id == Task.id)
            .where(Annotation.label_set_id == label_set_id)
            .order_by(Task.external_id, Annotation.updated_at, Annotation.external_id)
        )
        tasks: dict[str, Task] = {}
        said: dict[str, list[tuple[Region, ...]]] = {}
        for task, annotation in rows:
            tasks[task.id] = task
            regions = from_json(annotation.regions)
            known = tuple(region for region in regions if not schema.labels or region.label in schema.names)
            said.setdefault(task.id, []).append(known)
        return [(tasks[task_id], opinions) for task_id, opinions in said.items()]


def _written_here(session: Session, *which: ColumnElement[bool]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return who wrote those annotations that the origin got from here, by task, label set and name in the origin."""
    columns = ("id", "source", "created_by", "created_at")
    rows = select(Annotation.task_id, Annotation.label_set_id, Annotation.external_id).add_columns(
        *(getattr(Annotation, name) for name in columns)
    )
    found = session.execute(rows.where(Annotation.source != Source.HUMAN.value, *which))
    return {(each[0], each[1], each[2]): dict(zip(columns, each[3:], strict=True)) for each in found}


def _splits(
    answers: Sequence[tuple[Task, Box | None, tuple[Region, ...]]], ratios: Mapping[str, float] | None, seed: int
) -> dict[str, str]:
    """Return the split of each task, by id; see `Tasks.labelled_items`."""
    if ratios:
        drawn = [(task.id, regions) for task, _, regions in answers]
        return draw(drawn, {task.id: task.split for task, _, _ in answers if task.split}, ratios=ratios, seed=seed)
    settled = {task.external_id: task.split for task, _, _ in answers if task.split}
    said = [(task.external_id, regions) for task, _, regions in answers if task.split != TEST]
    splits = hold_out(said, settled)
    return {task.id: splits[task.external_id] for task, _, _ in answers}
