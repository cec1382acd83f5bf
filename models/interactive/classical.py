"""How are clicks, boxes and strokes answered without any weights? By the colours and edges around them.

A first guess of the outline (the ellipse in a box, or what grows from clicks) is refined by a graph cut.

Source: Rother, Kolmogorov, Blake, "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts", 2004.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from models.clicks import Encoded, Prompts, Segment
from models.images import Image
from models.interactive import window
from models.interactive.growing import geodesic_distances, grow, outline_strength, to_lab
from models.interactive.window import Inside, Window
from models.regions import Box

# H height, W width

_KEPT_PX = 2048
"""Longer side of the copy of the image that is kept."""
_SIDE_PX = 96
"""Longer side of the thing, in what the graph cut sees."""
_NUM_ROUNDS = 2
"""Of the graph cut; more change little, and take as long again."""
_CORES = (0.6, 0.25)
"""Of the ellipse in a box, what is sure to be in the thing: most of it for round things, little for slender ones."""
_SLACK = 0.03
"""How far a thing may reach out of its box, in its sides."""
_DOT = 0.012
"""Radius of a click, in sides of what is seen: small, as a click may lie next to the outline."""
_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


@dataclass(frozen=True, slots=True)
class Reduced:
    """An image, small enough to keep many.

    Attributes:
        pixels: uint8, shape (H, W, 3), RGB.
    """

    pixels: npt.NDArray[np.uint8]

    @property
    def num_bytes(self) -> int:
        """How much memory it holds."""
        return int(self.pixels.nbytes)


class ClassicalSegmenter:
    """See `models.clicks.ClickSegmenter`; the same prompts always give the same answer.

    Scores say how well an outline follows edges: they rank answers, and are mostly below the IoU that is reached.
    """

    key: Hashable = "classical-1"
    num_bytes = 0

    def encode(self, image: Image) -> Reduced:
        """Keep a reduced copy."""
        return reduce(image)

    def segment(self, encoded: Encoded, prompts: Prompts) -> Segment | None:
        """Return the thing pointed at; None where nothing is left of it."""
        assert isinstance(encoded, Reduced)
        height_px, width_px = encoded.pixels.shape[:2]
        strokes_HW = window.merge(prompts.masks, width_px=width_px, height_px=height_px)
        if prompts.boxes:
            bounds, margin = window.bounds_of(prompts, strokes_HW), 0.25
        elif prompts.inside or strokes_HW is not None:
            grown = grow(encoded.pixels, prompts, strokes_HW)
            bounds, margin = grown.bounds, 0.35
        else:
            return None
        view = window.around(bounds, width_px=width_px, height_px=height_px, margin=margin, side_px=_SIDE_PX)
        scene = _Scene(view, view.cut(encoded.pixels), prompts, view.cover(strokes_HW))
        if prompts.boxes:
            guesses = [_from_boxes(view, prompts.boxes, core) for core in _CORES]
        else:
            guesses = [_from_region(grown.view.transfer(grown.inside_HW, view) >= 0.5)]
        answers = [_tidy(_refine(scene, guess), _known(scene, guess)) for guess in guesses]
        lab_HW3 = to_lab(scene.pixels_HW3)
        scores = [
            outline_strength(lab_HW3, found_HW) * (1.0 if prompts.outside else _reach(found_HW, guess.likely_HW))
            for found_HW, guess in zip(answers, guesses, strict=True)
        ]
        best = int(np.argmax(scores))
        return view.segment(answers[best], score=round(scores[best], 4)) if answers[best].any() else None


def reduce(image: Image) -> Reduced:
    """Return a copy of an image whose longer side is no more than what is kept."""
    height, width = image.pixels.shape[:2]
    zoom = min(1.0, _KEPT_PX / max(height, width))
    if zoom == 1.0:
        return Reduced(image.pixels)
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    return Reduced(np.asarray(cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8))


class _Scene:
    """What is seen of the image, and what of it is known from clicks and strokes."""

    def __init__(self, view: Window, pixels_HW3: npt.NDArray[np.uint8], prompts: Prompts, strokes_HW: Inside) -> None:
        dot_px = _DOT * max(view.width_px, view.height_px)
        self.pixels_HW3 = pixels_HW3
        self.outside_HW = view.dot(prompts.outside, radius_px=dot_px)
        self.inside_HW = view.dot(prompts.inside, radius_px=dot_px) | strokes_HW


@dataclass(frozen=True, slots=True)
class _Guess:
    """What is believed before the graph cut.

    Attributes:
        likely_HW: Where the thing may be expected.
        sure_HW: Where it is.
        never_HW: Where it is not.
    """

    likely_HW: Inside
    sure_HW: Inside
    never_HW: Inside


def _from_boxes(view: Window, boxes: Sequence[Box], core: float) -> _Guess:
    """Expect an ellipse in each box; a share of it is sure to be in the thing."""
    likely_HW, sure_HW, may_HW = (np.zeros((view.height_px, view.width_px), bool) for _ in range(3))
    for box in boxes:
        likely_HW |= view.fill(window.outline(_scaled(box, 1.1)))
        sure_HW |= view.fill(window.outline(_scaled(box, core)))
        may_HW |= view.fill(_scaled(box, 1 + _SLACK).corners)
    return _Guess(likely_HW & may_HW, sure_HW, ~may_HW)


def _scaled(box: Box, scale: float) -> Box:
    return replace(box, width=box.width * scale, height=box.height * scale)


def _from_region(region_HW: Inside) -> _Guess:
    """Trust the inner part of a region, and that its outline is not far off."""
    depths_HW, away_HW = _depths(region_HW, pad=1), _depths(~region_HW, pad=0)
    radius_px = float(np.sqrt(region_HW.sum() / np.pi))
    never_HW = away_HW > min(0.4 * radius_px, 0.9 * float(away_HW.max()))
    return _Guess(region_HW, depths_HW > 0.4 * depths_HW.max(), never_HW)


def _depths(inside_HW: Inside, *, pad: int) -> npt.NDArray[np.float32]:
    """Return how far each pixel inside is from the nearest one outside; with `pad`, the rim of the window is one."""
    if inside_HW.all() and not pad:
        return np.full(inside_HW.shape, max(inside_HW.shape), np.float32)
    padded_HW = np.pad(inside_HW.astype(np.uint8), pad)
    depths_HW = cv2.distanceTransform(padded_HW, cv2.DIST_L2, 5)
    height, width = inside_HW.shape
    return np.asarray(depths_HW[pad : pad + height, pad : pad + width], dtype=np.float32)


def _refine(scene: _Scene, guess: _Guess) -> Inside:
    """Cut the thing out along edges, by the colours in it and around it."""
    marks_HW = np.where(guess.likely_HW, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
    known_HW = _known(scene, guess)
    marks_HW[known_HW] = cv2.GC_FGD
    marks_HW[guess.never_HW] = cv2.GC_BGD
    if scene.outside_HW.any():
        lab_2HW3 = np.stack([to_lab(scene.pixels_HW3)] * 2)
        seeds_2HW = np.stack((known_HW, scene.outside_HW))
        ours_HW, theirs_HW = geodesic_distances(lab_2HW3, np.where(seeds_2HW, 0.0, 1e9))
        marks_HW[(theirs_HW < ours_HW) & (marks_HW == cv2.GC_PR_FGD)] = cv2.GC_PR_BGD
        marks_HW[2 * theirs_HW < ours_HW] = cv2.GC_BGD
        marks_HW[(2 * ours_HW < theirs_HW) & guess.likely_HW & ~guess.never_HW] = cv2.GC_FGD
    marks_HW[scene.inside_HW] = cv2.GC_FGD
    marks_HW[scene.outside_HW] = cv2.GC_BGD
    if (marks_HW & 1).any() and not (marks_HW & 1).all():
        cv2.setRNGSeed(0)  # of this thread: colours are first sorted by k-means, which draws its first centres
        colours = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(scene.pixels_HW3, marks_HW, (0, 0, 1, 1), *colours, _NUM_ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((marks_HW & 1) == 1)


def _known(scene: _Scene, guess: _Guess) -> Inside:
    """Return what is sure to be in the thing, less what clicks say otherwise of."""
    if not guess.sure_HW.any() or not scene.outside_HW.any():
        return scene.inside_HW | guess.sure_HW
    from_outside_HW = _depths(~scene.outside_HW, pad=0)
    if scene.inside_HW.any():
        return np.asarray(scene.inside_HW | (guess.sure_HW & (_depths(~scene.inside_HW, pad=0) < from_outside_HW)))
    return np.asarray(guess.sure_HW & (from_outside_HW > 0.15 * max(guess.sure_HW.shape)))


def _tidy(inside_HW: Inside, known_HW: Inside) -> Inside:
    """Drop what is thin or apart from what is known, and fill holes."""
    opened = cv2.morphologyEx(inside_HW.astype(np.uint8), cv2.MORPH_OPEN, _DISC).astype(bool) | (inside_HW & known_HW)
    num, parts_HW, stats, _ = cv2.connectedComponentsWithStats(opened.astype(np.uint8), connectivity=4)
    if num < 2:
        return inside_HW
    is_known = np.bincount(parts_HW[known_HW], minlength=num)[1:] > 0
    largest = np.arange(1, num) == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    kept_HW = np.concatenate(([False], is_known if is_known.any() else largest))[parts_HW]
    around_HW = np.pad(~kept_HW, 1, constant_values=True)
    _, gaps_HW = cv2.connectedComponents(around_HW.astype(np.uint8), connectivity=4)
    return np.asarray((gaps_HW != gaps_HW[0, 0])[1:-1, 1:-1])


def _reach(found_HW: Inside, likely_HW: Inside) -> float:
    """Return how much of the expected width and height is reached: a box is drawn tightly around a thing."""
    found, expected = window.bounds_within(found_HW), window.bounds_within(likely_HW)
    if found is None or expected is None:
        return 0.0
    shares = [(found[2 + axis] - found[axis]) / (expected[2 + axis] - expected[axis]) for axis in (0, 1)]
    return min(1.0, shares[0]) * min(1.0, shares[1])
