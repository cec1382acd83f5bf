"""What does an interactive request ask? Its context is read here: events, and regions that an annotator drew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.label_studio.results.decoding import read_region
from adapters.label_studio.results.formats import SHAPES
from models.clicks import Prompts
from models.regions import Box, KeyPoint, Mask, Region, bounding_box

PREDICT = "predict"
_TEXT = "textarea"
_SPANS = frozenset({"labels", "hypertextlabels", "paragraphlabels"})


@dataclass(frozen=True, slots=True)
class Interaction:
    """An interactive request.

    Attributes:
        event: "predict", or what else the Enterprise editor may ask, such as "capabilities".
        items: The result items that the annotator drew.
    """

    event: str
    items: tuple[dict[str, Any], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A region that an annotator drew, or a text that one wrote: items with the same id, read together.

    Attributes:
        id: Its id; "" where it has none.
        item: The item that says where it is, or what was written.
        label: Its first label; None where it has none.
    """

    id: str
    item: Mapping[str, Any] = field(repr=False)
    label: str | None

    @property
    def control_name(self) -> str:
        """The control that it was drawn with."""
        return str(self.item.get("from_name"))

    @property
    def object_name(self) -> str:
        """The object that it is about."""
        return str(self.item.get("to_name"))

    @property
    def tag(self) -> str:
        """The control's tag, in lower case."""
        return str(self.item["type"]).lower()

    @property
    def value(self) -> Mapping[str, Any]:
        """What the item says."""
        found = self.item.get("value")
        return found if isinstance(found, dict) else {}

    @property
    def is_shape(self) -> bool:
        """Whether it is drawn on an image."""
        return _draws(self.tag)

    @property
    def is_span(self) -> bool:
        """Whether it is a part of a text, or of a sound."""
        return self.tag in _SPANS

    @property
    def newest_text(self) -> str:
        """The last line of what was written, which is the newest; "" where nothing was."""
        lines = self.value.get("text")
        newest = lines[-1] if isinstance(lines, list) and lines else lines
        return newest.strip() if isinstance(newest, str) else ""


def read(context: object) -> Interaction | None:
    """Read a context, which can be any JSON value; None means that the request is not interactive.

    >>> read(None), read("text"), read({"event": "release"})
    (None, Interaction(event='predict'), Interaction(event='release'))
    """
    if context is None:
        return None
    if not isinstance(context, dict):
        return Interaction(PREDICT)
    event, items = context.get("event"), context.get("result")
    return Interaction(event if isinstance(event, str) and event else PREDICT, read_items(items))


def read_items(items: object) -> tuple[dict[str, Any], ...]:
    """Return what is an item with a type in what should be a list of them."""
    if not isinstance(items, list):
        return ()
    return tuple(item for item in items if isinstance(item, dict) and isinstance(item.get("type"), str))


def drawn(items: Iterable[Mapping[str, Any]]) -> list[Drawn]:
    """Return the regions and texts that items describe, oldest first.

    Results with one id are one region: where it is, its labels and answers about it may be items of their own.
    """
    groups: dict[object, list[Mapping[str, Any]]] = {}
    for number, item in enumerate(items):
        key = item.get("id")
        groups.setdefault(key if isinstance(key, str) and key else number, []).append(item)
    found = []
    for key, group in groups.items():
        main = min(group, key=_rank)
        if _rank(main) < len(_RANKS):
            found.append(Drawn(key if isinstance(key, str) else "", main, _first_label(group)))
    return found


def about_one_thing(regions: Sequence[Drawn]) -> list[Drawn]:
    """Return the regions that are about the same thing as the newest: on the same object, with the same label.

    The editor sends no others; programs may.
    """
    newest = regions[-1]
    return [
        region
        for region in regions
        if (region.object_name, region.label, region.is_shape) == (newest.object_name, newest.label, newest.is_shape)
    ]


def to_prompts(regions: Iterable[Drawn]) -> tuple[Prompts, list[str]]:
    """Return what shapes on an image point at, and what is wrong with those that cannot be read.

    Points are in the thing unless they say otherwise; masks are parts of it; whatever else is drawn is around it.
    """
    prompts, faults = Prompts(), []
    for region in regions:
        try:
            shape = read_region(region.item, "")
        except ValueError as error:
            faults.append(str(error))
            continue
        prompts = _with(prompts, shape, is_inside=_is_inside(region))
    return prompts, faults


def _with(prompts: Prompts, shape: Region, *, is_inside: bool) -> Prompts:
    if isinstance(shape, KeyPoint):
        point = shape.x, shape.y
        if is_inside:
            return replace(prompts, inside=(*prompts.inside, point))
        return replace(prompts, outside=(*prompts.outside, point))
    if isinstance(shape, Mask):
        return replace(prompts, masks=(*prompts.masks, shape))
    around = shape if isinstance(shape, Box) else bounding_box(shape)
    return prompts if around is None else replace(prompts, boxes=(*prompts.boxes, around))


def _is_inside(region: Drawn) -> bool:
    """Read which way a click is meant: beside the value (community edition), in it (Enterprise), or not said."""
    said = (region.item.get("is_positive"), region.value.get("positive"))
    return not any(each is False for each in said)


def _draws(tag: str) -> bool:
    """Say whether a tag's items are drawn on an image."""
    return tag in SHAPES and tag not in _SPANS


_RANKS: tuple[Callable[[str], bool], ...] = (_draws, lambda tag: tag in _SPANS, lambda tag: tag == _TEXT)


def _rank(item: Mapping[str, Any]) -> int:
    """Say how well an item tells what its region is; the lowest number tells best."""
    tag = item["type"].lower()
    return next((rank for rank, fits in enumerate(_RANKS) if fits(tag)), len(_RANKS))


def _first_label(group: Iterable[Mapping[str, Any]]) -> str | None:
    for item in group:
        tag, value = item["type"].lower(), item.get("value")
        if not tag.endswith("labels") and not _draws(tag):
            continue
        for key in (tag, "labels"):
            labels = value.get(key) if isinstance(value, dict) else None
            if isinstance(labels, list) and labels and isinstance(labels[0], str):
                return labels[0]
    return None
