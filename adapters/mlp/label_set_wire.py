"""The bodies of label sets (mlp.md §3)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from adapters.identifiers import spell
from adapters.label_studio.label_config import parse
from adapters.label_studio.label_config.writing import IMAGE, color_of, colors_in
from adapters.mlp.task_types import task_type
from adapters.mlp.wire import Body, Moment
from backend.datasets.label_sets import Overview
from backend.errors import Invalid
from backend.projects.service import LabelSet
from models.labels import Objective

TaskType = Literal["detection", "segmentation", "classification", "keypoints"]


def _text(name: str) -> str:
    """Make sure that XML and databases can hold a name, and that Label Studio takes it for one."""
    if not name.strip() or not name.isprintable():
        raise ValueError("a name has at least one character that is no space, and no control characters")
    return name


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_text)]


class LabelIn(Body):
    """A label: its name, or an object with its name and its colour."""

    name: Name
    color: str | None = Field(None, pattern=r"^#[0-9a-fA-F]{6}$")


_AnyLabel = Annotated[
    LabelIn,
    BeforeValidator(
        lambda given: {"name": given} if isinstance(given, str) else given, json_schema_input_type=Name | LabelIn
    ),
]


def _unique(labels: list[LabelIn]) -> list[LabelIn]:
    if len({label.name for label in labels}) < len(labels):
        raise ValueError("label names must be unique")
    return labels


Labels = Annotated[list[_AnyLabel], Field(min_length=1, max_length=1000), AfterValidator(_unique)]


class LabelSetIn(Body):
    """A label set to be made: `taskType` and `labels`, or `labelConfig`."""

    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_text)]
    task_type: TaskType | None = Field(None, description="What is asked; left out where there is a `labelConfig`.")
    labels: Labels | None = Field(None, description="Names, or objects with name and color; their order is kept.")
    multiple: bool = Field(False, description="For classification: whether several labels may fit.")
    mask: Literal["polygon", "rle"] = Field("polygon", description="For segmentation: outlines, or masks.")
    label_config: str | None = Field(None, description="In Label Studio's XML.")
    control_name: str | None = Field(None, description="Which control of `labelConfig`, where it has several.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.label_config is None and (self.task_type is None or self.labels is None):
            raise ValueError("give taskType and labels, or labelConfig")
        return self


class LabelSetPatch(Body):
    """What may be changed; what is left out stays."""

    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_text)] | None = None
    labels: Labels | None = Field(
        None, description="All labels: one in the place of another is its new name, others are added at the end."
    )
    active_training_id: str | None = Field(None, description="Whose model answers; `null`: the newest that is ready.")


class LabelOut(Body):
    """A label; `index` is its class id in exports and in models."""

    name: str
    color: str
    index: int


class LabelSetOut(Body):
    """A label set."""

    id: str
    project_id: str
    name: str
    task_type: str
    labels: list[LabelOut]
    control_name: str
    object_name: str
    value_key: str
    multiple: bool
    label_config: str
    active_training_id: str | None
    labeled_image_count: int
    annotation_count: int
    created_at: Moment
    updated_at: Moment


class LabelSetList(Body):
    """All label sets of a project, oldest first."""

    items: list[LabelSetOut]
    next_cursor: None = None
    has_more: Literal[False] = False


def colors_of(label_set: LabelSet, document: str) -> dict[str, str]:
    """Return the colour of each label, in their order: as somebody chose it, or the config does, or the next one."""
    chosen = {**(colors_in(document) if document else {}), **label_set.colors}
    return {name: chosen.get(name) or color_of(index) for index, name in enumerate(label_set.schema.names)}


def describe_label_set(overview: Overview) -> LabelSetOut:
    """Word a label set."""
    row, schema = overview.label_set, overview.label_set.schema
    return LabelSetOut(
        id=spell("label_set_id", row.id),
        project_id=spell("project_id", row.project_id),
        name=row.title or row.name,
        task_type=task_type(schema.objective),
        labels=[
            LabelOut(name=name, color=color, index=index)
            for index, (name, color) in enumerate(colors_of(row, overview.document).items())
        ],
        control_name=row.name,
        object_name=_object_name(overview.document, row.name),
        value_key=row.field,
        multiple=schema.objective is Objective.MULTI_LABEL,
        label_config=overview.document,
        active_training_id=spell("training_id", overview.version.run_id) if overview.version else None,
        labeled_image_count=overview.num_images,
        annotation_count=overview.num_regions,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _object_name(document: str, control_name: str) -> str:
    try:
        control = parse(document).controls.get(control_name)
    except Invalid:
        return IMAGE
    return control.object_names[0] if control and control.object_names else IMAGE
