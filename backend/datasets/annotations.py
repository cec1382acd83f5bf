"""What is said about images here, and what counts of all that was said about them, here or elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Self, cast

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session
from sqlalchemy.types import UserDefinedType

from backend.access import Access
from backend.accounts.service import Principal
from backend.errors import Invalid, NotFound
from backend.ids import derived_id, new_id
from backend.projects.agreement import SHARED_AS, agree_on_parts
from backend.projects.service import LabelSet
from backend.projects.tasks import SAID_HERE, Annotation, Source, Task
from backend.storage.blobs import BlobStore
from backend.storage.columns import utc_now
from backend.storage.database import Database
from models.images import BadImage, read
from models.labels import LabelSchema, Medium, Objective
from models.regions import Choice, Number, Region, from_json, to_json

_AT_ONCE = 500
"""Images that are read or written by one statement."""
_GIVEN_HERE = frozenset(
    {
        Objective.CLASSIFICATION,
        Objective.MULTI_LABEL,
        Objective.DETECTION,
        Objective.INSTANCE_SEGMENTATION,
        Objective.SEMANTIC_SEGMENTATION,
        Objective.KEY_POINTS,
    }
)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that labels can be about.

    Attributes:
        sources: Where the origin has it, as it names the place.
        width_px, height_px: Of the upright image; 0 where nobody knows them.
        content: SHA-256 of its file; None where it is not here.
    """

    task_id: str
    filename: str
    sources: tuple[str, ...]
    width_px: int
    height_px: int
    content: str | None


@dataclass(frozen=True, slots=True)
class Labelled:
    """What counts for one image.

    Attributes:
        regions: None where the image is not labelled; () where somebody looked and found nothing.
        said: The newest opinion, of which the regions are, or which made the difference.
    """

    picture: Picture
    regions: tuple[Region, ...] | None
    said: Annotation | None

    def region_id(self, index: int) -> str:
        """Return the id of a region: as long as nobody says something else, always the same."""
        assert self.said is not None
        return derived_id(self.said.id, index)


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody says about an image.

    Attributes:
        written: Regions in their stored form, as JSON, which goes into the database as it is: as long as one import
            writes, SQLite lets nobody else, and Label Studio waits a second with its events.
        num_regions: How many there are in it.
    """

    task_id: str
    written: str
    num_regions: int

    @classmethod
    def of(cls, task_id: str, regions: Sequence[Region]) -> Self:
        """Write regions."""
        return cls(task_id, json.dumps(to_json(regions)), len(regions))


@dataclass(frozen=True, slots=True)
class Written:
    """How many regions were written, and how many are gone in exchange."""

    num_created: int
    num_replaced: int


class Annotations:
    """Keeps one opinion of everybody who speaks to us here, for each image and label set."""

    def __init__(self, database: Database, access: Access, blobs: BlobStore) -> None:
        self._database = database
        self._access = access
        self._blobs = blobs

    def read(self, principal: Principal, label_set_id: str, task_id: str) -> Labelled:
        """Return what counts for an image.

        Raises:
            NotFound: There is no such label set, or no such image in its project.
        """
        label_set = self._access.label_set(principal, label_set_id)
        task = self._access.task(principal, task_id)
        if task.project_id != label_set.project_id:
            raise NotFound("There is no such image in the project of this label set.", code="not_found")
        with self._database.reading() as session:
            [labelled] = _labelled(session, label_set, [task])
        return labelled

    def set(
        self, principal: Principal, label_set_id: str, task_id: str, regions: Sequence[Region], *, source: Source
    ) -> Labelled:
        """Say what is in an image, in place of what was said here before; nothing at all is an answer, too.

        Raises:
            NotFound: See `read`.
            Invalid: See `write`.
        """
        with self._database.transaction():
            self.read(principal, label_set_id, task_id)
            self.write(principal, label_set_id, [Given.of(task_id, regions)], source=source)
            return self.read(principal, label_set_id, task_id)

    def clear(self, principal: Principal, label_set_id: str, task_id: str) -> None:
        """Make an image unlabelled. What people said in the origin comes back when it is collected again.

        Raises:
            NotFound: See `read`.
        """
        with self._database.transaction() as session:
            self.read(principal, label_set_id, task_id)
            session.execute(delete(Annotation).filter_by(task_id=task_id, label_set_id=label_set_id))

    def write(
        self,
        principal: Principal,
        label_set_id: str,
        given: Iterable[Given],
        *,
        source: Source,
        appends: bool = False,
        prepare: Callable[[], None] = lambda: None,
        is_trial: bool = False,
    ) -> Written:
        """Say what is in many images, all of it or, where anything fails, nothing.

        Args:
            principal: Who says it.
            label_set_id: For which label set.
            given: Each image once; taken one after the other, never all at once.
            source: Where it comes from.
            appends: Whether what counts for an image until now goes on counting, instead of being replaced. A question
                with one answer gets the new one.
            prepare: Is called first, and belongs to it: undone where anything fails.
            is_trial: Whether nothing is written; it is only counted what would be.

        Raises:
            NotFound: There is no such label set, or an image is not in its project.
            Invalid: A label set of this kind is not answered here.
        """
        label_set = self._access.label_set(principal, label_set_id)
        require_given_here(label_set.schema)
        num_created = num_replaced = 0
        remaining = iter(given)
        with self._database.reading() if is_trial else self._database.transaction() as session:
            if not is_trial:  # on PostgreSQL, whoever else writes for it waits here
                session.execute(select(LabelSet.id).filter_by(id=label_set.id).with_for_update())
                prepare()
            while chunk := {each.task_id: each for each in islice(remaining, _AT_ONCE)}:
                for labelled in _labelled(session, label_set, _tasks(session, label_set, chunk)):
                    before, said = labelled.regions or (), chunk[labelled.picture.task_id]
                    num_created += said.num_regions
                    if appends:
                        chunk[said.task_id] = _together(label_set.schema.objective, before, said)
                    else:
                        num_replaced += len(before)
                if not is_trial:
                    _put(session, label_set.id, chunk.values(), source=source, user_id=principal.user_id)
        return Written(num_created, num_replaced)

    def pictures(self, principal: Principal, label_set_id: str) -> list[Picture]:
        """Return all images of a label set's project, oldest first.

        Raises:
            NotFound: There is no such label set.
        """
        label_set = self._access.label_set(principal, label_set_id)
        with self._database.reading() as session:
            tasks = session.scalars(
                select(Task)
                .filter_by(project_id=label_set.project_id)
                .order_by(Task.number)
                .execution_options(yield_per=_AT_ONCE)
            )
            return [_picture(task, label_set.field) for task in tasks]

    def stream(self, principal: Principal, label_set_id: str, *, split: str | None = None) -> Iterator[Labelled]:
        """Return what counts for each labelled image, oldest image first, without holding all of it.

        Args:
            principal: Who asks.
            label_set_id: For which label set.
            split: "train", "val", "test", "unassigned"; None: all.

        Raises:
            NotFound: There is no such label set.
        """
        label_set = self._access.label_set(principal, label_set_id)
        wanted = select(Task).where(
            Task.project_id == label_set.project_id,
            Task.id.in_(select(Annotation.task_id).filter_by(label_set_id=label_set.id)),
        )
        if split is not None:
            wanted = wanted.where(Task.split == SHARED_AS[split] if split in SHARED_AS else Task.split.is_(None))

        def stream() -> Iterator[Labelled]:
            last = 0
            while True:
                with self._database.reading() as session:
                    part = wanted.where(Task.number > last).order_by(Task.number).limit(_AT_ONCE)
                    tasks = list(session.scalars(part))
                    found = _labelled(session, label_set, tasks)
                if not tasks:
                    return
                last = tasks[-1].number
                yield from (each for each in found if each.regions is not None)

        return stream()

    def what_counts(self, label_set: LabelSet, tasks: Sequence[Task]) -> list[Labelled]:
        """Return what counts for each task, for those who may see them."""
        with self._database.reading() as session:
            return _labelled(session, label_set, tasks)

    def measure(self, picture: Picture) -> Picture:
        """Return an image with its size, which is read from the file and remembered where nobody knows it yet.

        It stays 0 × 0 where the file is not here or cannot be read.
        """
        if picture.width_px or picture.content is None or not self._blobs.has(picture.content):
            return picture
        try:
            found = read(self._blobs.path(picture.content), min_side_px=1)
        except BadImage:
            return picture
        with self._database.transaction() as session:
            size = {"width_px": found.width_px, "height_px": found.height_px}
            session.execute(update(Task).filter_by(id=picture.task_id).values(size))
        return replace(picture, width_px=found.width_px, height_px=found.height_px)


def require_given_here(schema: LabelSchema) -> None:
    """Make sure that a label set can be answered here.

    Raises:
        Invalid: It is about texts, or about numbers.
    """
    if schema.objective not in _GIVEN_HERE or schema.medium is not Medium.IMAGE:
        raise Invalid(
            f"Label sets of the type {schema.objective.value} can only be labelled in Label Studio.",
            code="validation_error",
        )


def _tasks(session: Session, label_set: LabelSet, ids: Iterable[str]) -> list[Task]:
    wanted = list(ids)
    tasks = list(session.scalars(select(Task).where(Task.id.in_(wanted), Task.project_id == label_set.project_id)))
    if len(tasks) < len(wanted):
        raise NotFound("An image is no longer in the project; nothing was written.", code="not_found")
    return tasks


def _labelled(session: Session, label_set: LabelSet, tasks: Sequence[Task]) -> list[Labelled]:
    """Return what counts for each task; labels that the schema no longer has do not."""
    rows = session.scalars(
        select(Annotation)
        .where(Annotation.label_set_id == label_set.id, Annotation.task_id.in_([task.id for task in tasks]))
        .order_by(Annotation.updated_at, Annotation.external_id)
    )
    said: dict[str, list[Annotation]] = {}
    for row in rows:
        said.setdefault(row.task_id, []).append(row)
    schema = label_set.schema
    found = []
    for task in tasks:
        opinions = said.get(task.id, [])
        regions = _agreed(schema, opinions) if opinions else None
        found.append(Labelled(_picture(task, label_set.field), regions, opinions[-1] if opinions else None))
    return found


def _agreed(schema: LabelSchema, opinions: Iterable[Annotation]) -> tuple[Region, ...] | None:
    names = frozenset(schema.names)
    known = [
        tuple(region for region in from_json(opinion.regions) if not names or region.label in names)
        for opinion in opinions
    ]
    agreed = agree_on_parts(schema.objective, known)
    if not agreed:
        return None
    return tuple(
        replace(region, part=part) if part and isinstance(region, Choice | Number) else region
        for part, regions in agreed
        for region in regions
    )


def _together(objective: Objective, before: Sequence[Region], said: Given) -> Given:
    new = from_json(json.loads(said.written))
    if objective is Objective.CLASSIFICATION:
        return Given.of(said.task_id, new or before)
    both = (*before, *new)
    return Given.of(said.task_id, tuple(dict.fromkeys(both)) if objective is Objective.MULTI_LABEL else both)


class _Json(UserDefinedType[str]):
    """JSON that is written already."""

    cache_ok = True


_INSERT = insert(cast(Table, Annotation.__table__)).values(regions=bindparam("written", type_=_Json()))


def _put(session: Session, label_set_id: str, said: Collection[Given], *, source: Source, user_id: str) -> None:
    session.execute(
        delete(Annotation).where(
            Annotation.label_set_id == label_set_id,
            Annotation.task_id.in_([each.task_id for each in said]),
            Annotation.external_id == SAID_HERE,
        )
    )
    now = utc_now()
    about = {
        "label_set_id": label_set_id,
        "external_id": SAID_HERE,
        "updated_at": now,
        "source": source.value,
        "created_by": user_id,
        "created_at": now,
    }
    session.execute(
        _INSERT, [{**about, "id": new_id(), "task_id": each.task_id, "written": each.written} for each in said]
    )


def _picture(task: Task, field: str) -> Picture:
    media = task.media.get(field, {})
    return Picture(
        task_id=task.id,
        filename=task.filename,
        sources=tuple(filter(None, [media.get("source")])),
        width_px=task.width_px or 0,
        height_px=task.height_px or 0,
        content=task.digest(field),
    )
