"""Which part of an image is looked at, how large, and where prompts lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.clicks import Prompts, Segment
from models.regions import Box, Mask, Point

# H height, W width, N points

Inside = npt.NDArray[np.bool_]
Map = npt.NDArray[np.float32]
Bounds = tuple[float, float, float, float]
"""Left, top, right and bottom, as fractions of the image."""


@dataclass(frozen=True, slots=True)
class Window:
    """An upright rectangle of an image, seen at some resolution; it may reach out of the image.

    Attributes:
        left: Fraction of the image, as are the next three.
        top: See above.
        right: See above.
        bottom: See above.
        width_px: Of what is seen.
        height_px: Likewise.
    """

    left: float
    top: float
    right: float
    bottom: float
    width_px: int
    height_px: int

    def cut(self, pixels_HWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return this part of an image of shape (H, W) or (H, W, C); beyond its edge, the edge is repeated."""
        height, width = pixels_HWC.shape[:2]
        rows = _overlap(self.top, self.bottom, height)
        columns = _overlap(self.left, self.right, width)
        part = pixels_HWC[slice(*rows), slice(*columns)]
        source = Window(
            columns[0] / width, rows[0] / height, columns[1] / width, rows[1] / height, part.shape[1], part.shape[0]
        )
        # Averaged first: sampling alone would see only every n-th pixel of a large part.
        density = self.width_px / (self.right - self.left), self.height_px / (self.bottom - self.top)
        wanted = round((source.right - source.left) * density[0]), round((source.bottom - source.top) * density[1])
        source = replace(
            source, width_px=min(part.shape[1], max(1, wanted[0])), height_px=min(part.shape[0], max(1, wanted[1]))
        )
        averaged = cv2.resize(part, (source.width_px, source.height_px), interpolation=cv2.INTER_AREA)
        return np.asarray(_warp(averaged, source, self), dtype=np.uint8)

    def transfer(self, values_HW: Map | Inside, target: Window) -> Map:
        """Show what was computed in this window in another one; beyond this one's edge, the edge is repeated."""
        return np.asarray(_warp(np.asarray(values_HW, dtype=np.float32), self, target), dtype=np.float32)

    def to_px(self, points: Sequence[Point]) -> npt.NDArray[np.float64]:
        """Return points, given as fractions of the image, in pixels of the window: shape (N, 2), x before y."""
        points_N2 = np.array(points, dtype=np.float64).reshape(-1, 2)
        extent = self.right - self.left, self.bottom - self.top
        return np.asarray((points_N2 - (self.left, self.top)) / extent * (self.width_px, self.height_px))

    def fill(self, corners: Sequence[Point]) -> Inside:
        """Return which pixels lie in a polygon."""
        filled_HW = np.zeros((self.height_px, self.width_px), np.uint8)
        # With 4 binary digits, and counted from the centre of a pixel, as OpenCV does.
        corners_N2 = np.clip(np.round((self.to_px(corners) - 0.5) * 16), -(2**24), 2**24).astype(np.int32)
        cv2.fillPoly(filled_HW, [corners_N2], 1, shift=4)
        return filled_HW.astype(bool)

    def dot(self, points: Sequence[Point], *, radius_px: float) -> Inside:
        """Return which pixels lie within discs around points; each point has at least a pixel if it is in view."""
        xs, ys = np.arange(self.width_px) + 0.5, np.arange(self.height_px) + 0.5
        dotted_HW = np.zeros((self.height_px, self.width_px), bool)
        for x, y in self.to_px(points):
            dotted_HW |= (xs - x) ** 2 + (ys[:, None] - y) ** 2 <= max(radius_px, 0.75) ** 2
        return dotted_HW

    def cover(self, strokes_HW: Inside | None) -> Inside:
        """Return which pixels are covered by strokes over the image, see `merge`."""
        if strokes_HW is None:
            return np.zeros((self.height_px, self.width_px), bool)
        return np.asarray((self.cut(strokes_HW.view(np.uint8) * np.uint8(255)) > 127) & self.within())

    def within(self) -> Inside:
        """Return which pixels are in the image."""
        xs = self.left + (np.arange(self.width_px) + 0.5) / self.width_px * (self.right - self.left)
        ys = self.top + (np.arange(self.height_px) + 0.5) / self.height_px * (self.bottom - self.top)
        return np.asarray(((ys > 0) & (ys < 1))[:, None] & ((xs > 0) & (xs < 1)))

    def clip(self) -> Window:
        """Return the part of this window that is in the image, at about the same resolution."""
        left, top, right, bottom = max(0.0, self.left), max(0.0, self.top), min(1.0, self.right), min(1.0, self.bottom)
        return Window(
            left,
            top,
            right,
            bottom,
            max(1, round(self.width_px * (right - left) / (self.right - self.left))),
            max(1, round(self.height_px * (bottom - top) / (self.bottom - self.top))),
        )

    def segment(self, inside_HW: Inside, *, score: float) -> Segment:
        """Name what was found in this window, which must not reach out of the image."""
        return Segment(inside_HW, self.left, self.top, self.right, self.bottom, score)


def around(bounds: Bounds, *, width_px: int, height_px: int, margin: float, side_px: int) -> Window:
    """Return a window around a part of an image; it keeps within the image.

    Args:
        bounds: Of the part.
        width_px: Of the image.
        height_px: Of the image.
        margin: On each side, as a share of the mean of the part's sides.
        side_px: Longer side of the part, in pixels of the window.
    """
    left, right = (min(max(edge, 0.0), 1.0) * width_px for edge in (bounds[0], bounds[2]))
    top, bottom = (min(max(edge, 0.0), 1.0) * height_px for edge in (bounds[1], bounds[3]))
    edge = max(2.0, margin * (right - left + bottom - top) / 2)
    zoom = side_px / max(right - left, bottom - top, 2.0)
    left, right = max(0.0, left - edge), min(float(width_px), right + edge)
    top, bottom = max(0.0, top - edge), min(float(height_px), bottom + edge)
    return Window(
        left / width_px,
        top / height_px,
        right / width_px,
        bottom / height_px,
        max(1, round((right - left) * zoom)),
        max(1, round((bottom - top) * zoom)),
    )


def square(centre: Point, *, width_px: int, height_px: int, edge_px: float, side_px: int) -> Window:
    """Return a square window of `side_px` that shows a square of the image with edges of `edge_px`."""
    half_x, half_y = edge_px / 2 / width_px, edge_px / 2 / height_px
    return Window(centre[0] - half_x, centre[1] - half_y, centre[0] + half_x, centre[1] + half_y, side_px, side_px)


def merge(masks: Sequence[Mask], *, width_px: int, height_px: int) -> Inside | None:
    """Return which pixels of an image, seen at a size, any of the masks covers; None where there are no masks."""
    whole = Window(0.0, 0.0, 1.0, 1.0, width_px, height_px)
    merged_HW = None
    for mask in masks:
        covered_HW = whole.cut(mask.to_array().view(np.uint8) * np.uint8(255)) > 0  # a thin stroke stays
        merged_HW = covered_HW if merged_HW is None else merged_HW | covered_HW
    return None if merged_HW is None or not merged_HW.any() else np.asarray(merged_HW)


def bounds_of(prompts: Prompts, strokes_HW: Inside | None) -> Bounds:
    """Return the bounds of everything that is said to be in the thing; of the whole image where that is nothing."""
    points = [*prompts.inside, *(corner for box in prompts.boxes for corner in box.corners)]
    found = None if strokes_HW is None else bounds_within(strokes_HW)
    if found is not None:
        points += [found[:2], found[2:]]
    if not points:
        return 0.0, 0.0, 1.0, 1.0
    xs, ys = zip(*points, strict=True)
    return float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))


def bounds_within(inside_HW: Inside) -> Bounds | None:
    """Return the bounds of what is true in an array, as fractions of it; None where nothing is."""
    rows, columns = np.flatnonzero(inside_HW.any(1)), np.flatnonzero(inside_HW.any(0))
    if not len(rows):
        return None
    height, width = inside_HW.shape
    return (
        float(columns[0]) / width,
        float(rows[0]) / height,
        float(columns[-1] + 1) / width,
        float(rows[-1] + 1) / height,
    )


def outline(box: Box) -> tuple[Point, ...]:
    """Return the ellipse that a box holds, which may be rotated, as a polygon.

    >>> x, y = outline(Box("", 0.5, 0.5, 0.4, 0.2))[0]
    >>> round(x, 6), round(y, 6)
    (0.7, 0.5)
    """
    first, second, _, fourth = (np.array(corner) for corner in box.corners)
    across, down = (second - first) / 2, (fourth - first) / 2
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return tuple(
        (
            float(box.x + np.cos(angle) * across[0] + np.sin(angle) * down[0]),
            float(box.y + np.cos(angle) * across[1] + np.sin(angle) * down[1]),
        )
        for angle in angles
    )


def paste(segment: Segment, *, width_px: int, height_px: int) -> Inside:
    """Return a segment at the size of an image: shape (height_px, width_px), smooth where it is enlarged."""
    pasted_HW = np.zeros((height_px, width_px), bool)
    rows = _overlap(segment.top, segment.bottom, height_px)
    columns = _overlap(segment.left, segment.right, width_px)
    height, width = segment.inside_HW.shape
    source = Window(segment.left, segment.top, segment.right, segment.bottom, width, height)
    target = Window(
        columns[0] / width_px,
        rows[0] / height_px,
        columns[1] / width_px,
        rows[1] / height_px,
        columns[1] - columns[0],
        rows[1] - rows[0],
    )
    pasted_HW[slice(*rows), slice(*columns)] = source.transfer(segment.inside_HW, target) >= 0.5
    return pasted_HW


def _overlap(low: float, high: float, size: int) -> tuple[int, int]:
    """Return the first pixel, and the one after the last, that a stretch of an image touches; at least one pixel."""
    start = min(max(0, int(low * size)), size - 1)
    return start, min(max(start + 1, int(np.ceil(high * size))), size)


def _warp(values: npt.NDArray[Any], source: Window, target: Window) -> npt.NDArray[Any]:
    extent_x, extent_y = source.right - source.left, source.bottom - source.top
    scale_x = (target.right - target.left) / target.width_px / extent_x * source.width_px
    scale_y = (target.bottom - target.top) / target.height_px / extent_y * source.height_px
    shift_x = (target.left - source.left) / extent_x * source.width_px
    shift_y = (target.top - source.top) / extent_y * source.height_px
    # From target to source. The centre of a pixel has half coordinates, but whole ones in OpenCV.
    matrix = np.array(
        [[scale_x, 0, shift_x + scale_x / 2 - 0.5], [0, scale_y, shift_y + scale_y / 2 - 0.5]], dtype=np.float64
    )
    return cv2.warpAffine(
        values,
        matrix,
        (target.width_px, target.height_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
