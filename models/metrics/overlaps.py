"""How much do boxes overlap, upright or rotated? Intersection over union, exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.regions import Box, Point

# N boxes, M other boxes
Overlaps = npt.NDArray[np.float64]


def box_overlaps(boxes: Sequence[Box], others: Sequence[Box]) -> Overlaps:
    """Return intersection over union of each box with each other box, shape (N, M), in [0, 1].

    Boxes are compared in fractions of the image: its aspect scales all areas alike, and their ratio stays.

    >>> left, right = Box("a", 0.4, 0.5, 0.2, 0.2), Box("a", 0.5, 0.5, 0.2, 0.2)
    >>> round(float(box_overlaps([left], [right])[0, 0]), 6)
    0.333333
    """
    bounds_N4, bounds_M4 = _bounds(boxes), _bounds(others)
    low_NM2 = np.maximum(bounds_N4[:, None, :2], bounds_M4[None, :, :2])
    high_NM2 = np.minimum(bounds_N4[:, None, 2:], bounds_M4[None, :, 2:])
    shared_NM = np.clip(high_NM2 - low_NM2, 0, None).prod(2)
    is_turned_N, is_turned_M = _is_turned(boxes), _is_turned(others)
    for n, m in np.argwhere((shared_NM > 0) & (is_turned_N[:, None] | is_turned_M[None, :])):
        shared_NM[n, m] = _area(_intersect(boxes[n].corners, others[m].corners))
    areas_N, areas_M = ([box.width * box.height for box in group] for group in (boxes, others))
    together_NM = np.add.outer(np.array(areas_N), np.array(areas_M)) - shared_NM
    overlaps_NM: Overlaps = np.divide(shared_NM, together_NM, out=np.zeros_like(shared_NM), where=together_NM > 0)
    return np.clip(overlaps_NM, 0.0, 1.0)


def _bounds(boxes: Sequence[Box]) -> npt.NDArray[np.float64]:
    return np.array([box.bounds for box in boxes], dtype=np.float64).reshape(-1, 4)


def _is_turned(boxes: Sequence[Box]) -> npt.NDArray[np.bool_]:
    return np.array([box.rotation % 180 != 0 for box in boxes], dtype=np.bool_)


def _intersect(one: Sequence[Point], other: Sequence[Point]) -> list[Point]:
    """Cut a convex polygon with the sides of another; both run clockwise on screen.

    Source: Sutherland, Hodgman, "Reentrant Polygon Clipping", 1974.
    """
    kept = list(one)
    for (x0, y0), (x1, y1) in zip(other, (*other[1:], other[0]), strict=True):
        before, kept = kept, []
        # Greater than zero to the right of the side, which is inside on a screen, where y runs down.
        depths = [(x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) for x, y in before]
        for i, ((x, y), depth) in enumerate(zip(before, depths, strict=True)):
            (previous_x, previous_y), previous = before[i - 1], depths[i - 1]
            if (depth >= 0) != (previous >= 0):
                share = previous / (previous - depth)
                kept.append((previous_x + share * (x - previous_x), previous_y + share * (y - previous_y)))
            if depth >= 0:
                kept.append((x, y))
    return kept


def _area(points: Sequence[Point]) -> float:
    return abs(sum(points[i - 1][0] * y - x * points[i - 1][1] for i, (x, y) in enumerate(points))) / 2
