"""How does a trained click segmenter answer? It corrects the classical one's answer. NumPy and ONNX Runtime only.

The network sees a square around the thing: its colours, where was clicked, the box, and what the classical segmenter
found there. So it need not learn what edges are, only what the things of this project look like.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models import checkpoint
from models.clicks import Encoded, Prompts, Segment
from models.images import Image
from models.interactive import window
from models.interactive.classical import ClassicalSegmenter, Reduced
from models.interactive.window import Inside, Window
from models.labels import LabelSchema
from models.regions import Region
from models.runtime import Session

INPUT = "images"
NUM_INPUTS = 7
"""Red, green, blue, clicks in the thing, clicks outside it, the box, what the classical segmenter found."""
STRIDE = 2
"""Pixels of the input for one of the output."""
_MARGIN = 1.6
"""Side of the square that is seen, in longer sides of the thing."""
_CLICK_RADIUS = 0.03
"""Of the discs that stand for clicks, in sides of the square."""

# B batch, C channels, H height, W width


class LearnedSegmenter:
    """A trained click segmenter; see `models.clicks.ClickSegmenter`, and `models.family.Predictor`."""

    min_side_px: int | None = None

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self.key: Hashable = ("click_segmentation", hashlib.sha256((folder / checkpoint.ONNX).read_bytes()).hexdigest())
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self._side_px = int(manifest.inputs["side_px"])
        self._classical = ClassicalSegmenter()
        self.num_bytes: int = self._session.num_bytes

    def predict(self, contents: Sequence[Any]) -> list[list[Region]]:
        """Return nothing for each image: without a click there is nothing to be found."""
        return [[] for _ in contents]

    def encode(self, image: Image) -> Reduced:
        """Prepare an image."""
        return self._classical.encode(image)

    def segment(self, encoded: Encoded, prompts: Prompts) -> Segment | None:
        """Return the thing pointed at."""
        assert isinstance(encoded, Reduced)
        hint = self._classical.segment(encoded, prompts)
        view = view_around(encoded, prompts, hint, side_px=self._side_px)
        maps_CHW = look(encoded, prompts, hint, view)
        (probabilities_B1HW,) = self._session.run({INPUT: maps_CHW[None].astype(np.float32) / np.float32(255)})
        shown = view.clip()
        seen = Window(view.left, view.top, view.right, view.bottom, *([self._side_px // STRIDE] * 2))
        probabilities_HW = seen.transfer(probabilities_B1HW[0, 0], shown)
        inside_HW = probabilities_HW >= 0.5
        if not inside_HW.any():
            return hint
        return shown.segment(inside_HW, score=expected_overlap(probabilities_HW, inside_HW))


def view_around(encoded: Reduced, prompts: Prompts, hint: Segment | None, *, side_px: int) -> Window:
    """Return the square that the network sees: around the box, else around what the classical segmenter found."""
    height_px, width_px = encoded.pixels.shape[:2]
    strokes_HW = window.merge(prompts.masks, width_px=width_px, height_px=height_px)
    known = [window.bounds_of(prompts, strokes_HW)]
    found = None if hint is None or prompts.boxes else window.bounds_within(hint.inside_HW)
    if hint is not None and found is not None:
        width, height = hint.right - hint.left, hint.bottom - hint.top
        known.append(
            (
                hint.left + found[0] * width,
                hint.top + found[1] * height,
                hint.left + found[2] * width,
                hint.top + found[3] * height,
            )
        )
    left, top = (min(bounds[side] for bounds in known) for side in (0, 1))
    right, bottom = (max(bounds[side] for bounds in known) for side in (2, 3))
    extent_px = max((right - left) * width_px, (bottom - top) * height_px, 8.0)
    centre = (left + right) / 2, (top + bottom) / 2
    return window.square(centre, width_px=width_px, height_px=height_px, edge_px=_MARGIN * extent_px, side_px=side_px)


def look(encoded: Reduced, prompts: Prompts, hint: Segment | None, view: Window) -> npt.NDArray[np.uint8]:
    """Return what the network sees: uint8, shape (NUM_INPUTS, H, W); prompts are 255 where they are."""
    height_px, width_px = encoded.pixels.shape[:2]
    strokes_HW = window.merge(prompts.masks, width_px=width_px, height_px=height_px)
    radius_px = _CLICK_RADIUS * view.width_px
    box_HW = np.zeros((view.height_px, view.width_px), bool)
    for box in prompts.boxes:
        box_HW |= view.fill(box.corners)
    prompts_CHW = (
        view.dot(prompts.inside, radius_px=radius_px) | view.cover(strokes_HW),
        view.dot(prompts.outside, radius_px=radius_px),
        box_HW,
        place(hint, view),
    )
    colours_CHW = view.cut(encoded.pixels).transpose(2, 0, 1)
    return np.concatenate((colours_CHW, *(map_HW[None] * np.uint8(255) for map_HW in prompts_CHW)))


def place(segment: Segment | None, view: Window) -> Inside:
    """Return which pixels of a window a segment covers."""
    if segment is None:
        return np.zeros((view.height_px, view.width_px), bool)
    padded_HW = np.pad(segment.inside_HW, 1)
    height, width = segment.inside_HW.shape
    pixel_x, pixel_y = (segment.right - segment.left) / width, (segment.bottom - segment.top) / height
    source = Window(
        segment.left - pixel_x,
        segment.top - pixel_y,
        segment.right + pixel_x,
        segment.bottom + pixel_y,
        width + 2,
        height + 2,
    )
    return np.asarray(source.transfer(padded_HW, view) >= 0.5)


def expected_overlap(probabilities_HW: npt.NDArray[np.float32], inside_HW: Inside) -> float:
    """Return the IoU to be expected of an answer, if the probabilities are right.

    >>> expected_overlap(np.array([[0.9, 0.1]], np.float32), np.array([[True, False]]))
    0.8182
    """
    hit, missed = float(probabilities_HW[inside_HW].sum()), float(probabilities_HW[~inside_HW].sum())
    return round(min(1.0, hit / (float(inside_HW.sum()) + missed)), 4)


def load(folder: Path, device: str) -> LearnedSegmenter:
    """Load a checkpoint for serving."""
    return LearnedSegmenter(folder, device)
