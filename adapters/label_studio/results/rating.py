"""How are ratings written: one item with a whole number of stars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.label_studio.results.sheet import read_number
from models.regions import Number, Region


def encode(regions: Sequence[Region]) -> dict[str, Any]:
    """Return the `value` of an item.

    >>> encode([Number(4.0)])
    {'rating': 4}
    """
    return {"rating": next(round(region.value) for region in regions if isinstance(region, Number))}


def decode(value: Mapping[str, Any]) -> list[Region]:
    """Read one item's `value`; no star is no answer."""
    try:
        stars = read_number(value, "rating")
    except ValueError:
        return []
    return [Number(stars)] if stars >= 1 else []
