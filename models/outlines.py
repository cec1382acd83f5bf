"""Which pixels does a polygon cover, and which polygon goes around pixels? For annotations, metrics and predictions.

A pixel belongs to a polygon where its centre lies in it. Outlines run along the edges of pixels, so a polygon around
pixels covers the same pixels again, save for what simplifying takes away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.regions import Mask, Point, Polygon

_TOLERANCE = 0.012
"""How far a simplified outline may lie from the exact one, as a share of the root of its area."""
_MIN_TOLERANCE_PX = 0.4
"""Below it lies the staircase of the pixels themselves."""
_DECIMALS = 6
"""Of fractions of the image: a hundredth of a pixel in the largest one."""
_REPAIR_SIDE_PX = 512
"""Longer side of the raster on which crossings are resolved."""
_BLOCK = 256

# H height, W width, N points

_Points = npt.NDArray[np.float64]
# Shape (N, 2), x before y.


def outlines(inside_HW: npt.NDArray[np.bool_]) -> list[tuple[Point, ...]]:
    """Return a simplified polygon around each connected part of a mask, largest part first; holes are covered.

    Args:
        inside_HW: True inside.

    Returns:
        Fractions of the array's width and height. Every polygon has three points or more, does not cross or touch
        itself, and is clockwise on screen.
    """
    return [_around(part, left, top, inside_HW.shape) for part, left, top in _parts(inside_HW)]


def outline(inside_HW: npt.NDArray[np.bool_]) -> tuple[Point, ...] | None:
    """Return a simplified polygon around the largest connected part of a mask, see `outlines`; None around nothing."""
    for part, left, top in _parts(inside_HW, most=1):
        return _around(part, left, top, inside_HW.shape)
    return None


def fill(points: Sequence[Point], width_px: int, height_px: int) -> npt.NDArray[np.bool_]:
    """Return which pixels have their centre in a polygon; where it crosses itself, all that it winds around is inside.

    Args:
        points: Fractions of the image; may lie outside of it.
        width_px: Of the image.
        height_px: Likewise.

    Returns:
        Shape (height_px, width_px), true inside.

    >>> fill([(0, 0), (0.5, 0), (0.5, 1), (0, 1)], 4, 2).astype(int).tolist()
    [[1, 1, 0, 0], [1, 1, 0, 0]]
    """
    inside_HW = np.zeros((height_px, width_px), dtype=np.bool_)
    points_N2 = np.asarray(points, dtype=np.float64).reshape(-1, 2) * (width_px, height_px)
    if len(points_N2) < 3 or not np.isfinite(points_N2).all():
        return inside_HW
    low, high = points_N2.min(0), points_N2.max(0)
    left, top = (int(edge) for edge in np.clip(np.floor(low), 0, (width_px, height_px)))
    right, bottom = (int(edge) for edge in np.clip(np.ceil(high), 0, (width_px, height_px)))
    if right > left and bottom > top:
        inside_HW[top:bottom, left:right] = _wound(points_N2 - (left, top), right - left, bottom - top)
    return inside_HW


def covered(region: Mask | Polygon, width_px: int, height_px: int) -> npt.NDArray[np.bool_]:
    """Return which pixels a region covers, for the most part where its mask is of another size.

    Args:
        region: A mask whose runs add up to its size, see `is_whole`, or a polygon.
        width_px: Of the image, or of a reduced copy of it.
        height_px: Likewise.

    Returns:
        Shape (height_px, width_px), true inside.
    """
    if isinstance(region, Polygon):
        return fill(region.points, width_px, height_px)
    inside_HW = region.to_array()
    if inside_HW.shape == (height_px, width_px):
        return inside_HW
    shares_HW = cv2.resize(inside_HW.astype(np.uint8) * 255, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return np.asarray(shares_HW >= 128)


def is_whole(mask: Mask) -> bool:
    """Tell whether the runs of a mask add up to its size."""
    return mask.width_px > 0 and mask.height_px > 0 and sum(mask.runs) == mask.width_px * mask.height_px


def repaired(points: Iterable[Point]) -> tuple[Point, ...] | None:
    """Return a polygon that does not cross itself: the one given where it is sound, else one around its largest part.

    Points outside of the image move to its edge, repeated ones are dropped.

    Args:
        points: Fractions of the image.

    Returns:
        Three points or more; None where no area is left.
    """
    finite = [point for point in points if np.isfinite(point).all()]
    points_N2 = _without_repeats(np.clip(np.asarray(finite, dtype=np.float64).reshape(-1, 2), 0, 1))
    if len(points_N2) < 3:
        return None
    if _is_simple(points_N2) and abs(_area(points_N2)) > 0:
        return _as_tuple(points_N2)
    low, extent = points_N2.min(0), np.ptp(points_N2, axis=0)
    if not extent.all():
        return None
    # NOTE: The raster is as fine along the short side as along the long one: what is repaired may be thin.
    around = outline(fill(_as_tuple((points_N2 - low) / extent), _REPAIR_SIDE_PX, _REPAIR_SIDE_PX))
    if around is None:
        return None
    moved_N2 = _without_repeats(np.round(np.asarray(around) * extent + low, _DECIMALS))
    return _as_tuple(moved_N2) if len(moved_N2) >= 3 and _is_simple(moved_N2) else None


def _parts(
    inside_HW: npt.NDArray[np.bool_], *, most: int | None = None
) -> Iterable[tuple[npt.NDArray[np.bool_], int, int]]:
    """Yield connected parts, cut out, with their left and top edges."""
    if not inside_HW.size:
        return
    num, numbers_HW, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(inside_HW, dtype=np.uint8))
    order = np.argsort(-stats[1:num, cv2.CC_STAT_AREA], kind="stable") + 1
    for number in order[:most]:
        left, top, width, height, _ = (int(value) for value in stats[number])
        yield numbers_HW[top : top + height, left : left + width] == number, left, top


def _around(part_HW: npt.NDArray[np.bool_], left: int, top: int, shape: tuple[int, ...]) -> tuple[Point, ...]:
    # The corners of the pixels: OpenCV traces through the centres of what it is given, and would lose half a pixel.
    corners_HW = np.zeros((part_HW.shape[0] + 1, part_HW.shape[1] + 1), dtype=np.uint8)
    for y in (0, 1):
        for x in (0, 1):
            corners_HW[y : y + part_HW.shape[0], x : x + part_HW.shape[1]] |= part_HW
    contours, _ = cv2.findContours(corners_HW, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contour = max(contours, key=cv2.contourArea)
    tolerance_px = max(_MIN_TOLERANCE_PX, _TOLERANCE * math.sqrt(cv2.contourArea(contour)))
    for tolerance in (tolerance_px, tolerance_px / 2, tolerance_px / 4, 0.0):
        points_N2 = _fractions(cv2.approxPolyDP(contour, tolerance, True), left, top, shape)
        if len(points_N2) >= 3 and _is_simple(points_N2):
            break
    else:
        points_N2 = _fractions(cv2.convexHull(contour), left, top, shape)
    return _as_tuple(points_N2 if _area(points_N2) > 0 else points_N2[::-1])


def _fractions(contour: npt.NDArray[Any], left: int, top: int, shape: tuple[int, ...]) -> _Points:
    fractions_N2 = (contour.reshape(-1, 2) + np.array((left, top))) / (shape[1], shape[0])
    return np.asarray(np.round(fractions_N2, _DECIMALS), dtype=np.float64)


def _as_tuple(points_N2: _Points) -> tuple[Point, ...]:
    return tuple((x, y) for x, y in points_N2.tolist())


def _wound(points_N2: _Points, width_px: int, height_px: int) -> npt.NDArray[np.bool_]:
    """Count for each pixel's centre how often the polygon winds around it; points are in pixels."""
    starts_N2, ends_N2 = points_N2, np.roll(points_N2, -1, axis=0)
    first_N, last_N = (np.clip(np.ceil(y - 0.5), 0, height_px).astype(np.int64) for y in (starts_N2.T[1], ends_N2.T[1]))
    low_N, count_N = np.minimum(first_N, last_N), np.abs(last_N - first_N)
    edges = np.repeat(np.arange(len(points_N2)), count_N)  # one entry for each row of centres that an edge passes
    rows = np.arange(len(edges)) - np.repeat(np.cumsum(count_N) - count_N, count_N) + low_N[edges]
    (x0, y0), (x1, y1) = starts_N2[edges].T, ends_N2[edges].T
    columns = np.clip(np.ceil(x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0) - 0.5), 0, width_px).astype(np.int64)
    turns = np.zeros((height_px, width_px + 1), dtype=np.int16)
    np.add.at(turns, (rows, columns), np.where(last_N > first_N, 1, -1)[edges])
    np.cumsum(turns, axis=1, out=turns)
    return np.asarray(turns[:, :-1] != 0)


def _without_repeats(points_N2: _Points) -> _Points:
    return np.asarray(points_N2[(points_N2 != np.roll(points_N2, -1, axis=0)).any(1)])


def _area(points_N2: _Points) -> float:
    x, y = (points_N2 - points_N2[0]).T if len(points_N2) else (np.zeros(0), np.zeros(0))
    return float(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2


def _is_simple(points_N2: _Points) -> bool:
    """Tell whether no two edges meet, except neighbours at their common point."""
    num = len(points_N2)
    starts, ends = points_N2, np.roll(points_N2, -1, axis=0)
    lows, highs = np.minimum(starts, ends), np.maximum(starts, ends)
    onward = np.roll(ends, -1, axis=0)
    if ((_turn(starts, ends, onward) == 0) & (((ends - starts) * (onward - ends)).sum(1) <= 0)).any():
        return False  # an edge runs back along the one before
    for at in range(0, num, _BLOCK):
        a, b, low, high = (each[at : at + _BLOCK, None] for each in (starts, ends, lows, highs))
        meets = (_turn(a, b, starts) * _turn(a, b, ends) <= 0) & (_turn(starts, ends, a) * _turn(starts, ends, b) <= 0)
        meets &= ((low <= highs) & (lows <= high)).all(2)
        apart = (np.arange(at, at + len(a))[:, None] - np.arange(num)) % num
        if (meets & (apart > 1) & (apart < num - 1)).any():
            return False
    return True


def _turn(a: _Points, b: _Points, c: _Points) -> npt.NDArray[np.float64]:
    """Return on which side of the line from a to b a point lies."""
    first, second = b - a, c - a
    sides: npt.NDArray[np.float64] = np.sign(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])
    return sides
