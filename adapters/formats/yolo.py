"""YOLO: a list of classes, and for each image a text with one line for each thing in it, in fractions of the image.

`<class> <x centre> <y centre> <width> <height>` for boxes, `<class> <x> <y> <x> <y> …` for outlines, and for labels of
the whole image the class alone. An empty text says that there is nothing.

Source: https://docs.ultralytics.com/datasets/
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from adapters.formats.geometry import Size, box, polygon, read_numbers, refuse
from adapters.formats.intake import Intake
from adapters.formats.outgoing import Outgoing, require_objective
from adapters.formats.payload import Payload
from backend.errors import Invalid
from models.labels import Objective
from models.regions import Box, Choice, Polygon, Region

_CHOSEN = (Objective.CLASSIFICATION, Objective.MULTI_LABEL)
_READ = frozenset({*_CHOSEN, Objective.DETECTION, Objective.INSTANCE_SEGMENTATION, Objective.SEMANTIC_SEGMENTATION})
_WRITTEN = _READ - {Objective.SEMANTIC_SEGMENTATION}


def read(payload: Payload, intake: Intake) -> None:
    """See `adapters.formats.exchange.Format`."""
    objective = intake.schema.objective
    if objective not in _READ:
        raise payload.wrong("yolo has no points; use coco or native.")
    classes: list[str] = []
    for name in payload.items("classes"):
        if not isinstance(name, str):
            raise payload.wrong("classes must be a list of names.")
        classes.append(name)
    for name, text in payload.pairs("files"):
        if not isinstance(text, str):
            raise payload.wrong(f"files[{name!r}] must be a text.")
        lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        image = intake.find(name, filenames=[name])
        if image is None:
            intake.skip(len(lines))
            continue
        for number, words in lines:
            with intake.one(f"{name}#{number}", image):
                intake.add(image, _drawn(objective, words, classes, image.size))


def _drawn(objective: Objective, words: list[str], classes: list[str], size: Size | None) -> Region:
    if not words[0].isdecimal() or int(words[0]) >= len(classes):
        raise Invalid(f"There is no class {words[0]:.20}; classes has {len(classes)}.", code="unknown_label")
    label = classes[int(words[0])]
    numbers = read_numbers([_number(word) for word in words[1:]], "A line")
    if objective in _CHOSEN:
        if numbers:
            refuse("A line for a label of the whole image is the class alone.")
        return Choice(label)
    if size is None:
        refuse("The size of this image is not known, because its file is not here yet; collect it first.")
    across, down = size.width_px, size.height_px
    if objective is Objective.DETECTION:
        if len(numbers) != 4:
            refuse(f"A line for a box has 5 numbers: class, x, y, width, height; this one has {len(words)}.")
        x, y, width, height = numbers
        return box(label, [(x - width / 2) * across, (y - height / 2) * down, width * across, height * down], size)
    if len(numbers) % 2 or len(numbers) < 6:
        refuse(f"A line for an outline is the class and 3 points or more; this one has {len(words)} numbers.")
    points = zip(numbers[::2], numbers[1::2], strict=True)
    return polygon(label, [(x * across, y * down) for x, y in points], size)


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def write(outgoing: Outgoing) -> Iterator[str]:
    """See `adapters.formats.exchange.Format`."""
    require_objective(outgoing, _WRITTEN, "yolo", "native or coco")
    return _write(outgoing)


def _write(outgoing: Outgoing) -> Iterator[str]:
    index = {name: position for position, name in enumerate(outgoing.schema.names)}
    yield f'{{"classes":{json.dumps(list(index))},"files":{{'
    for position, (picture, _, regions) in enumerate(outgoing.labelled()):
        name = outgoing.name(picture).rpartition(".")[0] or outgoing.name(picture)
        lines = [" ".join([str(index[region.label]), *map(_fraction, _numbers(region))]) + "\n" for region in regions]
        yield f"{',' if position else ''}{json.dumps(f'{name}.txt')}:{json.dumps(''.join(lines))}"
    yield "}}"


def _numbers(region: Region) -> list[float]:
    match region:
        case Box():
            left, top, right, bottom = region.bounds
            return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
        case Polygon():
            return [number for point in region.points for number in point]
    return []


def _fraction(number: float) -> str:
    """Write a fraction so that it stands for the same hundredth of a pixel, without an exponent.

    >>> _fraction(0.5), _fraction(0.1 + 0.2)
    ('0.5', '0.3')
    """
    return f"{number:.9f}".rstrip("0").rstrip(".")
