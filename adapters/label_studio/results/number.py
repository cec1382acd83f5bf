"""How are numbers written: one item with one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.label_studio.results.sheet import read_number
from models.regions import Number, Region


def encode(regions: Sequence[Region]) -> dict[str, Any]:
    """Return the `value` of an item.

    >>> encode([Number(2.5)])
    {'number': 2.5}
    """
    return {"number": next(region.value for region in regions if isinstance(region, Number))}


def decode(value: Mapping[str, Any]) -> list[Region]:
    """Read one item's `value`."""
    try:
        return [Number(read_number(value, "number"))]
    except ValueError:
        return []
