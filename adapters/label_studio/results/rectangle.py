"""How are boxes written: the corner that is top left before rotation, sides, and degrees about that corner."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters.label_studio.results.sheet import Sheet, percent, read_number
from models.regions import Box, Region


def encode(region: Region, sheet: Sheet) -> dict[str, Any] | None:
    """Return the `value` without labels, or None where nothing of the box is in the image.

    An upright box is cut at the image's edge. A rotated one keeps its shape as long as Label Studio takes it: its
    centre must be in the image; the reference corner may become another one, and a box that is longer than Label
    Studio allows is shortened.

    >>> encode(Box("a", 0.5, 0.5, 0.5, 0.25), Sheet(200, 100))
    {'x': 25.0, 'y': 37.5, 'width': 50.0, 'height': 25.0, 'rotation': 0.0}
    """
    if not isinstance(region, Box) or not (region.width > 0 and region.height > 0):
        return None
    if region.rotation % 360 == 0:
        return _upright(region)
    box = replace(region, aspect=sheet.aspect)
    if not (0 < box.x < 1 and 0 < box.y < 1):
        return None
    written = max((_from_corner(box, corner) for corner in range(4)), key=lambda each: each[0])
    return written[1]


def decode(value: Mapping[str, Any], sheet: Sheet, label: str) -> Box:
    """Read a `value`; what an upright box has outside the image is cut off.

    Raises:
        ValueError: It is no box, or has no area in the image.
    """
    x, y, width, height = (read_number(value, key) / 100 for key in ("x", "y", "width", "height"))
    rotation = read_number(value, "rotation") % 360 if value.get("rotation") else 0.0
    if width <= 0 or height <= 0:
        raise ValueError("the box has no area")
    if not rotation:
        left, top, right, bottom = max(0.0, x), max(0.0, y), min(1.0, x + width), min(1.0, y + height)
        if left >= right or top >= bottom:
            raise ValueError("the box is outside the image")
        return Box.from_bounds(label, left, top, right, bottom)
    aspect = sheet.aspect
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    a, b = width / 2 * aspect, height / 2  # in units of the image's height, which is isotropic
    box = Box(label, x + (a * cos - b * sin) / aspect, y + a * sin + b * cos, width, height, rotation, aspect)
    if not (0 <= box.x <= 1 and 0 <= box.y <= 1):
        raise ValueError("the box is outside the image")
    return box


def _upright(box: Box) -> dict[str, Any] | None:
    left, top, right, bottom = box.bounds
    x, y, end_x, end_y = percent(left), percent(top), percent(right), percent(bottom)
    if not (x < end_x and y < end_y):
        return None
    return {"x": x, "y": y, "width": end_x - x, "height": end_y - y, "rotation": 0.0}


def _from_corner(box: Box, corner: int) -> tuple[tuple[float, bool], dict[str, Any]]:
    """Describe a rotated box from one of its corners, and say how good that description is: size kept, corner inside.

    Seen from the next corner clockwise, a box is turned by 90 degrees more and its sides change places. Of the box,
    at most so much is kept that no number exceeds what Label Studio's validation allows.
    """
    width, height = box.width, box.height
    if corner % 2:
        width, height = height / box.aspect, width * box.aspect
    x, y = box.corners[corner]
    limits = [1.0, 1 / width, 1 / height]
    limits += [(1 - box.x) / (x - box.x)] if x > box.x else []
    limits += [(1 - box.y) / (y - box.y)] if y > box.y else []
    kept = min(limits)
    x, y = box.x + (x - box.x) * kept, box.y + (y - box.y) * kept
    return (round(kept, 9), min(x, y) >= 0), {
        "x": min(100.0, x * 100),
        "y": min(100.0, y * 100),
        "width": percent(width * kept),
        "height": percent(height * kept),
        "rotation": (box.rotation + 90 * corner) % 360,
    }
