"""COCO instances: `images`, `annotations` and `categories`, in pixels.

`bbox` for boxes, `segmentation` for outlines (a list of polygons: the parts of one thing) and masks (RLE), `keypoints`
for points, of which each has a category of its own when we write them. A bare category is a label of the whole image.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from tempfile import TemporaryFile
from typing import Any

from adapters.formats.geometry import Size, box, corners, key_point, pixels, polygon, read_numbers, refuse
from adapters.formats.intake import Image, Intake
from adapters.formats.outgoing import Outgoing, require_objective
from adapters.formats.payload import Payload
from adapters.formats.rle import read_mask, write_mask
from adapters.identifiers import spell
from backend.errors import Invalid
from models.labels import Objective
from models.regions import Box, Choice, KeyPoint, Mask, Polygon, Region

_CHOSEN = (Objective.CLASSIFICATION, Objective.MULTI_LABEL)
_OUTLINED = (Objective.INSTANCE_SEGMENTATION, Objective.SEMANTIC_SEGMENTATION)
_WRITTEN = frozenset({*_CHOSEN, *_OUTLINED, Objective.DETECTION, Objective.KEY_POINTS})
_SEEN = 0
"""Points with a visibility above it were found."""


def read(payload: Payload, intake: Intake) -> None:
    """See `adapters.formats.exchange.Format`."""
    categories: dict[object, Mapping[str, Any]] = {}
    for category in payload.items("categories"):
        if not isinstance(category, dict) or not isinstance(category.get("name"), str):
            raise payload.wrong("Every one of categories must have an id and a name.")
        categories[_key(payload, category, "id")] = category
    images: dict[object, Image | None] = {}
    for entry in payload.items("images"):
        if not isinstance(entry, dict) or not isinstance(name := entry.get("file_name"), str):
            raise payload.wrong("Every one of images must have an id and a file_name.")
        images[_key(payload, entry, "id")] = intake.find(
            name, image_id=entry.get("imageId"), filenames=[name], size=(entry.get("width"), entry.get("height"))
        )
    for position, annotation in enumerate(payload.items("annotations")):
        if not isinstance(annotation, dict):
            raise payload.wrong(f"annotations[{position}] must be an object.")
        image_id = _key(payload, annotation, "image_id")
        image = images.get(image_id)
        if image is None:
            if image_id not in images:
                lost = Invalid(f"images lack the id {image_id}.", code="import_invalid")
                intake.refuse(f"annotations[{position}]", lost)
            intake.skip(1)
            continue
        with intake.one(f"annotations[{position}]", image):
            category = categories.get(annotation.get("category_id"))
            if category is None:
                raise Invalid(f"categories lack the id {annotation.get('category_id')}.", code="unknown_label")
            intake.add(image, *_drawn(intake.schema.objective, category, annotation, image.size))


def _key(payload: Payload, entry: Mapping[str, Any], name: str) -> object:
    found = entry.get(name)
    if not isinstance(found, int | str):
        raise payload.wrong(f"{name} must be a number or a text; found {found!r:.40}.")
    return found


def _drawn(
    objective: Objective, category: Mapping[str, Any], annotation: Mapping[str, Any], size: Size | None
) -> list[Region]:
    label = category["name"]
    if objective in _CHOSEN:
        return [Choice(label)]
    if size is None:
        refuse("The size of this image is not known, because its file is not here yet; collect it first.")
    if objective is Objective.DETECTION:
        return [box(label, read_numbers(annotation.get("bbox"), "bbox", count=4), size)]
    if objective in _OUTLINED:
        return _segments(label, annotation.get("segmentation"), size)
    return _points(category, annotation.get("keypoints"), size)


def _segments(label: str, segmentation: object, size: Size) -> list[Region]:
    if isinstance(segmentation, Mapping):
        return [read_mask(label, segmentation, size)]
    if not isinstance(segmentation, list) or not segmentation:
        refuse("segmentation must be a list of polygons, or RLE.")
    parts: list[Region] = []
    for part in segmentation:
        numbers = read_numbers(part, "segmentation")
        if len(numbers) % 2:
            refuse("segmentation has a polygon with an odd number of coordinates.")
        parts.append(polygon(label, list(zip(numbers[::2], numbers[1::2], strict=True)), size))
    return parts


def _points(category: Mapping[str, Any], written: object, size: Size) -> list[Region]:
    names = category.get("keypoints")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        refuse("The category needs keypoints, the names of its points.")
    numbers = read_numbers(written, "keypoints", count=3 * len(names))
    places = zip(names, numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    return [key_point(name, x, y, size) for name, x, y, visibility in places if visibility > _SEEN]


def write(outgoing: Outgoing) -> Iterator[str]:
    """See `adapters.formats.exchange.Format`."""
    require_objective(outgoing, _WRITTEN, "coco", "native")
    return _write(outgoing)


def _write(outgoing: Outgoing) -> Iterator[str]:
    names = outgoing.schema.names
    has_points = outgoing.schema.objective is Objective.KEY_POINTS
    categories = [
        {"id": index, "name": name, **({"keypoints": [name], "skeleton": []} if has_points else {})}
        for index, name in enumerate(names, 1)
    ]
    ids = {name: index for index, name in enumerate(names, 1)}
    number = 0
    with TemporaryFile("w+") as aside:  # all images come before all annotations
        yield f'{{"info":{{}},"licenses":[],"categories":{json.dumps(categories)},"images":['
        for position, (picture, size, regions) in enumerate(outgoing.labelled(), 1):
            image: dict[str, Any] = {
                "id": position,
                "file_name": outgoing.name(picture),
                "width": size and size.width_px,
                "height": size and size.height_px,
                "imageId": spell("image_id", picture.task_id),
            }
            yield f"{',' if position > 1 else ''}{json.dumps(image, separators=(',', ':'))}"
            for region in regions:
                number += 1
                about = {"id": number, "image_id": position, "category_id": ids[region.label], "iscrowd": 0}
                line = json.dumps({**about, **_shape(region, size)}, separators=(",", ":"))
                aside.write(f"{',' if number > 1 else ''}{line}\n")
        yield '],"annotations":['
        aside.seek(0)
        yield from aside
        yield "]}"


def _shape(region: Region, size: Size | None) -> dict[str, Any]:
    if isinstance(region, Choice) or size is None:
        return {}
    match region:
        case Box():
            x, y, width, height = _around(*region.bounds, size)
            return {"bbox": [x, y, width, height], "area": pixels(width * height), "segmentation": []}
        case Polygon():
            points = corners(region, size)
            xs, ys = zip(*region.points, strict=True)
            around = _around(min(xs), min(ys), max(xs), max(ys), size)
            return {
                "bbox": around,
                "area": _area(points),
                "segmentation": [[each for point in points for each in point]],
            }
        case Mask():
            rows, columns = region.to_array().nonzero()
            left, top, right, bottom = (int(edge) for edge in (columns.min(), rows.min(), columns.max(), rows.max()))
            around = [left, top, right - left + 1, bottom - top + 1]
            return {"bbox": around, "area": len(rows), "segmentation": write_mask(region)}
        case KeyPoint():
            x, y = pixels(region.x * size.width_px), pixels(region.y * size.height_px)
            return {"bbox": [x, y, 0, 0], "area": 0, "keypoints": [x, y, 2], "num_keypoints": 1}
    raise AssertionError(region)


def _around(left: float, top: float, right: float, bottom: float, size: Size) -> list[float]:
    across, down = size.width_px, size.height_px
    return [pixels(edge) for edge in (left * across, top * down, (right - left) * across, (bottom - top) * down)]


def _area(points: Sequence[Sequence[float]]) -> float:
    following = [*points[1:], points[0]]
    return pixels(abs(sum(x * v - u * y for (x, y), (u, v) in zip(points, following, strict=True))) / 2)
