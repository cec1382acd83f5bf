"""Result items of Label Studio → what a person said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters.label_studio.label_config import Binding
from adapters.label_studio.results.formats import ANSWERS, SHAPES
from adapters.label_studio.results.sheet import Sheet
from models.labels import Objective, Scale
from models.regions import Box, Choice, Number, Region, bounding_box

_Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said for one control.

    Attributes:
        regions: None where the control was not answered, or not as its schema allows.
        num_ignored: Labels that the config lacks, perhaps those of an older one, and regions that make no sense.
    """

    regions: tuple[Region, ...] | None
    num_ignored: int = 0


def decode(result: object, binding: Binding, beside: Sequence[Binding] = ()) -> Answer:
    """Read what a person said for a control from the `result` of an annotation.

    Labels must be those of the config to the letter: unlike a model, a person chose among them.

    An annotation without a region says that there is nothing to find. It says nothing where Label Studio did not show
    the control, where all the regions it has make no sense, or where another control for the same labels on the same
    object was used: who has outlines and boxes at hand draws one of them.

    Args:
        result: As exported.
        binding: The control.
        beside: All controls that are learnt.
    """
    items = [item for item in result if isinstance(item, dict)] if isinstance(result, list) else []
    if binding.control_tag in ANSWERS:
        return _decode_answers(items, binding)
    regions, num_unknown, num_broken = _decode_shapes(items, binding)
    if regions:
        return Answer(regions, num_unknown + num_broken)
    is_answer = isinstance(result, list) and not num_broken and _was_asked(items, binding)
    drawn_instead = any(_decode_shapes(items, other)[0] for other in beside if _is_alternative(binding, other))
    return Answer(() if is_answer and not drawn_instead else None, num_unknown + num_broken)


def read_region(item: _Item, label: str) -> Region:
    """Read what was drawn from one result item of any tag that draws, whichever control it belongs to.

    Raises:
        ValueError: The item draws nothing, or nothing that makes sense.
    """
    shape, value = SHAPES.get(str(item.get("type")).lower()), item.get("value")
    if shape is None or not isinstance(value, Mapping):
        raise ValueError("the item draws nothing")
    return shape.decode(value, Sheet.of(item), label)


# Questions ------------------------------------------------------------------------------------------------------------


def _decode_answers(items: Sequence[_Item], binding: Binding) -> Answer:
    num_ignored, is_answered = 0, False
    known: dict[Region, None] = {}
    for item in items:
        if not _is_of(item, binding.control_name, binding.control_tag):
            continue
        part = _find_part(item, items) if binding.is_per_region else None
        if binding.is_per_region and part is None:
            num_ignored += 1
            continue
        is_answered = True
        for region in ANSWERS[binding.control_tag].decode(item["value"]):
            if isinstance(region, Choice | Number) and _fits(region, binding):
                known[replace(region, part=part)] = None
            else:
                num_ignored += 1
    if binding.schema.objective is not Objective.MULTI_LABEL:
        known = _unambiguous(known)
        is_answered = bool(known)
    return Answer(tuple(known) if is_answered else None, num_ignored)


def _fits(region: Choice | Number, binding: Binding) -> bool:
    if isinstance(region, Choice):
        return region.label in binding.schema.names
    scale = binding.schema.scale or Scale()
    return (scale.minimum is None or region.value >= scale.minimum) and (
        scale.maximum is None or region.value <= scale.maximum
    )


def _unambiguous(regions: Iterable[Region]) -> dict[Region, None]:
    """Return the answers to what was answered once; two different ones contradict each other."""
    by_part: dict[Box | None, list[Region]] = {}
    for region in regions:
        by_part.setdefault(getattr(region, "part", None), []).append(region)
    return {said[0]: None for said in by_part.values() if len(said) == 1}


def _find_part(item: _Item, items: Iterable[_Item]) -> Box | None:
    """Return the box around the region that an answer is about: the one with its id, else its own geometry."""
    drawn = [other for other in items if other.get("id") == item.get("id") and other.get("type") in SHAPES]
    repeated = [{**item, "type": tag} for tag, keys in _GEOMETRY_KEYS.items() if keys <= item["value"].keys()]
    for each in [*drawn, *repeated]:
        try:
            box = bounding_box(read_region(each, ""))
        except ValueError:
            continue
        if box is not None:
            return box
    return None


_GEOMETRY_KEYS: Mapping[str, frozenset[str]] = {
    "rectangle": frozenset({"x", "y", "width", "height"}),
    "ellipse": frozenset({"x", "y", "radiusX", "radiusY"}),
    "polygon": frozenset({"points"}),
    "brush": frozenset({"rle"}),
    "bitmask": frozenset({"imageDataURL"}),
}


# Regions --------------------------------------------------------------------------------------------------------------


def _decode_shapes(items: Sequence[_Item], binding: Binding) -> tuple[tuple[Region, ...], int, int]:
    """Return the regions, and how many have a label that the config lacks, and how many make no sense."""
    shape = SHAPES[binding.control_tag]
    known: dict[Region, None] = {}
    num_unknown = num_broken = 0
    for item, names in _named_items(items, binding):
        in_config = [name for name in names if name in binding.schema.names]
        num_unknown += len(names) - len(in_config)
        num_broken += not names
        try:
            known.update({shape.decode(item["value"], Sheet.of(item), name): None for name in in_config})
        except ValueError:
            num_broken += 1
    return tuple(known), num_unknown, num_broken


def _named_items(items: Sequence[_Item], binding: Binding) -> Iterator[tuple[_Item, list[str]]]:
    """Yield the items that a control drew, with the names of each."""
    given: dict[object, list[str]] = {}
    if binding.labels_name is not None:
        merged = f"{binding.control_tag}labels"
        for item in items:
            if _is_of(item, binding.labels_name, "labels"):
                given.setdefault(str(item.get("id")), []).extend(_names(item["value"], "labels"))
            elif _is_of(item, binding.labels_name, merged):
                yield item, _names(item["value"], merged) or _names(item["value"], "labels")
    for item in items:
        if _is_of(item, binding.control_name, binding.control_tag):
            if binding.labels_name is not None:
                yield item, given.get(str(item.get("id")), [])
            elif binding.has_names:
                yield item, _names(item["value"], binding.control_tag)
            else:
                yield item, list(binding.schema.names)


def _names(value: Mapping[str, Any], key: str) -> list[str]:
    names = value.get(key)
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _is_alternative(binding: Binding, other: Binding) -> bool:
    """Tell whether another control could have been used for the same things."""
    if other is binding or other.object_name != binding.object_name or other.control_tag not in SHAPES:
        return False
    if not (binding.has_names or other.has_names):
        return True
    return bool(set(binding.schema.names) & set(other.schema.names))


def _was_asked(items: Iterable[_Item], binding: Binding) -> bool:
    """Tell whether Label Studio showed a control, given all that was answered."""
    answers: dict[str, tuple[str, ...]] = {}
    for item in items:
        name, value = item.get("from_name"), item.get("value")
        if isinstance(name, str) and isinstance(value, Mapping):
            said = value.get(str(item.get("type")))
            labels = [label[-1] if isinstance(label, list) and label else label for label in _listed(said)]
            answers[name] = (*answers.get(name, ()), *(str(label) for label in labels))
    return all(rule.holds(answers) for rule in binding.conditions)


def _listed(said: object) -> list[object]:
    return said if isinstance(said, list) else [] if said is None else [said]


def _is_of(item: _Item, from_name: str, tag: str) -> bool:
    return item.get("from_name") == from_name and item.get("type") == tag and isinstance(item.get("value"), Mapping)
