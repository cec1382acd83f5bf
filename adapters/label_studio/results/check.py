"""Is a list of result items what Label Studio takes and its editor shows?

Label Studio can be set up to refuse a whole batch for one bad item; by default it stores bad items and its editor
hides them. So whatever leaves this server goes through here, ours and that of hosted models.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from adapters.label_studio.label_config import Control, LabelConfig, parse
from adapters.label_studio.results.sheet import Sheet
from adapters.label_studio.results.values import GEOMETRY, read_value

_DIRECTIONS = ("left", "right", "bi")
_ANSWERS = frozenset({"choices", "taxonomy", "rating", "number", "datetime", "textarea"})
_Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Checked:
    """What is left of a list of result items.

    Attributes:
        items: Valid ones, in order; repaired where only one repair is possible.
        reasons: Why others were left out, one sentence each.
    """

    items: list[dict[str, Any]]
    reasons: list[str]


def check_result(document: str, items: Sequence[object]) -> Checked:
    """Check items that anybody may have written against a labelling config in XML.

    Raises:
        Invalid: The config cannot be read.
    """
    return check(parse(document), items)


def check(config: LabelConfig, items: Sequence[object]) -> Checked:
    """Check items that anybody may have written.

    Boxes and outlines are cut at the image's edge, labels that the config lacks are left out, ids become strings that
    tell regions apart, nested lists of relations become flat. What cannot be repaired is left out, and with it what is
    said about it: its labels, its answers and its relations.
    """
    return _Check(config).run(items)


class _Check:
    """One run over one list."""

    def __init__(self, config: LabelConfig) -> None:
        self._controls = config.controls
        self._reasons: list[str] = []
        self._ids: dict[object, str] = {}
        self._given: set[str] = set()
        self._taken: set[tuple[str, str]] = set()
        self._regions: dict[str, _Item] = {}
        self._lost: set[str] = set()

    def run(self, items: Sequence[object]) -> Checked:
        """Check regions, then what is said about them, then relations between them."""
        flat = [inner for item in items for inner in (item if isinstance(item, list) else [item])]
        checked: dict[int, _Item] = {}
        for of_round, check_one in ((_Round.REGIONS, self._region), (_Round.ANSWERS, self._answer)):
            for index, item in enumerate(flat):
                if _round_of(item) is of_round:
                    self._attempt(checked, index, item, check_one)
        known = {item["id"] for item in checked.values()}
        for index, item in enumerate(flat):
            if _round_of(item) is _Round.RELATIONS:
                self._attempt(checked, index, item, lambda each: self._relation(each, known))
        return Checked([checked[index] for index in sorted(checked)], self._reasons)

    def _attempt(
        self, checked: dict[int, _Item], index: int, item: object, check_one: Callable[[_Item], _Item]
    ) -> None:
        try:
            if not isinstance(item, dict):
                raise ValueError("is no object")
            checked[index] = check_one(item)
        except ValueError as reason:
            name = item.get("from_name") or item.get("type") if isinstance(item, dict) else ""
            self._reasons.append(f"item {index} ({name or 'nameless'}) {reason}")

    def _region(self, item: _Item) -> _Item:
        identity = self._identity(item)
        try:
            read = self._read(item, identity)
        except ValueError:
            self._lost.add(identity)
            raise
        self._lost.discard(identity)
        self._regions.setdefault(read["id"], read)
        return read

    def _answer(self, item: _Item) -> _Item:
        """Check what is said about a region, or about the whole item."""
        identity = self._identity(item)
        region = self._regions.get(identity)
        names_shape = _tag(item) == "labels"
        if (region is None and identity in self._lost) or (names_shape and (region or {}).get("type") not in GEOMETRY):
            raise ValueError("is about a region that is not there")
        if region is None:
            return self._read(item, identity)
        own = "text" if _tag(item) == "textarea" else _tag(item)
        geometry = {key: value for key, value in region["value"].items() if key != own and not key.endswith("labels")}
        return self._read({**item, "value": {**_value(item), **geometry}}, identity)

    def _read(self, item: _Item, identity: str) -> _Item:
        control = self._control(item)
        tag, to_name = _tag(item), item.get("to_name")
        if tag not in (control.tag, self._merged_tag(control, tag)):
            raise ValueError(f"has the type {tag!r}, but its control is a {control.tag!r}")
        if to_name not in control.object_names:
            if to_name not in (None, control.name):
                raise ValueError(f"is attached to {to_name!r}, but its control is not")
            to_name = control.object_names[0]  # the editor writes the control's own name for Pairwise
        value = read_value(tag, _value(item), control, Sheet.of(item))
        if (identity, control.name) in self._taken:  # two regions of one control would be taken for one
            identity = self._fresh(identity)
        self._taken.add((identity, control.name))
        read = {**item, "id": identity, "to_name": to_name, "type": tag, "value": value}
        if "score" in read and not _is_number(read["score"]):
            del read["score"]
        _refuse_what_json_cannot_hold(read)
        return read

    def _control(self, item: _Item) -> Control:
        name = item.get("from_name")
        control = self._controls.get(name) if isinstance(name, str) else None
        if control is None:
            raise ValueError("has a from_name that the config does not define")
        return control

    def _merged_tag(self, control: Control, tag: str) -> str | None:
        """Return the type of a shape with labels that a <Labels> beside a shape's own control may use."""
        geometry = tag.removesuffix("labels")
        if control.tag != "labels" or geometry not in GEOMETRY:
            return None
        beside = (other for other in self._controls.values() if other.tag == geometry)
        return tag if any(set(other.object_names) & set(control.object_names) for other in beside) else None

    def _identity(self, item: _Item) -> str:
        """Return an id that is text of the characters that the editor takes; equal ids stay equal."""
        sent = item.get("id")
        if isinstance(sent, bool) or not isinstance(sent, str | int) or sent == "":
            return self._fresh()
        if sent not in self._ids:
            written = re.sub(r"[^A-Za-z0-9_-]", "-", str(sent))
            self._ids[sent] = self._fresh(written) if written in self._given else written
            self._given.add(self._ids[sent])
        return self._ids[sent]

    def _fresh(self, wanted: str = "region") -> str:
        """Return an id that no other region has."""
        number = len(self._given) + 1
        while (identity := f"{wanted}-{number}") in self._given:
            number += 1
        self._given.add(identity)
        return identity

    def _relation(self, item: _Item, known: set[str]) -> _Item:
        ends = {key: self._ids.get(_hashable(item.get(key))) for key in ("from_id", "to_id")}
        if not all(end in known for end in ends.values()):
            raise ValueError("relates regions that are not there")
        direction = item.get("direction", "right")
        if direction not in _DIRECTIONS:
            raise ValueError("has a direction that is none of left, right and bi")
        labels = item.get("labels")
        names = {"labels": [name for name in labels if isinstance(name, str)]} if isinstance(labels, list) else {}
        return {"type": "relation", **ends, "direction": direction, **names}


class _Round(Enum):
    REGIONS = auto()
    ANSWERS = auto()
    RELATIONS = auto()


def _round_of(item: object) -> _Round:
    if not isinstance(item, dict):
        return _Round.REGIONS
    tag = item.get("type")
    if tag == "relation":
        return _Round.RELATIONS
    value = item.get("value")
    names_shape = tag == "labels" and isinstance(value, dict) and "start" not in value
    return _Round.ANSWERS if tag in _ANSWERS or names_shape else _Round.REGIONS


def _tag(item: _Item) -> str:
    tag = item.get("type")
    if not isinstance(tag, str):
        raise ValueError("has no type")
    return tag.lower()


def _value(item: _Item) -> _Item:
    value = item.get("value")
    if not isinstance(value, dict):
        raise ValueError("has no value")
    return value


def _is_number(score: object) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)


def _refuse_what_json_cannot_hold(item: _Item) -> None:
    """Make sure that an item can be sent: NaN and infinity would spoil the whole answer."""
    value = {key: inner for key, inner in item["value"].items() if key != "rle"}  # long, and read as bytes already
    try:
        json.dumps({**item, "value": value}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("holds something that JSON cannot, such as a number that is not finite") from error


def _hashable(sent: object) -> object:
    return sent if isinstance(sent, str | int) else None
