"""How are ellipses written: centre, radii, and degrees about the centre. To a model, each is the box around it.

The box has the ellipse's rotation, so nothing is lost either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.label_studio.results.sheet import Sheet, percent, read_number
from models.regions import Box, Region


def encode(region: Region, sheet: Sheet) -> dict[str, Any] | None:
    """Return the `value` without labels of the ellipse inscribed in a box; None where its centre is not in the image.

    Radii have a limit of half the image; an ellipse beyond it is made smaller.

    >>> encode(Box("a", 0.5, 0.25, 0.5, 0.25), Sheet(200, 100))
    {'x': 50.0, 'y': 25.0, 'radiusX': 25.0, 'radiusY': 12.5, 'rotation': 0.0}
    """
    if not isinstance(region, Box) or not (region.width > 0 and region.height > 0):
        return None
    if not (0 <= region.x <= 1 and 0 <= region.y <= 1):
        return None
    width, height, rotation = region.width, region.height, region.rotation % 360
    if max(width, height) > 1 and rotation:  # the same ellipse, seen from the other axis, may be within the limits
        turned = height / sheet.aspect, width * sheet.aspect
        if max(turned) < max(width, height):
            (width, height), rotation = turned, (rotation + 90) % 360
    kept = min(1.0, 1 / width, 1 / height)
    return {
        "x": percent(region.x),
        "y": percent(region.y),
        "radiusX": percent(width * kept) / 2,
        "radiusY": percent(height * kept) / 2,
        "rotation": rotation,
    }


def decode(value: Mapping[str, Any], sheet: Sheet, label: str) -> Box:
    """Read a `value`.

    Raises:
        ValueError: It is no ellipse, has no area, or its centre is not in the image.
    """
    x, y, radius_x, radius_y = (read_number(value, key) / 100 for key in ("x", "y", "radiusX", "radiusY"))
    rotation = read_number(value, "rotation") % 360 if value.get("rotation") else 0.0
    if radius_x <= 0 or radius_y <= 0:
        raise ValueError("the ellipse has no area")
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError("the ellipse is outside the image")
    return Box(label, x, y, 2 * radius_x, 2 * radius_y, rotation, sheet.aspect if rotation else 1.0)
