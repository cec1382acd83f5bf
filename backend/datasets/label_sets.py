"""Label sets, for those who may touch their project: made, listed, changed, deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.access import Access
from backend.accounts.service import Principal
from backend.datasets.erasure import Erasure
from backend.errors import Conflict, Invalid, NotFound
from backend.projects.service import OWN_PARAMS, LabelSet, Origin, Project
from backend.projects.tasks import Annotation
from backend.storage.columns import utc_now
from backend.storage.database import Database
from backend.training.run import RunState
from backend.versions.registry import ModelVersion, Versions
from models.labels import Label, LabelSchema, Objective

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Overview:
    """A label set and what there is to say about it.

    Attributes:
        document: The labelling configuration that it is in.
        version: The model version in use.
        num_images: How many are labelled.
        num_regions: What was said about them, by everybody.
    """

    label_set: LabelSet
    document: str
    version: ModelVersion | None
    num_images: int
    num_regions: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What becomes of a label set's labels.

    Attributes:
        names: All labels afterwards, in order.
        renamed: New names by old ones.
        removed: Labels that are gone.
    """

    names: tuple[str, ...]
    renamed: Mapping[str, str]
    removed: tuple[str, ...]


class LabelSets:
    """Keeps the label sets that are made here, and shows those that come from elsewhere."""

    def __init__(self, database: Database, access: Access, versions: Versions, erasure: Erasure) -> None:
        self._database = database
        self._access = access
        self._versions = versions
        self._erasure = erasure

    def create(
        self,
        principal: Principal,
        project_id: str,
        *,
        title: str,
        name: str,
        schema: LabelSchema,
        field: str,
        write: Callable[[str], str],
        is_name_fixed: bool,
        colors: Mapping[str, str] | None = None,
    ) -> Overview:
        """Make a label set.

        Args:
            principal: Who asks.
            project_id: Where.
            title: What people call it.
            name: What the configuration calls it.
            schema: What may be said.
            field: Which field of a task's data it is about.
            write: Returns its labelling configuration with a name.
            is_name_fixed: Whether it has to be this name; else a number is added where another one is called so.
            colors: "#rrggbb" by label.

        Raises:
            NotFound: There is no such project.
            Conflict: The title is taken, or the project's configuration is kept in Label Studio.
        """
        project = self._access.project(principal, project_id)
        with self._database.transaction() as session:
            session.execute(select(Project.id).filter_by(id=project.id).with_for_update())
            _require_ours(session, project.id, "add a control to its labelling interface there", or_mirrored=True)
            theirs = list(session.scalars(select(LabelSet).filter_by(project_id=project.id)))
            _require_free(title, theirs)
            taken = {row.name for row in theirs}
            if not is_name_fixed:
                others = (f"{name}-{number}" for number in count(2))
                name = next(each for each in chain([name], others) if each not in taken)
            if name in taken:
                raise Conflict(
                    f"The project has a label set whose control is called {name!r} already; call it something else.",
                    code="conflict",
                    details={"controlName": name},
                )
            label_set = LabelSet(
                project_id=project.id,
                name=name,
                title=title,
                labels=schema.to_json(),
                field=field,
                document=write(name),
                colors=dict(colors or {}),
            )
            session.add(label_set)
            session.flush()
            return self._overviews(session, [label_set])[0]

    def of_project(self, principal: Principal, project_id: str) -> list[Overview]:
        """Return a project's label sets, oldest first, but those that the configuration no longer has.

        Raises:
            NotFound: There is no such project.
        """
        project = self._access.project(principal, project_id)
        with self._database.reading() as session:
            query = select(LabelSet).filter_by(project_id=project.id, is_active=True).order_by(LabelSet.id)
            rows = [row for row in session.scalars(query) if row.schema.objective is not Objective.CLICK_SEGMENTATION]
            return self._overviews(session, rows)

    def get(self, principal: Principal, label_set_id: str) -> Overview:
        """Return a label set.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        label_set = self._access.label_set(principal, label_set_id)
        with self._database.reading() as session:
            return self._overviews(session, [label_set])[0]

    def rename(self, principal: Principal, label_set_id: str, title: str) -> None:
        """Change what people call a label set.

        Raises:
            NotFound: There is no such label set.
            Conflict: The title is taken.
        """
        found = self._access.label_set(principal, label_set_id)
        with self._database.transaction() as session:
            theirs = session.scalars(select(LabelSet).filter_by(project_id=found.project_id))
            _require_free(title, [row for row in theirs if row.id != found.id])
            self._touch(session, found.id).title = title

    def relabel(
        self,
        principal: Principal,
        label_set_id: str,
        names: Sequence[str],
        *,
        rewrite: Callable[[LabelSet, Changes], str],
        colors: Mapping[str, str] | None = None,
    ) -> None:
        """Rename labels, and append further ones. What was said with a label is said with its new name afterwards.

        Args:
            principal: Who asks.
            label_set_id: Which label set.
            names: All labels in their order; one that is new where another one was is that one's new name.
            rewrite: Returns the label set's labelling configuration with the changes.
            colors: "#rrggbb" by label, where they shall change.

        Raises:
            NotFound: There is no such label set.
            Invalid: The labels are in another order.
            Conflict: A label that is gone is in use, or the project's configuration is kept in Label Studio.
        """
        found = self._access.label_set(principal, label_set_id)
        with self._database.transaction() as session:
            _require_ours(session, found.project_id, "change its labelling interface there", or_mirrored=True)
            label_set = self._touch(session, found.id)
            label_set.document = label_set.document or session.get_one(Origin, found.project_id).document
            changes = compare(label_set.schema.names, names)
            if changes.removed:
                _require_unused(session, label_set, changes.removed)
            label_set.document = rewrite(label_set, changes)
            label_set.labels = _changed(label_set.schema, changes).to_json()
            kept = {changes.renamed.get(name, name): color for name, color in label_set.colors.items()}
            wanted = {**kept, **(colors or {})}
            label_set.colors = {name: color for name, color in wanted.items() if name in changes.names}
            if changes.renamed:
                _rename_regions(session, label_set.id, changes.renamed)

    def let_answer(self, principal: Principal, label_set_id: str, run_id: str | None) -> None:
        """Let the model of a training answer from now on, whatever else is trained; None: the newest again.

        Raises:
            NotFound: There is no such label set, or no such training of it.
            Conflict: The training has made no model ("model_not_ready").
        """
        label_set = self._access.label_set(principal, label_set_id)
        if run_id is None:
            self._versions.unpin(label_set.id)
            return
        run = self._access.run(principal, run_id)
        if run.label_set_id != label_set.id:
            raise NotFound("There is no such training of this label set.", code="not_found")
        if run.state != RunState.COMPLETED or run.version_id is None:
            status = RunState(run.state).told
            raise Conflict(
                f"The training is {status}, and has no model to answer with.",
                code="model_not_ready",
                details={"status": status},
            )
        self._versions.pin(self._versions.get(run.version_id))

    def delete(self, principal: Principal, label_set_id: str) -> None:
        """Forget a label set, what was said for it, and what was learnt from that.

        Raises:
            NotFound: There is no such label set.
            Conflict: It is Label Studio's, or something works on it ("invalid_state").
        """
        label_set = self._access.label_set(principal, label_set_id)
        with self._database.reading() as session:
            _require_ours(session, label_set.project_id, "remove its control from the labelling interface there")
        self._erasure.label_set(label_set)

    def _overviews(self, session: Session, label_sets: Sequence[LabelSet]) -> list[Overview]:
        ids = [row.id for row in label_sets]
        query = (
            select(
                Annotation.label_set_id,
                func.count(Annotation.task_id.distinct()),
                func.sum(func.json_array_length(Annotation.regions)),
            )
            .where(Annotation.label_set_id.in_(ids))
            .group_by(Annotation.label_set_id)
        )
        counts = {label_set_id: (images, int(regions)) for label_set_id, images, regions in session.execute(query)}
        theirs = select(Origin.project_id, Origin.document).where(
            Origin.project_id.in_({row.project_id for row in label_sets})
        )
        documents: dict[str, str] = dict(session.execute(theirs).all())
        return [
            Overview(
                row,
                row.document or documents[row.project_id],
                self._versions.get(row.version_id) if row.version_id else None,
                *counts.get(row.id, (0, 0)),
            )
            for row in label_sets
        ]

    @staticmethod
    def _touch(session: Session, label_set_id: str) -> LabelSet:
        """Return the row that is going to change; on PostgreSQL whoever else changes it waits."""
        label_set = session.get_one(LabelSet, label_set_id, with_for_update=True, populate_existing=True)
        label_set.updated_at = utc_now()
        return label_set


def compare(old: Sequence[str], new: Sequence[str]) -> Changes:
    """Return what became of labels, of which some have another name, and some were added at the end or are gone.

    >>> compare(["cat", "dog"], ["cat", "hound", "bird"])
    Changes(names=('cat', 'hound', 'bird'), renamed={'dog': 'hound'}, removed=())

    Raises:
        Invalid: They are in another order, which would change what a model's answers mean.
    """
    if len(new) < len(old) and set(new) <= set(old):
        removed = tuple(name for name in old if name not in new)
        if [name for name in old if name in new] == list(new):
            return Changes(tuple(new), {}, removed)
    renamed = {before: after for before, after in zip(old, new, strict=False) if before != after}
    if len(new) < len(old) or set(renamed) & set(new) or set(renamed.values()) & set(old):
        message = "labels can be renamed in their place and appended at the end, not reordered"
        raise Invalid(f"labels: {message}", code="validation_error", details={"fields": {"labels": message}})
    return Changes(tuple(new), renamed, ())


def _changed(schema: LabelSchema, changes: Changes) -> LabelSchema:
    """Return a schema after changes; models that know a label by its old name are still understood."""
    after = {changes.renamed.get(label.name, label.name): label for label in schema.labels}
    labels = []
    for name in changes.names:
        before = after.get(name, Label(name))
        synonyms = before.synonyms if before.name == name else (before.name, *before.synonyms)
        labels.append(Label(name, tuple(synonym for synonym in synonyms if synonym not in changes.names)))
    return LabelSchema(schema.objective, tuple(labels), schema.medium, schema.scale)


def _rename_regions(session: Session, label_set_id: str, renamed: Mapping[str, str]) -> None:
    last = ""
    while True:
        part = (
            select(Annotation.id, Annotation.regions)
            .where(Annotation.label_set_id == label_set_id, Annotation.id > last)
            .order_by(Annotation.id)
            .limit(_AT_ONCE)
        )
        rows = session.execute(part).all()
        if not rows:
            return
        last = rows[-1].id
        for annotation_id, regions in rows:
            said = [{**each, "label": renamed.get(each.get("label"), each.get("label"))} for each in regions]
            if said != regions:
                session.execute(update(Annotation).filter_by(id=annotation_id).values(regions=said))


def _require_unused(session: Session, label_set: LabelSet, names: Sequence[str]) -> None:
    said = session.scalars(
        select(Annotation.regions).filter_by(label_set_id=label_set.id).execution_options(yield_per=_AT_ONCE)
    )
    used = {region.get("label") for regions in said for region in regions} & set(names)
    for labels in session.scalars(select(ModelVersion.labels).filter_by(label_set_id=label_set.id)):
        used |= set(LabelSchema.from_json(labels).names) & set(names)
    if used:
        raise Conflict(
            f"The label {min(used)!r} is in use; rename it, or take it from the images first.",
            code="conflict",
            details={"labels": sorted(used)},
        )


def _require_free(title: str, others: Sequence[LabelSet]) -> None:
    if title in {row.title or row.name for row in others}:
        raise Conflict(
            f"The project has a label set {title!r} already; choose another name.",
            code="conflict",
            details={"name": title},
        )


def _require_ours(session: Session, project_id: str, instead: str, *, or_mirrored: bool = False) -> None:
    """Make sure that a project's labelling configuration is kept here, or that what changes here is told to others.

    Raises:
        Conflict: It is kept in Label Studio; it says what to do there.
    """
    origin = session.get_one(Origin, project_id)
    if origin.kind == "label_studio" and not (or_mirrored and OWN_PARAMS in origin.params):
        raise Conflict(f"The label sets of this project come from Label Studio: {instead}.", code="conflict")
