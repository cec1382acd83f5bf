"""Pixels of an upright image ⇄ regions, which are in fractions of it.

Whatever lies up to one pixel outside the image is cut off; what lies further outside is refused, because it belongs to
another image, or to one that was not yet turned upright.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from backend.errors import Invalid
from models.outlines import repaired
from models.regions import Box, KeyPoint, Point, Polygon

_MAX_BEYOND_PX = 1.0
_MAX_POINTS = 2_000
"""Of one polygon; whether it crosses itself takes a time that grows with their square."""
_FEW_POINTS = 40
_ALMOST = 1e-6


@dataclass(frozen=True, slots=True)
class Size:
    """Of an upright image."""

    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"{self.width_px} × {self.height_px}"


def refuse(why: str) -> NoReturn:
    """Raise that what was drawn makes no sense."""
    raise Invalid(why, code="geometry_invalid")


def read_numbers(written: object, name: str, *, count: int | None = None) -> list[float]:
    """Return a list of finite numbers.

    Raises:
        Invalid: It is none, or of another length than `count`.
    """
    is_list = isinstance(written, Sequence) and not isinstance(written, str)
    numbers = [each for each in written if _is_number(each)] if is_list and isinstance(written, Sequence) else []
    if not isinstance(written, Sequence) or len(numbers) != len(written) or (count or len(numbers)) != len(numbers):
        refuse(f"{name} must be a list of {count or 'finite'} numbers.")
    return numbers


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def box(label: str, xywh: Sequence[float], size: Size, *, rotation: float = 0.0) -> Box:
    """Make a box.

    Args:
        label: What it is.
        xywh: Left, top, width and height in pixels.
        size: Of the image.
        rotation: In degrees, clockwise about the corner that is top left before.

    Raises:
        Invalid: It has no area, or lies outside of the image.

    >>> box("a", [0, 25, 50, 50], Size(100, 100)).bounds
    (0.0, 0.25, 0.5, 0.75)
    """
    x, y, width, height = xywh
    if not (width > 0 and height > 0):
        refuse(f"bbox has no area: its width is {width:g} and its height {height:g}; both must be above 0.")
    if rotation % 360:
        return _rotated(label, xywh, size, rotation % 360)
    left, right = _cut(x, size.width_px, "bbox", size), _cut(x + width, size.width_px, "bbox", size)
    top, bottom = _cut(y, size.height_px, "bbox", size), _cut(y + height, size.height_px, "bbox", size)
    if not (left < right and top < bottom):
        refuse(f"bbox has no area inside the image of {size} pixels.")
    return Box.from_bounds(
        label, left / size.width_px, top / size.height_px, right / size.width_px, bottom / size.height_px
    )


def _rotated(label: str, xywh: Sequence[float], size: Size, rotation: float) -> Box:
    x, y, width, height = xywh
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    centre_x = x + width / 2 * cos - height / 2 * sin
    centre_y = y + width / 2 * sin + height / 2 * cos
    turned = Box(
        label,
        centre_x / size.width_px,
        centre_y / size.height_px,
        width / size.width_px,
        height / size.height_px,
        rotation,
        size.width_px / size.height_px,
    )
    for corner_x, corner_y in turned.corners:  # cut, it would be no rectangle any more
        _cut(corner_x * size.width_px, size.width_px, "bbox, once rotated,", size)
        _cut(corner_y * size.height_px, size.height_px, "bbox, once rotated,", size)
    return turned


def xywh(drawn: Box, size: Size, *, digits: int = 2) -> tuple[list[float], float]:
    """Return left, top, width and height in pixels, and the rotation about the corner that is top left before it.

    >>> xywh(box("a", [50, 20, 30, 40], Size(100, 100), rotation=30.0), Size(100, 100))
    ([50.0, 20.0, 30.0, 40.0], 30.0)
    """
    if drawn.rotation:
        x, y = drawn.corners[0]
    else:
        x, y = drawn.x - drawn.width / 2, drawn.y - drawn.height / 2
    sides = (x * size.width_px, y * size.height_px, drawn.width * size.width_px, drawn.height * size.height_px)
    return [pixels(side, digits) for side in sides], round(drawn.rotation, 6)


def polygon(label: str, points: Sequence[Point], size: Size) -> Polygon:
    """Make a polygon of points in pixels; a point that repeats the one before, or at the end the first, is left out.

    Raises:
        Invalid: It has fewer than three points, crosses itself, has no area, or lies outside of the image.
    """
    cut = [(_cut(x, size.width_px, "polygon", size), _cut(y, size.height_px, "polygon", size)) for x, y in points]
    distinct = [point for point, following in zip(cut, [*cut[1:], *cut[:1]], strict=True) if point != following]
    if len(distinct) < 3:
        refuse(f"polygon needs 3 different points or more; it has {len(set(distinct))}.")
    if len(distinct) > _MAX_POINTS:
        refuse(f"polygon has {len(distinct):,} points; simplify it to at most {_MAX_POINTS:,}, or send rle.")
    fractions = tuple((x / size.width_px, y / size.height_px) for x, y in distinct)
    if not _is_plainly_simple(fractions) and repaired(fractions) != fractions:
        refuse("polygon crosses or touches itself, or has no area; draw the outline once around, or send rle.")
    return Polygon(label, fractions)


def _is_plainly_simple(points: Sequence[Point]) -> bool:
    """Tell whether a polygon of few points does not cross itself, where that is quick to see.

    NOTE: False says nothing. Without it, outlines take nine tenths of an import: arrays do not pay off for a few edges.
    """
    num = len(points)
    if num > _FEW_POINTS:
        return False
    edges = [
        (a, b, min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
        for a, b in zip(points, (*points[1:], points[0]), strict=True)
    ]
    for index, (a, b, left, top, right, bottom) in enumerate(edges):
        if not _side(a, b, points[(index + 2) % num]):
            return False
        for c, d, other_left, other_top, other_right, other_bottom in edges[index + 2 : num - (index == 0)]:
            if other_left > right or other_right < left or other_top > bottom or other_bottom < top:
                continue
            if _side(a, b, c) * _side(a, b, d) <= 0 and _side(c, d, a) * _side(c, d, b) <= 0:
                return False
    return True


def _side(a: Point, b: Point, c: Point) -> float:
    """Return on which side of the line from a to b a point lies: above 0, below 0, or 0 on it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])


def corners(drawn: Polygon, size: Size, *, digits: int = 2) -> list[list[float]]:
    """Return the points of a polygon in pixels."""
    return [[pixels(x * size.width_px, digits), pixels(y * size.height_px, digits)] for x, y in drawn.points]


def key_point(label: str, x: float, y: float, size: Size) -> KeyPoint:
    """Make a point.

    Raises:
        Invalid: It lies outside of the image.
    """
    left, top = _cut(x, size.width_px, "point", size), _cut(y, size.height_px, "point", size)
    return KeyPoint(label, left / size.width_px, top / size.height_px)


def pixels(length: float, digits: int = 2) -> float:
    """Round to hundredths of a pixel, the same whichever format a number went through: first its noise is taken off.

    >>> pixels(10.125000001), pixels(10.125), pixels(-1e-9)
    (10.12, 10.12, 0.0)
    """
    return round(round(length, digits + 3), digits) + 0.0


def _cut(at: float, end: int, what: str, size: Size) -> float:
    beyond = max(-at, at - end)
    if beyond > _MAX_BEYOND_PX + _ALMOST:
        refuse(
            f"{what} reaches {beyond:.1f} px beyond the image, which is {size} pixels once it is upright; "
            "check the image, and whether its coordinates are pixels or normalized."
        )
    return min(max(at, 0.0), float(end))
