"""How is a thing that was pointed at drawn: as a mask, a polygon, a box or an ellipse?

Only the part of the image around the thing is ever looked at, so that the answer to a click on a large photo costs
what the thing is large, not what the photo is.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from models.clicks import Segment
from models.outlines import outline
from models.regions import Box, Mask, Polygon

# H height, W width, N points

_Inside = npt.NDArray[np.bool_]


def to_mask(segment: Segment, label: str, *, width_px: int, height_px: int) -> Mask | None:
    """Return the mask at the size of the image, smooth where it is enlarged; None where no pixel is inside."""
    found = _enlarged(segment, width_px, height_px)
    if found is None:
        return None
    inside_HW, left_px, top_px = found
    edges_N = _edges(inside_HW, left_px, top_px, width_px)
    runs = np.diff(np.concatenate(([0], edges_N, [width_px * height_px])))
    runs = runs if runs[-1] else runs[:-1]
    return Mask(label, width_px, height_px, tuple(runs.tolist()), segment.score)


def to_polygon(segment: Segment, label: str) -> Polygon | None:
    """Return a simplified polygon around the largest connected part; None around nothing."""
    points = outline(segment.inside_HW)
    if points is None:
        return None
    width, height = segment.right - segment.left, segment.bottom - segment.top
    placed = tuple((segment.left + x * width, segment.top + y * height) for x, y in points)
    return Polygon(label, placed, segment.score)


def to_box(segment: Segment, label: str) -> Box | None:
    """Return the upright box around the thing; None around nothing."""
    bounds = _bounds(segment.inside_HW)
    if bounds is None:
        return None
    left, top, right, bottom = bounds
    height, width = segment.inside_HW.shape
    zoom_x, zoom_y = (segment.right - segment.left) / width, (segment.bottom - segment.top) / height
    return Box.from_bounds(
        label,
        segment.left + left * zoom_x,
        segment.top + top * zoom_y,
        segment.left + right * zoom_x,
        segment.top + bottom * zoom_y,
        score=segment.score,
    )


def to_ellipse(segment: Segment, label: str, *, width_px: int, height_px: int) -> Box | None:
    """Return the box around the ellipse that has the thing's centre, extent and direction; None for nothing.

    The ellipse has the thing's second moments, so a thing that is an ellipse gives itself.
    """
    rows_N, columns_N = np.nonzero(segment.inside_HW)
    if not len(rows_N):
        return None
    height, width = segment.inside_HW.shape
    zoom_x = (segment.right - segment.left) / width * width_px
    zoom_y = (segment.bottom - segment.top) / height * height_px
    x_N, y_N = (columns_N + 0.5) * zoom_x, (rows_N + 0.5) * zoom_y
    # A pixel is a little square, with an extent of its own.
    xx, yy = float(x_N.var()) + zoom_x**2 / 12, float(y_N.var()) + zoom_y**2 / 12
    xy = float(((x_N - x_N.mean()) * (y_N - y_N.mean())).mean())
    # The direction that is nearer to the horizontal counts as the width.
    angle = 0.5 * math.atan2(2 * xy, xx - yy)
    spread = math.hypot((xx - yy) / 2, xy)
    along, across = (xx + yy) / 2 + spread, (xx + yy) / 2 - spread
    if abs(angle) > math.pi / 4:
        angle, along, across = angle - math.copysign(math.pi / 2, angle), across, along
    return Box(
        label,
        segment.left + float(x_N.mean()) / width_px,
        segment.top + float(y_N.mean()) / height_px,
        min(1.0, 4 * math.sqrt(max(0.0, along)) / width_px),
        min(1.0, 4 * math.sqrt(max(0.0, across)) / height_px),
        rotation=math.degrees(angle) % 360,
        aspect=width_px / height_px,
        score=segment.score,
    )


def _bounds(inside_HW: _Inside) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of what is inside."""
    rows, columns = np.flatnonzero(inside_HW.any(1)), np.flatnonzero(inside_HW.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _enlarged(segment: Segment, width_px: int, height_px: int) -> tuple[_Inside, int, int] | None:
    """Return what is inside in pixels of the image, cut out, with the left and top edge of the cut."""
    bounds = _bounds(segment.inside_HW)
    if bounds is None:
        return None
    height, width = segment.inside_HW.shape
    zoom_x = (segment.right - segment.left) * width_px / width
    zoom_y = (segment.bottom - segment.top) * height_px / height
    left, top = segment.left * width_px, segment.top * height_px
    # One pixel more on each side, as far as there is one: between it and the thing lies the smooth edge.
    x0, x1 = _reach(left, zoom_x, max(0, bounds[0] - 1), min(width, bounds[2] + 1), width_px)
    y0, y1 = _reach(top, zoom_y, max(0, bounds[1] - 1), min(height, bounds[3] + 1), height_px)
    if x1 <= x0 or y1 <= y0:
        return None
    # Pixel centres are at half coordinates.
    move = np.array(
        [
            [1 / zoom_x, 0, (x0 + 0.5 - left) / zoom_x - 0.5],
            [0, 1 / zoom_y, (y0 + 0.5 - top) / zoom_y - 0.5],
        ],
        np.float64,
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shades_HW = segment.inside_HW.astype(np.uint8) * 255
    alpha_HW = cv2.warpAffine(shades_HW, move, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside_HW = np.asarray(alpha_HW > 127)
    return (inside_HW, x0, y0) if inside_HW.any() else None


def _reach(origin: float, zoom: float, first: int, last: int, side_px: int) -> tuple[int, int]:
    """Return the pixels of the image that some pixels of the segment lie in."""
    return max(0, math.floor(origin + first * zoom)), min(side_px, math.ceil(origin + last * zoom))


def _edges(inside_HW: _Inside, left_px: int, top_px: int, width_px: int) -> npt.NDArray[np.int64]:
    """Return where, counting row by row through the whole image, inside begins and ends, in turns."""
    height, width = inside_HW.shape
    # A column outside at each end, so that no run goes on in the next row of the cut.
    padded = np.zeros((height, width + 2), np.bool_)
    padded[:, 1:-1] = inside_HW
    at_N = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    rows, columns = np.divmod(at_N, width + 1)
    edges_N = (top_px + rows) * width_px + left_px + columns
    # Where a cut is as wide as the image, a run goes on in the next row after all.
    goes_on = np.flatnonzero(edges_N[1:-1:2] == edges_N[2::2])
    return np.asarray(np.delete(edges_N, np.concatenate((2 * goes_on + 1, 2 * goes_on + 2))), dtype=np.int64)
