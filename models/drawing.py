"""Regions → pictures on which people, and models that look at pictures, see what was said and what was found.

What was said has solid lines and filled tags; what was found has dashed lines and dark tags, which tell the score too.
All of it is drawn after the image has its final size, so lines and letters are as thick as they should be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.images import read, resize, to_jpeg
from models.lettering import spell
from models.outlines import covered, is_whole
from models.regions import Box, Choice, KeyPoint, Mask, Number, Polygon, Region
from models.tags import Colour, Rectangle, Tag, add_tags, contrast

MAX_SIDE_PX = 2048
"""Of a picture, where nobody wants a smaller one."""
_MIN_SIDE_PX = 512
"""An image whose longer side is shorter is enlarged to at least this: lines and letters would cover it otherwise."""
_SIDE_PER_LINE = 400
"""The longer side of a picture, by the thickness of its lines."""
_OPACITY_SAID, _OPACITY_FOUND = 0.35, 0.2
"""Of what is inside of an outline."""
_DASH, _GAP = 5.0, 4.0
"""Lengths in a dashed line, by its thickness."""
_BLACK_GAPS_FROM = 60
"""How bright a colour is whose dashes have black between them; darker ones have white."""
_RADIUS = 2.0
"""Of a point, by the thickness of lines."""
_SUBPIXEL_BITS = 4
_FAR_PX = 100_000.0
"""What lies further outside is drawn as if it lay there: OpenCV counts in 32 bits."""
_GREY = "#808080"

# H height, W width, N points

_Pixels = npt.NDArray[np.uint8]
_Points = npt.NDArray[np.float64]
# Shape (N, 2), x before y, in pixels of the picture; the centre of the first one is (0, 0).


@dataclass(frozen=True, slots=True)
class Layer:
    """Regions that are drawn alike.

    Attributes:
        regions: The most important first; spans of texts are left out.
        colours: "#rrggbb" by label, in the order of the labels. A label that cannot be written goes by its place there.
        is_found: Whether a model found them.
    """

    regions: Sequence[Region]
    colours: Mapping[str, str]
    is_found: bool


@dataclass(frozen=True, slots=True)
class _Mark:
    """A region that is drawn.

    Attributes:
        name: Of its label, in letters that there are.
        outlines: Of what it covers, those inside of others around holes; of a point the point itself; () where it is
            about the whole image.
    """

    region: Region
    name: str
    colour: Colour
    is_found: bool
    outlines: Sequence[_Points]


def picture(source: Path, layers: Iterable[Layer], *, max_side_px: int | None = None) -> bytes:
    """Return a JPEG of an image, upright, with regions drawn on it.

    Args:
        source: The image's file.
        layers: What is drawn; the first is the lowest.
        max_side_px: How long it may be on any side, if that is less than `MAX_SIDE_PX`. A small image is enlarged by a
            whole factor.

    Raises:
        BadImage: See `models.images.read`.
    """
    limit_px = min(max_side_px or MAX_SIDE_PX, MAX_SIDE_PX)
    image = read(source, min_side_px=limit_px)
    longer_px = max(image.width_px, image.height_px)
    scale = limit_px / longer_px
    if scale > 1:
        scale = min(math.floor(scale), math.ceil(_MIN_SIDE_PX / longer_px))
    width_px, height_px = (max(1, round(side_px * scale)) for side_px in (image.width_px, image.height_px))
    return to_jpeg(draw(resize(image.pixels, width_px=width_px, height_px=height_px), layers))


def draw(pixels_HW3: _Pixels, layers: Iterable[Layer]) -> _Pixels:
    """Return a copy of an RGB array of shape (H, W, 3) with regions drawn on it.

    Where there is no room for all names, those of the most important regions are there, and one of each label.
    """
    drawn_HW3 = np.array(pixels_HW3, order="C")
    height_px, width_px = drawn_HW3.shape[:2]
    line_px = max(1, round(max(height_px, width_px) / _SIDE_PER_LINE))
    marks, tags = [], []
    for layer in layers:
        shown = [mark for each in layer.regions if (mark := _mark(each, layer, width_px, height_px)) is not None]
        tags += [_tag(mark, line_px) for mark in shown]
        marks += shown[::-1]  # the most important on top
    areas = [mark for mark in marks if not isinstance(mark.region, KeyPoint)]
    points = [mark for mark in marks if isinstance(mark.region, KeyPoint)]
    _fill(drawn_HW3, [mark for mark in areas if not mark.is_found], _OPACITY_SAID)
    _fill(drawn_HW3, [mark for mark in areas if mark.is_found], _OPACITY_FOUND)
    for mark in areas:
        _trace(drawn_HW3, mark, line_px)
    for mark in points:
        _dot(drawn_HW3, mark, line_px)
    add_tags(drawn_HW3, tags, avoided=[_reach(mark.outlines, _radius_px(line_px)) for mark in points])
    return drawn_HW3


def _mark(region: Region, layer: Layer, width_px: int, height_px: int) -> _Mark | None:
    """Return how a region is drawn; None where there is nothing to draw."""
    outlines = _outlines(region, width_px, height_px)
    if not outlines and not isinstance(region, Choice | Number):
        return None
    colour = _read_colour(layer.colours.get(region.label, _GREY))
    return _Mark(region, _name(region, layer), colour, layer.is_found, outlines)


def _name(region: Region, layer: Layer) -> str:
    if isinstance(region, Number):
        return f"{region.value:g}"
    places = {label: f"#{place}" for place, label in enumerate(layer.colours)}
    return spell(region.label) or places.get(region.label, "?")


def _read_colour(written: str) -> Colour:
    """Return "#rrggbb" as numbers."""
    red, green, blue = bytes.fromhex(written.removeprefix("#"))
    return red, green, blue


def _outlines(region: Region, width_px: int, height_px: int) -> list[_Points]:
    match region:
        case Mask():
            if not is_whole(region):
                return []
            inside_HW = covered(region, width_px, height_px).astype(np.uint8)
            contours, _ = cv2.findContours(inside_HW, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)  # around holes, too
            return [contour.reshape(-1, 2).astype(np.float64) for contour in contours]
        case Box():
            points = _corners(region)
        case Polygon():
            points = np.array(region.points)
        case KeyPoint():
            points = np.array([(region.x, region.y)])
        case Choice() | Number() if region.part is not None:
            points = _corners(region.part)
        case _:
            return []
    return [np.clip(points * (width_px, height_px) - 0.5, -_FAR_PX, _FAR_PX)]


def _corners(box: Box) -> _Points:
    """Return the corners of a box, of an upright one within the image."""
    corners_N2 = np.array(box.corners)
    return corners_N2 if box.rotation else corners_N2.clip(0, 1)


def _fill(pixels_HW3: _Pixels, marks: Iterable[_Mark], opacity: float) -> None:
    """Lay colours over what is covered: where that is more than one, the last one's only."""
    covering = [mark for mark in marks if isinstance(mark.region, Polygon | Mask)]
    if not covering:
        return
    over_HW3 = pixels_HW3.copy()
    for mark in covering:
        cv2.fillPoly(over_HW3, [_fixed(each) for each in mark.outlines], mark.colour, shift=_SUBPIXEL_BITS)
    cv2.addWeighted(over_HW3, opacity, pixels_HW3, 1 - opacity, 0, dst=pixels_HW3)


def _trace(pixels_HW3: _Pixels, mark: _Mark, line_px: int) -> None:
    """Draw a line around what is covered, in two colours, so that it is seen wherever it runs."""
    height_px, width_px = pixels_HW3.shape[:2]
    inset, corner = (line_px - 1) / 2, np.array((width_px - 1, height_px - 1))
    for points_N2 in mark.outlines:
        is_inside = (points_N2 >= -0.5) & (points_N2 <= corner + 0.5)
        seen_N2 = np.where(is_inside, points_N2.clip(inset, corner - inset), points_N2)  # all of a line at the edge
        closed_N2 = np.concatenate((seen_N2, seen_N2[:1]))
        if mark.is_found:
            _draw_lines(pixels_HW3, [closed_N2], contrast(mark.colour, black_from=_BLACK_GAPS_FROM), line_px)
            _draw_lines(pixels_HW3, _dashes(closed_N2, line_px), mark.colour, line_px)
        else:
            _draw_lines(pixels_HW3, [closed_N2], contrast(mark.colour), line_px + 2 * _seam_px(line_px))
            _draw_lines(pixels_HW3, [closed_N2], mark.colour, line_px)


def _draw_lines(pixels_HW3: _Pixels, lines: Sequence[_Points], colour: Colour, thickness: int) -> None:
    fixed = [_fixed(line_N2) for line_N2 in lines]
    cv2.polylines(pixels_HW3, fixed, False, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _dashes(line_N2: _Points, line_px: int) -> list[_Points]:
    """Return those parts of a line that are drawn where it is dashed."""
    passed_N = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(line_N2, axis=0).T))))
    num = max(1, round(passed_N[-1] / ((_DASH + _GAP) * line_px)))
    step = passed_N[-1] / num
    dashes = []
    for start in np.arange(num) * step:
        end = start + step * _DASH / (_DASH + _GAP)
        at_N = np.concatenate(([start], passed_N[(passed_N > start) & (passed_N < end)], [end]))
        dashes.append(np.column_stack([np.interp(at_N, passed_N, along_N) for along_N in line_N2.T]))
    return dashes


def _dot(pixels_HW3: _Pixels, mark: _Mark, line_px: int) -> None:
    """Draw a point: a disc where it was said, a ring where it was found."""
    [centre] = _fixed(mark.outlines[0]).tolist()
    radius = int(_fixed(np.array(_radius_px(line_px))))
    seam_px, thickness = line_px + 2 * _seam_px(line_px), line_px if mark.is_found else cv2.FILLED
    cv2.circle(pixels_HW3, centre, radius, contrast(mark.colour), seam_px, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.circle(pixels_HW3, centre, radius, mark.colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _seam_px(line_px: int) -> int:
    return max(1, line_px // 3)


def _radius_px(line_px: int) -> float:
    return _RADIUS * line_px + 1


def _tag(mark: _Mark, line_px: int) -> Tag:
    score = mark.region.score
    text = f"{mark.name} {score:.2f}" if mark.is_found and score is not None else mark.name
    return Tag(mark.region.label, text, mark.colour, mark.is_found, _around(mark, line_px))


def _around(mark: _Mark, line_px: int) -> Rectangle | None:
    """Return beside what a tag goes: a box, a point, or the highest point of what has another shape."""
    if not mark.outlines:
        return None
    if isinstance(mark.region, KeyPoint):
        return _reach(mark.outlines, _radius_px(line_px))
    if isinstance(mark.region, Polygon | Mask):
        largest_N2 = max(mark.outlines, key=lambda points_N2: float(np.ptp(points_N2, axis=0).sum()))
        return _reach([largest_N2[largest_N2[:, 1].argmin()][None]], line_px)
    return _reach(mark.outlines, line_px / 2)


def _reach(outlines: Sequence[_Points], margin_px: float) -> Rectangle:
    """Return what encloses points, with a margin."""
    points_N2 = np.concatenate(outlines)
    (left, top), (right, bottom) = points_N2.min(0) - margin_px, points_N2.max(0) + margin_px
    return math.floor(left), math.floor(top), math.ceil(right) + 1, math.ceil(bottom) + 1


def _fixed(points_N2: _Points) -> npt.NDArray[np.int32]:
    """Return points as OpenCV takes them, in parts of a pixel."""
    return np.asarray(np.rint(points_N2 * 2**_SUBPIXEL_BITS), dtype=np.int32)
