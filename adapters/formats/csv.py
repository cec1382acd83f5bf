"""CSV for labels of whole images: a line for each, with its file name, its label and, where it has several, those."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from adapters.formats.intake import Intake
from adapters.formats.outgoing import Outgoing, require_objective
from adapters.formats.payload import Payload
from models.labels import Objective
from models.regions import Choice

_KNOWN = frozenset({Objective.CLASSIFICATION, Objective.MULTI_LABEL})
_NAMES = frozenset({"filename", "file", "image", "imageid"})
"""What the first column may be called."""


def read(payload: Payload, intake: Intake) -> None:
    """See `adapters.formats.exchange.Format`."""
    if intake.schema.objective not in _KNOWN:
        raise payload.wrong("csv has labels of whole images only; use coco or native.")
    lines = csv.reader(io.StringIO(payload.text().removeprefix("\ufeff"), newline=""))
    try:
        heading = next(lines, [])
        if len(heading) < 2 or heading[0].strip().lower() not in _NAMES:
            raise payload.wrong("The first line must name the columns: filename,label")
        for line in lines:
            if line:
                _read_line(line, lines.line_num, intake)
    except csv.Error as error:
        raise payload.wrong(f"Line {lines.line_num} is not CSV: {error}.") from None


def _read_line(line: list[str], number: int, intake: Intake) -> None:
    name, *labels = (cell.strip() for cell in line)
    labels = list(filter(None, labels))
    image = intake.find(name, filenames=[name])
    if image is None:
        intake.skip(len(labels))
        return
    for label in labels:
        with intake.one(f"{name}#{number}", image):
            intake.add(image, Choice(label))


def write(outgoing: Outgoing) -> Iterator[str]:
    """See `adapters.formats.exchange.Format`."""
    require_objective(outgoing, _KNOWN, "csv", "native or coco")
    return _write(outgoing)


def _write(outgoing: Outgoing) -> Iterator[str]:
    yield "filename,label\r\n"
    for picture, _, regions in outgoing.labelled():
        line = io.StringIO()
        csv.writer(line).writerow([outgoing.name(picture), *(region.label for region in regions)])
        yield line.getvalue()
