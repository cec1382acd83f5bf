"""How large is the thing under a click? Regions that grow from it along colours, at several scales, are compared.

From the clicked points on, every pixel has a geodesic distance: the least change of colour on a path to it. Pixels
nearer than some distance form a region, and the best of all these nested regions is the one whose outline follows
edges. One sort finds the scores of all of them. Regions that large windows find are compared with those of small ones.

Source: Criminisi, Sharp, Blake, "GeoS: Geodesic Image Segmentation", 2008 (distances); Arbeláez and others, "Contour
Detection and Hierarchical Image Segmentation", 2011 (the strength of an outline).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from models.clicks import Prompts
from models.interactive import window
from models.interactive.window import Bounds, Inside, Window

# S scales, H height, W width

Distances = npt.NDArray[np.float64]

_SIDE_PX = 64
"""Of each window."""
_SMALLEST_PX = 24.0
"""Windows onto fewer pixels of the image show nothing more."""
_MAX_SCALES = 6
_STEP_COST = 0.3
"""Of a step to the next pixel, in units of CIE Lab: among regions of one colour, compact ones come first."""
_SMALLEST_AREA = 0.015
_LARGEST_AREA = 0.45
"""Share of a window that a region may have: what is smaller or larger is seen better in another window."""
_HAIR = np.ones((5, 5), np.uint8)
"""Points this near to an outline are not wrong."""
_MISSED = 0.93
"""What a region counts less for each point that it gets wrong."""
_NEARER = 0.85
"""Share of its distance at which a later point starts."""
_STEADINESS = 0.2
"""How much it counts against a region that later points would change the size of the thing."""
_ROUNDNESS = 0.4
"""How much a ragged outline counts against a region."""


@dataclass(frozen=True, slots=True)
class Grown:
    """A region that grew from clicks.

    Attributes:
        view: Where it was seen.
        inside_HW: In that window.
        strength: How well its outline follows edges, in [0, 1].
    """

    view: Window
    inside_HW: Inside
    strength: float

    @property
    def area(self) -> float:
        """Of the region, as a share of the image."""
        extent = (self.view.right - self.view.left) * (self.view.bottom - self.view.top)
        return float(self.inside_HW.mean()) * extent

    @property
    def bounds(self) -> Bounds:
        """Of the region; where that is empty, of the middle of the window."""
        left, top, right, bottom = window.bounds_within(self.inside_HW) or (0.45, 0.45, 0.55, 0.55)
        width, height = self.view.right - self.view.left, self.view.bottom - self.view.top
        return (
            self.view.left + left * width,
            self.view.top + top * height,
            self.view.left + right * width,
            self.view.top + bottom * height,
        )


def grow(pixels_HW3: npt.NDArray[np.uint8], prompts: Prompts, strokes_HW: Inside | None) -> Grown:
    """Return the region around points or strokes whose outline follows edges best.

    The first point says what is meant. Later ones may lie next to an outline that was nearly right, and what grows
    from there runs out over the background: so they only bring nearer what the first one reaches late, and what grows
    from the first one alone counts too, less for each of the others that it gets wrong. And they mend the answer to
    the first one: regions of another size than that count less.

    Args:
        pixels_HW3: The image.
        prompts: Its points; boxes and masks are not looked at.
        strokes_HW: See `window.merge`.
    """
    height_px, width_px = pixels_HW3.shape[:2]
    first, later = prompts.inside[:1], prompts.inside[1:]
    views = _views(window.bounds_of(Prompts(inside=first), strokes_HW), width_px=width_px, height_px=height_px)
    num_alone = len(views)
    if later:
        everything = window.bounds_of(Prompts(inside=prompts.inside), strokes_HW)
        views = [*views, *_views(everything, width_px=width_px, height_px=height_px)]
    lab_SHW3 = np.stack([to_lab(view.cut(pixels_HW3)) for view in views])
    within_SHW = np.stack([view.within() for view in views])
    seeds = [view.dot(first, radius_px=0.0) | view.cover(strokes_HW) for view in views]
    ours_SHW = geodesic_distances(lab_SHW3, _starts(seeds))
    if later:
        is_later_SHW = np.stack([view.dot(later, radius_px=0.0) for view in views[num_alone:]])
        nearer_SHW = np.where(is_later_SHW, _NEARER * ours_SHW[num_alone:], ours_SHW[num_alone:])
        ours_SHW[num_alone:] = geodesic_distances(lab_SHW3[num_alone:], nearer_SHW)
    theirs_SHW = None
    if prompts.outside:
        others = [view.dot(prompts.outside, radius_px=0.0) for view in views]
        theirs_SHW = geodesic_distances(lab_SHW3, _starts(others))
    # A point that is not in the thing bounds what grows; but where it lies on the outline, it need not.
    limits = [within_SHW] if theirs_SHW is None else [within_SHW, within_SHW & (ours_SHW < theirs_SHW)]
    candidates = [
        [_best_region(*seen) for seen in zip(views, lab_SHW3, ours_SHW, may_SHW, strict=True)] for may_SHW in limits
    ]
    alone = [grown for found in candidates for grown in found[:num_alone]]
    first_answer = _best(alone, replace(prompts, inside=first))
    return _best([grown for found in candidates for grown in found], prompts, mended=first_answer)


def _best(candidates: Sequence[Grown], prompts: Prompts, mended: Grown | None = None) -> Grown:
    """Return the best region; if one is to be mended, others count less the more their areas differ from its area."""

    def worth(grown: Grown) -> float:
        likeness = 1.0
        if mended is not None and mended.area:
            likeness = min(grown.area, mended.area) / max(grown.area, mended.area)
        return float(grown.strength * _MISSED ** _num_missed(grown, prompts) * likeness**_STEADINESS)

    return max(candidates, key=worth)


def _starts(seeds: Sequence[Inside]) -> Distances:
    return np.where(np.stack(seeds), 0.0, 1e9)


def _num_missed(grown: Grown, prompts: Prompts) -> int:
    """Count the points that a region gets wrong, and not only by a hair."""
    small = grown.inside_HW.astype(np.uint8)
    wrong_HW = np.stack((cv2.dilate(small, _HAIR) == 0, cv2.erode(small, _HAIR) == 1))
    num = 0
    for points, is_wrong_HW in zip((prompts.inside, prompts.outside), wrong_HW, strict=True):
        columns_rows = np.clip(np.floor(grown.view.to_px(points)), 0, _SIDE_PX - 1).astype(int)
        num += int(is_wrong_HW[columns_rows[:, 1], columns_rows[:, 0]].sum())
    return num


def to_lab(pixels_HW3: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return CIE Lab, less its noise, in which distances are about those people see; float32, L in [0, 100]."""
    lab_HW3 = cv2.cvtColor(pixels_HW3.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.GaussianBlur(lab_HW3, (3, 3), 0.6), dtype=np.float32)


def geodesic_distances(lab_SHW3: npt.NDArray[np.float32], starts_SHW: Distances) -> Distances:
    """Return for each pixel the least change of colour on a way to it, added to where the way starts: shape (S, H, W).

    Ways go along rows and columns. Two sweeps down and up find all that do not wind more often than that.
    """
    across, down = _differences(lab_SHW3)
    across, down = across + _STEP_COST, down + _STEP_COST
    along_SHW = np.concatenate((np.zeros_like(across[:, :, :1]), np.cumsum(across, 2)), 2)
    distances_SHW = starts_SHW.copy()

    def relax(row: int) -> None:
        # Within a row, the distance from x' to x is along[x] - along[x'].
        there, along = distances_SHW[:, row], along_SHW[:, row]
        from_left = np.minimum.accumulate(there - along, 1) + along
        from_right = np.minimum.accumulate((there + along)[:, ::-1], 1)[:, ::-1] - along
        distances_SHW[:, row] = np.minimum(from_left, from_right)

    height = distances_SHW.shape[1]
    for _ in range(2):
        relax(0)
        for row in range(1, height):
            distances_SHW[:, row] = np.minimum(distances_SHW[:, row], distances_SHW[:, row - 1] + down[:, row - 1])
            relax(row)
        for row in range(height - 2, -1, -1):
            distances_SHW[:, row] = np.minimum(distances_SHW[:, row], distances_SHW[:, row + 1] + down[:, row])
            relax(row)
    return distances_SHW


def outline_strength(lab_HW3: npt.NDArray[np.float32], inside_HW: Inside) -> float:
    """Return how well the outline of a region follows edges, in [0, 1]; 0 where it has none."""
    across, down = _differences(lab_HW3)
    usual = (float(across.sum()) + float(down.sum())) / max(1, across.size + down.size) + _STEP_COST
    changes = np.concatenate((across[inside_HW[:, 1:] != inside_HW[:, :-1]], down[inside_HW[1:] != inside_HW[:-1]]))
    return float((changes / (changes + usual)).mean()) if len(changes) else 0.0


def _differences(lab: npt.NDArray[np.float32]) -> tuple[Distances, Distances]:
    """Return how much colour changes to the right neighbour and to the lower one; the last three axes are H, W, 3."""
    across = np.sqrt(((lab[..., :, 1:, :] - lab[..., :, :-1, :]) ** 2).sum(-1, dtype=np.float64))
    down = np.sqrt(((lab[..., 1:, :, :] - lab[..., :-1, :, :]) ** 2).sum(-1, dtype=np.float64))
    return across, down


def _views(bounds: Bounds, *, width_px: int, height_px: int) -> list[Window]:
    left, top, right, bottom = bounds
    extent_px = max((right - left) * width_px, (bottom - top) * height_px)
    edges_px = [max(width_px, height_px) * 0.5**scale for scale in range(_MAX_SCALES)]
    chosen = [edge for edge in edges_px if edge >= max(_SMALLEST_PX, 1.5 * extent_px)] or edges_px[:1]
    centre = (left + right) / 2, (top + bottom) / 2
    return [
        window.square(centre, width_px=width_px, height_px=height_px, edge_px=edge, side_px=_SIDE_PX) for edge in chosen
    ]


def _best_region(view: Window, lab_HW3: npt.NDArray[np.float32], distances_HW: Distances, may_HW: Inside) -> Grown:
    num = distances_HW.size
    order = np.argsort(np.where(may_HW, distances_HW, np.inf), axis=None, kind="stable")
    ranks = np.empty(num, np.int64)
    ranks[order] = np.arange(num)
    ranks_HW = ranks.reshape(distances_HW.shape)
    across, down = _differences(lab_HW3)
    within_HW = view.within()
    pairs_across, pairs_down = within_HW[:, 1:] & within_HW[:, :-1], within_HW[1:] & within_HW[:-1]
    changes = np.concatenate((across[pairs_across], down[pairs_down]))
    if not len(changes):
        return Grown(view, within_HW, 0.0)
    usual = float(changes.mean()) + _STEP_COST
    firsts = np.concatenate((ranks_HW[:, :-1][pairs_across], ranks_HW[:-1][pairs_down]))
    seconds = np.concatenate((ranks_HW[:, 1:][pairs_across], ranks_HW[1:][pairs_down]))
    # Two neighbours are on both sides of the outline of every region that holds the one and not yet the other.
    from_, until = np.minimum(firsts, seconds), np.maximum(firsts, seconds)
    lengths = np.cumsum(np.bincount(from_, minlength=num) - np.bincount(until, minlength=num))
    weights = changes / (changes + usual)  # one very strong edge does not make up for a gap
    sums = np.cumsum(np.bincount(from_, weights, num) - np.bincount(until, weights, num))
    is_rim_HW = np.ones_like(within_HW)
    is_rim_HW[1:-1, 1:-1] = False
    lengths_with_rim = lengths + np.cumsum((is_rim_HW & within_HW).ravel()[order])
    areas = np.arange(1, num + 1)
    roundness = np.minimum(1.0, 4 * np.pi * areas / np.maximum(0.8 * lengths, 1.0) ** 2)
    strengths = sums / np.maximum(lengths_with_rim, 1) * roundness**_ROUNDNESS
    strengths[: int(_SMALLEST_AREA * num)] = 0
    strengths[max(1, min(int(_LARGEST_AREA * num), int(may_HW.sum()) - 1)) :] = 0
    best = int(strengths.argmax())
    return Grown(view, (ranks_HW <= best) & may_HW, float(strengths[best]))
