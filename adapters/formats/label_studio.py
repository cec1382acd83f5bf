"""Label Studio's JSON export: tasks with annotations, each a list of result items, in percent of the image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from adapters.formats.geometry import Size, refuse
from adapters.formats.intake import Image, Intake
from adapters.formats.outgoing import Outgoing, require_objective
from adapters.formats.payload import Payload
from adapters.identifiers import spell
from adapters.label_studio.label_config import Binding, parse
from adapters.label_studio.results import ANSWERS, SHAPES
from adapters.label_studio.results.sheet import Sheet
from backend.datasets.annotations import Picture
from backend.errors import Invalid
from backend.ids import derived_id
from backend.predictions.foreign import ForeignPrediction
from models.labels import Objective
from models.regions import Choice, Mask, Region

_Item = Mapping[str, Any]
_AT_ONCE = 500
"""Images that are written together."""
_TAGS: Mapping[Objective, tuple[str, ...]] = {
    Objective.CLASSIFICATION: ("choices",),
    Objective.MULTI_LABEL: ("choices", "taxonomy"),
    Objective.DETECTION: ("rectanglelabels", "rectangle"),
    Objective.INSTANCE_SEGMENTATION: ("polygonlabels", "polygon", "brushlabels", "brush"),
    Objective.SEMANTIC_SEGMENTATION: ("brushlabels", "brush", "bitmasklabels", "bitmask", "polygonlabels", "polygon"),
    Objective.KEY_POINTS: ("keypointlabels", "keypoint"),
}
"""The types of items that are read; the first is the one written where the configuration does not say."""


def read(payload: Payload, intake: Intake) -> None:
    """See `adapters.formats.exchange.Format`."""
    for position, task in enumerate(payload.items()):
        if not isinstance(task, dict) or not isinstance(said := task.get("annotations"), list):
            raise payload.wrong(f"data[{position}] must be a task with annotations, as in Label Studio's JSON export.")
        opinions = [each for each in said if isinstance(each, dict) and isinstance(each.get("result"), list)]
        valid = [each for each in opinions if not each.get("was_cancelled")]
        if not valid:
            continue
        if not intake.appends:
            valid = [max(valid, key=lambda each: str(each.get("updated_at") or each.get("created_at") or ""))]
        items = [each for opinion in valid for each in _items(opinion["result"], intake)]
        name, addresses, image_id = _names(task, position)
        image = intake.find(name, image_id=image_id, filenames=addresses)
        if image is None:
            intake.skip(len(items))
            continue
        for index, (item, labels) in enumerate(items):
            with intake.one(f"{name}#{index}", image):
                intake.add(image, *_regions(item, labels, image))


def _names(task: Mapping[str, Any], position: int) -> tuple[str, list[str], object]:
    data, meta = (_object(task.get(key)) for key in ("data", "meta"))
    named = [meta.get("filename"), *data.values(), task.get("file_upload")]
    names = [each for each in named if isinstance(each, str)]
    uploaded = [name.rpartition("/")[2][9:] for name in names if _has_upload_prefix(name)]
    return next(iter(names), f"data[{position}]"), [*names, *uploaded], meta.get("imageId")


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _has_upload_prefix(name: str) -> bool:
    """Tell whether Label Studio has put eight hexadecimal digits before the name of an uploaded file."""
    prefix, dash, _ = name.rpartition("/")[2].partition("-")
    return bool(dash) and len(prefix) == 8 and all(each in "0123456789abcdef" for each in prefix)


def _items(result: Sequence[Any], intake: Intake) -> list[tuple[_Item, list[str]]]:
    """Return the items of one annotation that are about the label set, with their labels.

    Those of its own control, whatever else was answered; else, in the export of another project, those of the only
    control of its kind.
    """
    tags = _TAGS[intake.schema.objective]
    found = [item for item in result if isinstance(item, dict) and isinstance(item.get("value"), dict)]
    drawn = [item for item in found if item.get("type") in tags]
    names = {str(item.get("from_name")) for item in drawn}
    wanted = intake.name if intake.name in names or len(names) != 1 else next(iter(names))
    beside = {item.get("id"): _listed(item["value"].get("labels")) for item in found if item.get("type") == "labels"}
    return [
        (item, _listed(item["value"].get(item["type"])) or beside.get(item.get("id"), []))
        for item in drawn
        if item.get("from_name") == wanted
    ]


def _listed(labels: object) -> list[str]:
    return [label for label in labels if isinstance(label, str)] if isinstance(labels, list) else []


def _regions(item: _Item, labels: Sequence[str], image: Image) -> list[Region]:
    if item["type"] in ANSWERS:
        return list(ANSWERS[item["type"]].decode(item["value"]))
    if not labels:
        raise Invalid("The region has no label.", code="unknown_label")
    sheet = Sheet.of(item)
    if not sheet.width_px and image.size is not None:
        sheet = Sheet(image.size.width_px, image.size.height_px)
    try:
        regions = [SHAPES[item["type"]].decode(item["value"], sheet, label) for label in labels]
    except ValueError as error:
        refuse(f"The region cannot be used: {error}.")
    for region in regions:
        if isinstance(region, Mask) and image.size != Size(region.width_px, region.height_px):
            refuse(f"The mask has {region.width_px} × {region.height_px} pixels, the image {image.size}.")
    return regions


def write(outgoing: Outgoing) -> Iterator[str]:
    """See `adapters.formats.exchange.Format`."""
    require_objective(outgoing, _TAGS, "labelstudio", "native")
    binding = next((each for each in _bindings(outgoing) if each.control_name == outgoing.label_set.name), None)
    return _write(outgoing, binding)


def _write(outgoing: Outgoing, binding: Binding | None) -> Iterator[str]:
    yield "["
    for position, task in enumerate(_tasks(outgoing, binding)):
        yield f"{',' if position else ''}{json.dumps({'id': position + 1, **task}, separators=(',', ':'))}"
    yield "]"


def _tasks(outgoing: Outgoing, binding: Binding | None) -> Iterator[dict[str, Any]]:
    labelled = outgoing.labelled()
    while part := list(islice(labelled, _AT_ONCE)):
        said = outgoing.find_predictions([picture.task_id for picture, _, _ in part])
        for picture, size, regions in part:
            task = _task(outgoing, binding, picture, size, regions)
            if predictions := _predictions(outgoing, binding, said[picture.task_id]):
                task["predictions"] = predictions
            yield task


def _bindings(outgoing: Outgoing) -> tuple[Binding, ...]:
    return parse(outgoing.document).bindings if outgoing.document else ()


def _task(
    outgoing: Outgoing, binding: Binding | None, picture: Picture, size: Size | None, regions: Sequence[Region]
) -> dict[str, Any]:
    image_id = spell("image_id", picture.task_id)
    items = list(_written(outgoing, binding, picture, size, regions))
    return {
        "data": {outgoing.label_set.field or "image": f"{outgoing.base_url}/images/{image_id}/file"},
        "meta": {"imageId": image_id, "filename": outgoing.name(picture)},
        "annotations": [{"result": items, "was_cancelled": False, "ground_truth": False}],
    }


def _predictions(
    outgoing: Outgoing, binding: Binding | None, said: Sequence[ForeignPrediction]
) -> list[dict[str, Any]]:
    """Return what other ML backends said, as far as it is about the label set."""
    names = {outgoing.label_set.name, binding.labels_name if binding else None}
    return [
        {
            "model_version": each.model_version,
            "score": each.score,
            "result": [item for item in each.result if item.get("from_name") in names],
        }
        for each in said
    ]


def _written(
    outgoing: Outgoing, binding: Binding | None, picture: Picture, size: Size | None, regions: Sequence[Region]
) -> Iterator[dict[str, Any]]:
    tag = binding.control_tag if binding else _TAGS[outgoing.schema.objective][0]
    about = {
        "from_name": outgoing.label_set.name,
        "to_name": binding.object_name if binding else "image",
        "type": tag,
        "origin": "manual",
    }
    if tag in ANSWERS:
        if chosen := [region for region in regions if isinstance(region, Choice)]:
            yield {**about, "id": derived_id(picture.task_id, 0)[-12:], "value": ANSWERS[tag].encode(chosen)}
        return
    assert size is not None
    sheet = Sheet(size.width_px, size.height_px)
    original = {"original_width": size.width_px, "original_height": size.height_px, "image_rotation": 0}
    for index, region in enumerate(regions):
        value = SHAPES[tag].encode(region, sheet)
        if value is None:
            continue
        item = {**about, **original, "id": derived_id(picture.task_id, index)[-12:], "value": value}
        if binding is None or (binding.has_names and binding.labels_name is None):
            yield {**item, "value": {**value, tag: [region.label]}}
        else:
            yield item
        if binding is not None and binding.labels_name is not None:
            named = {**value, "labels": [region.label]}
            yield {**item, "from_name": binding.labels_name, "type": "labels", "value": named}
