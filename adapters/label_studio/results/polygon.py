"""How are outlines written: a list of points, closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.label_studio.results.sheet import Sheet, percent, read_number
from models.regions import Point, Polygon, Region


def encode(region: Region, _sheet: Sheet) -> dict[str, Any] | None:
    """Return the `value` without labels, cut at the image's edge; None where no area is left.

    >>> encode(Polygon("a", ((0.5, 0.0), (1.0, 0.5), (0.5, 1.0))), Sheet(200, 100))
    {'points': [[50.0, 0.0], [100.0, 50.0], [50.0, 100.0]], 'closed': True}
    """
    if not isinstance(region, Polygon):
        return None
    points = [[percent(x), percent(y)] for x, y in clip(region.points)]
    return {"points": points, "closed": True} if len(points) >= 3 else None


def decode(value: Mapping[str, Any], _sheet: Sheet, label: str) -> Polygon:
    """Read a `value`; what is outside the image is cut off, a repeated closing point is dropped.

    An outline that crosses itself is kept as it was drawn: a point is inside where the editor fills it.

    Raises:
        ValueError: It is no outline, is not closed, or has no area in the image.
    """
    written = value.get("points")
    points_of_two = isinstance(written, list) and all(isinstance(point, list) and len(point) == 2 for point in written)
    if not isinstance(written, list) or not points_of_two:
        raise ValueError("points is not a list of points")
    if value.get("closed") is False:
        raise ValueError("the outline is not closed")
    pairs = (dict(zip("xy", point, strict=True)) for point in written)
    points = clip([(read_number(pair, "x") / 100, read_number(pair, "y") / 100) for pair in pairs])
    if len(points) < 3:
        raise ValueError("the outline has no area")
    return Polygon(label, tuple(points))


def clip(points: Sequence[Point]) -> list[Point]:
    """Return the part of an outline that is in the image, with no point twice in a row; [] where it has no area.

    Source: I. Sutherland and G. Hodgman, Reentrant polygon clipping (1974).

    >>> clip([(0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (0.5, 0.5)])
    [(0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0)]
    """
    kept = [(float(x), float(y)) for x, y in points]
    for axis, edge, sign in ((0, 0.0, 1), (0, 1.0, -1), (1, 0.0, 1), (1, 1.0, -1)):
        if any(sign * (point[axis] - edge) < 0 for point in kept):
            kept = _clip_at(kept, axis, edge, sign)
    distinct = [point for point, following in zip(kept, [*kept[1:], *kept[:1]], strict=True) if point != following]
    return distinct if _has_area(distinct) else []


def _clip_at(points: list[Point], axis: int, edge: float, sign: int) -> list[Point]:
    kept: list[Point] = []
    for index, point in enumerate(points):
        before = points[index - 1]
        depth, depth_before = sign * (point[axis] - edge), sign * (before[axis] - edge)
        if (depth < 0) is not (depth_before < 0):
            share = depth_before / (depth_before - depth)
            crossing = before[1 - axis] + share * (point[1 - axis] - before[1 - axis])
            kept.append((edge, crossing) if axis == 0 else (crossing, edge))
        if depth >= 0:
            kept.append(point)
    return kept


def _has_area(points: Sequence[Point]) -> bool:
    """Tell whether points are on more than one line; the signed area would not do: that of a bow tie is 0."""
    if len(points) < 3:
        return False
    (x, y), far = points[0], max(points, key=lambda point: abs(point[0] - points[0][0]) + abs(point[1] - points[0][1]))
    across = (abs((far[0] - x) * (point[1] - y) - (far[1] - y) * (point[0] - x)) for point in points)
    return max(across) > 1e-9
