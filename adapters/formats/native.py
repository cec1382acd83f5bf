"""Our own form: annotations as the API gives and takes them, by image.

{"images": [{"imageId" or "filename", "annotations": [{"label": "car", "bbox": [10, 20, 100, 50]}], "coords"?}]}

Coordinates are pixels of the upright image, or with `"coords": "normalized"` fractions of its width and height.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from adapters.formats.geometry import Size, box, corners, key_point, pixels, polygon, read_numbers, refuse, xywh
from adapters.formats.intake import Intake
from adapters.formats.outgoing import Outgoing
from adapters.formats.payload import Payload
from adapters.formats.rle import read_mask, write_mask
from adapters.identifiers import spell
from backend.errors import Invalid
from models.regions import Box, Choice, KeyPoint, Mask, Number, Polygon, Region, Span

SHAPES = ("bbox", "polygon", "rle", "point")


def read(payload: Payload, intake: Intake) -> None:
    """See `adapters.formats.exchange.Format`."""
    for position, entry in enumerate(payload.items("images")):
        if not isinstance(entry, dict):
            raise payload.wrong(f"images[{position}] must be an object.")
        name = str(entry.get("imageId") or entry.get("filename") or f"images[{position}]")
        said = entry.get("annotations")
        if not isinstance(said, list):
            raise payload.wrong(f'images[{position}] must have "annotations", a list.')
        image = intake.find(name, image_id=entry.get("imageId"), filenames=[entry.get("filename")])
        if image is None:
            intake.skip(len(said))
            continue
        coords = entry.get("coords") or payload.options.get("coords")
        for index, annotation in enumerate(said):
            with intake.one(f"{name}#{index}", image):
                intake.add(image, read_annotation(annotation, image.size, is_normalized=is_normalized(coords)))


def is_normalized(coords: object) -> bool:
    """Say whether coordinates are fractions.

    Raises:
        Invalid: Nobody can say.
    """
    if coords not in (None, "pixel", "pixels", "normalized"):
        refuse('coords must be "pixels" or "normalized".')
    return coords == "normalized"


def read_annotation(written: object, size: Size | None, *, is_normalized: bool = False) -> Region:
    """Read one annotation.

    Args:
        written: Its JSON.
        size: Of the image; None where nobody knows it.
        is_normalized: Whether coordinates are fractions of the image.

    Raises:
        Invalid: It makes no sense.
    """
    if not isinstance(written, Mapping):
        _wrong("An annotation must be an object.")
    label = written.get("label")
    if not isinstance(label, str):
        _wrong("An annotation needs a label, the name of one.")
    given = [name for name in SHAPES if written.get(name) is not None]
    if len(given) > 1:
        _wrong(f"An annotation has one shape; this one has {' and '.join(given)}.")
    if not given:
        return Choice(label)
    if size is None:
        refuse("The size of this image is not known, because its file is not here yet; collect it first.")
    across, down = (size.width_px, size.height_px) if is_normalized else (1, 1)
    match given[0]:
        case "bbox":
            x, y, width, height = read_numbers(written["bbox"], "bbox", count=4)
            [rotation] = read_numbers([written.get("rotation") or 0.0], "rotation")
            return box(label, [x * across, y * down, width * across, height * down], size, rotation=rotation)
        case "polygon":
            listed = written["polygon"]
            points = [read_numbers(point, "polygon", count=2) for point in listed] if isinstance(listed, list) else []
            return polygon(label, [(x * across, y * down) for x, y in points], size)
        case "rle":
            return read_mask(label, written["rle"], size)
    x, y = read_numbers(written["point"], "point", count=2)
    return key_point(label, x * across, y * down, size)


def write_annotation(region: Region, size: Size | None, *, digits: int = 2) -> dict[str, Any]:
    """Write one annotation, rounded to digits of a pixel; without a size in fractions."""
    seen = size or Size(1, 1)
    match region:
        case Choice(part=None):
            return {"label": region.label}
        case Choice(part=part) if part is not None:
            return {**write_annotation(part, size, digits=digits), "label": region.label}
        case Box():
            sides, rotation = xywh(region, seen, digits=digits)
            return {"label": region.label, "bbox": sides, **({"rotation": rotation} if rotation else {})}
        case Polygon():
            return {"label": region.label, "polygon": corners(region, seen, digits=digits)}
        case Mask():
            return {"label": region.label, "rle": write_mask(region)}
        case KeyPoint():
            return {
                "label": region.label,
                "point": [pixels(region.x * seen.width_px, digits), pixels(region.y * seen.height_px, digits)],
            }
        case Number():
            return {"label": "", "value": region.value}
        case Span():
            return {"label": region.label, "start": region.start, "end": region.end}
    raise AssertionError(region)


def write(outgoing: Outgoing) -> Iterator[str]:
    """See `adapters.formats.exchange.Format`."""
    names = json.dumps(list(outgoing.schema.names))
    yield f'{{"labels":{names},"images":['
    for position, (picture, size, regions) in enumerate(outgoing.labelled()):
        image = {
            "imageId": spell("image_id", picture.task_id),
            "filename": outgoing.name(picture),
            "width": size and size.width_px,
            "height": size and size.height_px,
            "annotations": [write_annotation(region, size) for region in regions],
        }
        yield f"{',' if position else ''}{json.dumps(image, separators=(',', ':'))}"
    yield "]}"


def _wrong(why: str) -> NoReturn:
    raise Invalid(why, code="validation_error")
