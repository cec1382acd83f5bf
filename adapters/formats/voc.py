"""Pascal VOC: for each image an XML file with the boxes in it, in pixels.

Edges are read as they stand: `xmin` is the left edge and `xmax` the right one, as most tools write them today. The
original data counts pixels from 1; its boxes come out up to one pixel to the right.

Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from adapters.formats.geometry import Size, box, pixels, refuse
from adapters.formats.intake import Intake
from adapters.formats.outgoing import Outgoing, require_objective
from adapters.formats.payload import Payload
from backend.errors import Invalid
from models.labels import Objective
from models.regions import Box, Choice, Region

_CHOSEN = (Objective.CLASSIFICATION, Objective.MULTI_LABEL)
_KNOWN = frozenset({*_CHOSEN, Objective.DETECTION})
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read(payload: Payload, intake: Intake) -> None:
    """See `adapters.formats.exchange.Format`."""
    objective = intake.schema.objective
    if objective not in _KNOWN:
        raise payload.wrong("voc has boxes only; use coco or native.")
    for name, text in payload.pairs("files"):
        if not isinstance(text, str):
            raise payload.wrong(f"files[{name!r}] must be a text.")
        root = _parse(text)
        if root is None:
            intake.refuse(name, Invalid("This is not an XML file of Pascal VOC.", code="import_invalid"))
            continue
        size = (_whole(root.findtext("size/width")), _whole(root.findtext("size/height")))
        objects = root.findall("object")
        image = intake.find(name, filenames=[root.findtext("filename"), name], size=size)
        if image is None:
            intake.skip(len(objects))
            continue
        for index, found in enumerate(objects):
            with intake.one(f"{name}#{index}", image):
                label = (found.findtext("name") or "").strip()
                intake.add(image, Choice(label) if objective in _CHOSEN else _box(label, found, image.size))


def _parse(text: str) -> ElementTree.Element | None:
    if "<!DOCTYPE" in text:  # only there could entities be defined that grow without bound
        return None
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - see above
    except (ElementTree.ParseError, ValueError):
        return None
    return root if root.tag == "annotation" else None


def _whole(text: str | None) -> int:
    return int(text) if text and text.strip().isdecimal() else 0


def _box(label: str, found: ElementTree.Element, size: Size | None) -> Region:
    if size is None:
        refuse("The size of this image is not known, because its file is not here yet; collect it first.")
    try:
        left, top, right, bottom = (float(found.findtext(f"bndbox/{edge}") or "") for edge in _EDGES)
    except ValueError:
        refuse("bndbox needs the numbers xmin, ymin, xmax and ymax.")
    return box(label, [left, top, right - left, bottom - top], size)


def write(outgoing: Outgoing) -> Iterator[str]:
    """See `adapters.formats.exchange.Format`."""
    require_objective(outgoing, _KNOWN, "voc", "native or coco")
    return _write(outgoing)


def _write(outgoing: Outgoing) -> Iterator[str]:
    yield '{"files":{'
    for position, (picture, size, regions) in enumerate(outgoing.labelled()):
        name = outgoing.name(picture)
        text = "".join(_lines(name, size, regions))
        yield f"{',' if position else ''}{json.dumps((name.rpartition('.')[0] or name) + '.xml')}:{json.dumps(text)}"
    yield "}}"


def _lines(name: str, size: Size | None, regions: tuple[Region, ...]) -> Iterator[str]:
    yield f"<annotation>\n  <filename>{escape(name)}</filename>\n"
    if size is not None:
        yield f"  <size><width>{size.width_px}</width><height>{size.height_px}</height><depth>3</depth></size>\n"
    for region in regions:
        yield f"  <object>\n    <name>{escape(region.label)}</name>\n"
        if isinstance(region, Box) and size is not None:
            sides = zip(_EDGES, region.bounds, (size.width_px, size.height_px) * 2, strict=True)
            edges = "".join(f"<{edge}>{pixels(at * side):g}</{edge}>" for edge, at, side in sides)
            yield f"    <bndbox>{edges}</bndbox>\n"
        yield "  </object>\n"
    yield "</annotation>\n"
