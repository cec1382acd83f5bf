"""The things to label, and what people and models said about them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from statistics import median
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.ids import new_id
from backend.projects import LabelSet
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record
from backend.storage.write_behind import WriteBehind
from models.examples import Split
from models.labels import LabelSchema, Objective
from models.regions import Box, Choice, Number, Region, from_json, to_json

HELD_OUT_SHARE = 0.2
PREDICTIONS_KEPT_FOR = timedelta(days=30)
_MAX_UNWRITTEN = 256


class Task(Record, kw_only=True):
    """One item to label.

    Attributes:
        external_id: Its name in the project's origin.
        media: By field of its data: where that came from, as the origin names it, and its SHA-256 in the blob store,
            None as long as it could not be had.
        split: What it may be used for, once it was labelled; it never changes, so versions stay comparable.
    """

    __tablename__ = "tasks"
    __table_args__ = (UniqueConstraint("project_id", "external_id"),)
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    external_id: Mapped[str]
    media: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    split: Mapped[str | None] = mapped_column(default=None)


class Annotation(Record, kw_only=True):
    """What one person said about a task, for one label set."""

    __tablename__ = "annotations"
    __table_args__ = (UniqueConstraint("task_id", "label_set_id", "external_id"),)
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"), index=True)
    label_set_id: Mapped[str] = mapped_column(ForeignKey("label_sets.id"), index=True)
    external_id: Mapped[str]
    regions: Mapped[list[Any]]
    updated_at: Mapped[datetime]


class Prediction(Record, kw_only=True):
    """What a version said about an item, kept so that the same question is not computed twice."""

    __tablename__ = "predictions"
    version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    media: Mapped[str] = mapped_column(primary_key=True)
    regions: Mapped[list[Any]]
    width_px: Mapped[int]
    height_px: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


_KEPT = select(Prediction.media, Prediction.regions, Prediction.width_px, Prediction.height_px)


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

    def replace(self, project_id: str, given: Iterable[GivenTask]) -> None:
        """Make the project's annotations exactly the given ones. Tasks that are not given lose theirs."""
        with self._database.transaction() as session:
            rows = {row.external_id: row for row in session.scalars(select(Task).filter_by(project_id=project_id))}
            session.execute(
                delete(Annotation).where(Annotation.task_id.in_(select(Task.id).filter_by(project_id=project_id)))
            )
            said: list[tuple[Task, GivenTask]] = []
            for item in given:
                task = rows.get(item.external_id)
                if task is None:
                    task = Task(project_id=project_id, external_id=item.external_id)
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
                )
                for task, item in said
                for annotation in item.annotations
                for label_set_id, regions in annotation.regions.items()
            )

    def labelled_items(self, label_set: LabelSet) -> list[LabelledItem]:
        """Return what people said about each task, in agreement, in the order of the tasks' names.

        Where they spoke about parts of it, each part is an item.

        Tasks that were never labelled before get their split here, for good: about a fifth of each label is held out.
        Tasks without media, and answers with labels that the schema no longer has, are left out.
        """
        with self._database.transaction() as session:
            said = self._said(session, label_set.id, label_set.schema)
            answers = [
                (task, part, regions)
                for task, opinions in said
                if task.media.get(label_set.field, {}).get("sha256")
                for part, regions in _agree_on_parts(label_set.schema.objective, opinions)
            ]
            _assign_splits([task for task, _, _ in answers], [regions for _, _, regions in answers])
            numbers: Counter[str] = Counter()
            items = []
            for task, part, regions in answers:
                numbers[task.external_id] += 1
                key = task.external_id if part is None else f"{task.external_id}#{numbers[task.external_id]}"
                split = Split(task.split or Split.TRAIN)
                items.append(LabelledItem(key, task.media[label_set.field]["sha256"], regions, split, part))
            return items

    def find_predictions(self, version_id: str, media: Sequence[str]) -> dict[str, Predicted]:
        """Return what a version found earlier, by media digest."""
        unwritten = self._kept.find((version_id, digest) for digest in media)
        found = {digest: predicted for (_, digest), predicted in unwritten.items()}
        asked = [digest for digest in media if digest not in found]
        with self._database.reading() as session:
            for start in range(0, len(asked), 500):
                digests = asked[start : start + 500]
                rows = session.execute(_KEPT.where(Prediction.version_id == version_id, Prediction.media.in_(digests)))
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


def _agree_on_parts(
    objective: Objective, opinions: Sequence[tuple[Region, ...]]
) -> list[tuple[Box | None, tuple[Region, ...]]]:
    """Return what people agree on for each part that anybody spoke about; the whole item is a part, too."""
    parts = dict.fromkeys(getattr(region, "part", None) for opinion in opinions for region in opinion) or {None: None}
    agreed = []
    for part in parts:
        about = [tuple(r for r in opinion if getattr(r, "part", None) == part) for opinion in opinions]
        regions = agree(objective, about if part is None else [opinion for opinion in about if opinion])
        if regions is not None:
            agreed.append((part, regions))
    return agreed


def agree(objective: Objective, opinions: Sequence[tuple[Region, ...]]) -> tuple[Region, ...] | None:
    """Return what most people said, oldest opinion first; the newest opinion breaks a tie.

    Numbers agree on their median. Regions of any other kind are taken from the newest opinion, as it is.

    Returns:
        None where there is no answer. For all but CLASSIFICATION and REGRESSION an empty tuple is an answer: nothing.

    >>> agree(Objective.CLASSIFICATION, [(Choice("cat"),), (Choice("dog"),), (Choice("dog"),)])
    (Choice(label='dog', score=None, part=None),)
    """
    if objective is Objective.CLASSIFICATION:
        labels = [opinion[0].label for opinion in opinions if opinion]
        if not labels:
            return None
        votes = Counter(labels)
        newest = {label: position for position, label in enumerate(labels)}
        return (Choice(max(votes, key=lambda label: (votes[label], newest[label]))),)
    if objective is Objective.REGRESSION:
        values = [region.value for opinion in opinions for region in opinion if isinstance(region, Number)]
        return (Number(float(median(values))),) if values else None
    if not opinions:
        return None
    if objective is not Objective.MULTI_LABEL:
        return opinions[-1]
    counts = Counter(region.label for opinion in opinions for region in opinion)
    in_newest = {region.label for region in opinions[-1]}
    chosen = [
        label
        for label, count in sorted(counts.items())
        if 2 * count > len(opinions) or (2 * count == len(opinions) and label in in_newest)
    ]
    return tuple(Choice(label) for label in chosen)


def _assign_splits(tasks: Sequence[Task], regions: Sequence[tuple[Region, ...]]) -> None:
    """Hold out a fifth of each label, counting those already held out; the same tasks always give the same split."""
    by_label: dict[str, list[Task]] = {}
    counts = Counter(label for said in regions for label in {region.label for region in said})
    for task, said in zip(tasks, regions, strict=True):
        rarest = min(((counts[region.label], region.label) for region in said), default=(0, ""))[1]
        by_label.setdefault(rarest, []).append(task)
    for label in sorted(by_label):
        members = by_label[label]
        num_held_out = sum(task.split == Split.HELD_OUT for task in members)
        wanted = int(len(members) * HELD_OUT_SHARE)
        for task in sorted((task for task in members if task.split is None), key=_draw):
            is_held_out = num_held_out < wanted
            task.split = Split.HELD_OUT.value if is_held_out else Split.TRAIN.value
            num_held_out += is_held_out


def _draw(task: Task) -> str:
    return hashlib.sha256(task.external_id.encode()).hexdigest()
