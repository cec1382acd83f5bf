"""Label sets: what is asked about images, and with which labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from adapters.identifiers import read_id
from adapters.label_studio.label_config import Binding, LabelConfig, parse
from adapters.label_studio.label_config.writing import (
    IMAGE,
    color_of,
    colors_in,
    control_name_for,
    extract,
    relabel,
    write,
)
from adapters.mlp.api import api
from adapters.mlp.label_set_wire import (
    LabelSetIn,
    LabelSetList,
    LabelSetOut,
    LabelSetPatch,
    describe_label_set,
)
from adapters.mlp.task_types import is_known, objective_of
from adapters.operations import Call, Effect, Shortcut
from backend.datasets.label_sets import Changes
from backend.errors import Invalid
from backend.projects.service import LabelSet
from models.labels import Label, LabelSchema, Medium


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A label set as somebody described it."""

    schema: LabelSchema
    name: str
    field: str
    document: str
    colors: dict[str, str]


@api.operation(
    "POST",
    "/projects/<project_id>/labelsets",
    effect=Effect.CREATE,
    tag="label sets",
    scope="projects:write",
    status=201,
    tool="create-label-set",
    command="labelsets create",
    aliases=("/projects/<project_id>/label-sets",),
    errors=("NOT_FOUND", "LABEL_CONFIG_UNSUPPORTED", "CONFLICT"),
    example={"name": "vehicles", "taskType": "detection", "labels": ["car", {"name": "bus", "color": "#ff8800"}]},
)
def create_label_set(call: Call, project_id: str, body: LabelSetIn) -> LabelSetOut:
    """Define what is asked about the images of a project: a task type with labels, or a Label Studio config.

    A config must have exactly one control that can be learnt, or `controlName` says which of them is meant. Label sets
    of projects that Label Studio calls us for are made there.
    """
    call.services.access.project(call.principal, project_id)
    label_sets = call.services.label_sets
    wanted = _describe(body) if body.label_config is None else _read(body.label_config, body.control_name)
    made = label_sets.create(
        call.principal,
        project_id,
        title=body.name,
        name=wanted.name,
        schema=wanted.schema,
        field=wanted.field,
        write=lambda name: wanted.document or write(wanted.schema, name, colors=wanted.colors),
        is_name_fixed=bool(wanted.document),
        colors=wanted.colors,
    )
    return describe_label_set(made)


@api.operation(
    "GET",
    "/projects/<project_id>/labelsets",
    effect=Effect.READ,
    tag="label sets",
    scope="projects:read",
    tool="list-label-sets",
    command="labelsets list",
    aliases=("/projects/<project_id>/label-sets",),
    errors=("NOT_FOUND",),
)
def list_label_sets(call: Call, project_id: str) -> LabelSetList:
    """List all label sets of a project, oldest first."""
    found = call.services.label_sets.of_project(call.principal, project_id)
    return LabelSetList(items=[describe_label_set(each) for each in found])


@api.operation(
    "GET",
    "/label-sets/<label_set_id>",
    effect=Effect.READ,
    tag="label sets",
    scope="projects:read",
    tool="get-label-set",
    command="labelsets show",
    errors=("NOT_FOUND",),
)
def get_label_set(call: Call, label_set_id: str) -> LabelSetOut:
    """Tell about a label set, with the Label Studio config that it is."""
    return describe_label_set(call.services.label_sets.get(call.principal, label_set_id))


@api.operation(
    "PATCH",
    "/label-sets/<label_set_id>",
    effect=Effect.UPDATE,
    tag="label sets",
    scope="projects:write",
    tool="update-label-set",
    command="labelsets update",
    shortcuts=(
        Shortcut(
            tool="promote-model",
            command="models promote",
            summary="Let the model of a completed training answer for its label set, in Label Studio too.",
            fields=("activeTrainingId",),
        ),
    ),
    errors=("NOT_FOUND", "CONFLICT", "MODEL_NOT_READY"),
    example={"labels": ["car", "bus", "bicycle"]},
)
def update_label_set(call: Call, label_set_id: str, body: LabelSetPatch) -> LabelSetOut:
    """Rename a label set, change its labels, or say whose model answers.

    `labels` lists all of them: a name in the place of another is its new name, also in what was labelled before; names
    at the end are new. A label that is in use cannot be taken away. `activeTrainingId` must be completed and of this
    label set; Label Studio gets its predictions from it.
    """
    label_sets = call.services.label_sets
    label_set = label_sets.get(call.principal, label_set_id).label_set
    if body.name is not None:
        label_sets.rename(call.principal, label_set.id, body.name)
    if body.labels is not None:
        colors = {label.name: label.color.lower() for label in body.labels if label.color}
        label_sets.relabel(
            call.principal,
            label_set.id,
            [label.name for label in body.labels],
            rewrite=partial(_rewrite, colors=colors),
            colors=colors,
        )
    if "active_training_id" in body.model_fields_set:
        asked = body.active_training_id
        label_sets.let_answer(call.principal, label_set.id, read_id("training_id", asked) if asked else None)
    return describe_label_set(label_sets.get(call.principal, label_set.id))


@api.operation(
    "DELETE",
    "/label-sets/<label_set_id>",
    effect=Effect.DELETE,
    tag="label sets",
    scope="projects:write",
    status=204,
    tool="delete-label-set",
    command="labelsets delete",
    errors=("NOT_FOUND", "CONFLICT", "INVALID_STATE"),
)
def delete_label_set(call: Call, label_set_id: str) -> None:
    """Delete a label set with its labels and its models; not while a training is queued or running."""
    call.services.label_sets.delete(call.principal, label_set_id)


def _describe(body: LabelSetIn) -> _Wanted:
    assert body.task_type, "the body was validated"
    assert body.labels, "the body was validated"
    objective = objective_of(body.task_type, multiple=body.multiple, has_masks=body.mask == "rle")
    colors = {label.name: (label.color or color_of(index)).lower() for index, label in enumerate(body.labels)}
    schema = LabelSchema(objective, tuple(Label(label.name) for label in body.labels))
    return _Wanted(schema, control_name_for(body.name), IMAGE, "", colors)


def _read(document: str, control_name: str | None) -> _Wanted:
    """Find the one control of a config that is meant.

    Raises:
        Invalid: There is none, or nobody said which; `details` list the controls.
    """
    try:
        config = parse(document)
    except Invalid as error:
        raise Invalid(error.message, code="label_config_unsupported") from error
    trainable = [each for each in config.bindings if _is_ours(each)]
    meant = [each for each in trainable if control_name in (None, each.control_name)]
    if len(meant) != 1:
        raise _unsupported(config, trainable, control_name)
    binding = meant[0]
    if len(config.controls) > 1:
        document = extract(document, binding.control_name, labels_name=binding.labels_name)
    colors = {name: color for name, color in colors_in(document).items() if name in binding.schema.names}
    return _Wanted(binding.schema, binding.control_name, binding.data_key, document, colors)


def _is_ours(binding: Binding) -> bool:
    return binding.schema.medium is Medium.IMAGE and is_known(binding.schema.objective) and not binding.is_per_region


def _unsupported(config: LabelConfig, trainable: list[Binding], control_name: str | None) -> Invalid:
    names = [each.control_name for each in trainable]
    if control_name is None and names:
        message = f"The config has several controls, {', '.join(names)}: say which one as controlName."
    elif names:
        message = f"The config has no control {control_name!r} that can be learnt here; there are {', '.join(names)}."
    else:
        why = "; ".join(f"{each.control_name} {each.reason}" for each in config.unlearnable)
        message = f"The config has no control on an image that can be learnt here: {why or 'it has none at all'}."
    tags = [{"tag": control.tag, "controlName": name} for name, control in config.controls.items()]
    return Invalid(message, code="label_config_unsupported", details={"tags": tags, "controlNames": names})


def _rewrite(label_set: LabelSet, changes: Changes, *, colors: dict[str, str]) -> str:
    binding = next(each for each in parse(label_set.document).bindings if each.control_name == label_set.name)
    return relabel(
        label_set.document,
        binding.labels_name or binding.control_name,
        changes.names,
        renamed=changes.renamed,
        colors=colors,
    )
