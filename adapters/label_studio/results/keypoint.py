"""How are points written: a place, and the size of the dot that the editor draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.label_studio.results.sheet import Sheet, percent, read_number
from models.regions import KeyPoint, Region

_DOT_PERCENT = 0.5
"""Of the image's width. Without a size the editor does not draw the point at all."""


def encode(region: Region, _sheet: Sheet) -> dict[str, Any] | None:
    """Return the `value` without labels; None where the point is not in the image.

    >>> encode(KeyPoint("a", 0.5, 0.25), Sheet(200, 100))
    {'x': 50.0, 'y': 25.0, 'width': 0.5}
    """
    if not isinstance(region, KeyPoint) or not (0 <= region.x <= 1 and 0 <= region.y <= 1):
        return None
    return {"x": percent(region.x), "y": percent(region.y), "width": _DOT_PERCENT}


def decode(value: Mapping[str, Any], _sheet: Sheet, label: str) -> KeyPoint:
    """Read a `value`.

    Raises:
        ValueError: It is no point in the image.
    """
    x, y = read_number(value, "x") / 100, read_number(value, "y") / 100
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError("the point is outside the image")
    return KeyPoint(label, x, y)
