"""How are choices written: one item with all chosen labels, also where only one may be chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.regions import Choice, Region


def encode(regions: Sequence[Region]) -> dict[str, Any]:
    """Return the `value` of an item.

    >>> encode([Choice("Cat", 0.75), Choice("Dog", 0.25)])
    {'choices': ['Cat', 'Dog']}
    """
    return {"choices": [region.label for region in regions]}


def decode(value: Mapping[str, Any]) -> list[Region]:
    """Read one item's `value`; a path of nested choices, a list in place of a label, is no label of ours."""
    labels = value.get("choices")
    return [Choice(label) for label in (labels if isinstance(labels, list) else [labels]) if isinstance(label, str)]
