"""How does a trained detector answer? Peaks of its maps become boxes. NumPy and ONNX Runtime only.

The output of the network has, for each place of a grid, a score for each label and the box that a thing centred about
there would have: centre (fractions of the image), width and height (shares of the root of the canvas' area), and for
rotated boxes a direction vector: the cosine and sine of twice the angle of the longer side, short where a box is nearly
square and its direction means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models import checkpoint
from models.images import Image, resize
from models.labels import LabelSchema
from models.metrics.overlaps import box_overlaps
from models.regions import Box, Region
from models.runtime import Session

INPUT = "images"
_CHUNK = 8
_MOST_PEAKS = 1000
_MOST_BOXES = 500
_MIN_DIRECTION = 0.3
"""Direction vectors shorter than this mean nothing: such a box is answered upright."""

# B batch, C channels, K labels, H height, W width, N peaks
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """How maps are read; JSON in the manifest.

    Attributes:
        width_px: Of the canvas that images are squeezed to.
        height_px: Likewise.
        is_rotated: Whether there are directions.
        powers: For each label, what scores of the network are raised to, so that 0.5 is where its boxes, taken
            together, have the best F1.
        min_score: Boxes below are not answered. Less than 0.5: people can delete a doubtful box sooner than draw a
            missing one, and whoever wants sure boxes only sets a threshold.
        same_overlap: Two boxes of one label that overlap more are one.
        other_overlap: Two boxes of different labels that overlap more are one.
    """

    width_px: int
    height_px: int
    is_rotated: bool
    powers: tuple[float, ...]
    min_score: float
    same_overlap: float
    other_overlap: float

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {**asdict(self), "powers": list(self.powers)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        return cls(**{**stored, "powers": tuple(stored["powers"])})


class ObjectDetector:
    """Boxes around things in images."""

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self._reading = Reading.from_json(manifest.inputs)
        self.min_side_px: int = max(self._reading.width_px, self._reading.height_px)
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        """Return the boxes in each image, best first; those with a score of at least 0.5 are the sure ones."""
        answers: list[list[Region]] = []
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            (output_BCHW,) = self._session.run({INPUT: self._prepare(chunk)})
            for image, output_CHW in zip(chunk, output_BCHW, strict=True):
                aspect = image.width_px / image.height_px
                answers.append(list(find_boxes(output_CHW, self.schema.names, self._reading, aspect=aspect)))
        return answers

    def _prepare(self, images: Sequence[Image]) -> Floats:
        size = {"width_px": self._reading.width_px, "height_px": self._reading.height_px}
        squeezed = np.stack([resize(image.pixels, **size) for image in images])
        return np.ascontiguousarray(squeezed.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def find_boxes(output_CHW: Floats, names: Sequence[str], reading: Reading, *, aspect: float) -> list[Box]:
    """Read the boxes out of the output for one image, best first.

    Args:
        output_CHW: See above.
        names: Of the labels, K of them.
        reading: How.
        aspect: Width / height of the image.
    """
    score_KHW = np.clip(output_CHW[: len(names)], 0.0, 1.0)
    powers_K = np.array(reading.powers)
    needed_K = reading.min_score ** (1 / powers_K)
    label_N, row_N, column_N = np.nonzero((score_KHW >= needed_K[:, None, None]) & _is_peak(score_KHW))
    score_N = score_KHW[label_N, row_N, column_N] ** powers_K[label_N]
    best_N = np.argsort(-score_N, kind="stable")[:_MOST_PEAKS]
    shape_NC = output_CHW[len(names) :, row_N[best_N], column_N[best_N]].T.astype(np.float64)
    boxes = []
    for k, score, shape_C in zip(label_N[best_N], score_N[best_N], shape_NC, strict=True):
        make = _make_rotated if reading.is_rotated else _make_upright
        box = make(names[k], shape_C, reading, score=round(float(score), 4), aspect=aspect)
        if box is not None:
            boxes.append(box)
    return suppress(boxes, same_overlap=reading.same_overlap, other_overlap=reading.other_overlap)[:_MOST_BOXES]


def suppress(boxes: Sequence[Box], *, same_overlap: float, other_overlap: float) -> list[Box]:
    """Keep of boxes that overlap too much only the first.

    Args:
        boxes: Best first.
        same_overlap: How much is too much where they have the same label.
        other_overlap: How much where they have different ones.
    """
    overlaps_NN = box_overlaps(boxes, boxes)
    labels_N = np.array([box.label for box in boxes])
    is_same_NN = labels_N[:, None] == labels_N[None, :]
    is_too_much_NN = overlaps_NN > np.where(is_same_NN, same_overlap, other_overlap)
    is_kept_N = np.ones(len(boxes), dtype=np.bool_)
    for n in range(len(boxes)):
        if is_kept_N[n]:
            is_kept_N[n + 1 :] &= ~is_too_much_NN[n, n + 1 :]
    return [box for box, is_kept in zip(boxes, is_kept_N, strict=True) if is_kept]


def _is_peak(score_KHW: Floats) -> npt.NDArray[np.bool_]:
    """Tell which places are not less than any of their eight neighbours."""
    width = score_KHW.shape[2]
    padded = np.pad(score_KHW, ((0, 0), (1, 1), (1, 1)), constant_values=-1.0)
    rows = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    highest_KHW = np.maximum(np.maximum(rows[:, :, :width], rows[:, :, 1:-1]), rows[:, :, 2:])
    is_peak_KHW: npt.NDArray[np.bool_] = score_KHW >= highest_KHW
    return is_peak_KHW


def _make_upright(
    label: str, shape_C: npt.NDArray[np.float64], reading: Reading, *, score: float, aspect: float
) -> Box | None:
    side_px = (reading.width_px * reading.height_px) ** 0.5
    half = shape_C[2:4] * side_px / (reading.width_px, reading.height_px) / 2
    left, top = np.clip(shape_C[:2] - half, 0.0, 1.0).tolist()
    right, bottom = np.clip(shape_C[:2] + half, 0.0, 1.0).tolist()
    if right - left < 1e-6 or bottom - top < 1e-6:
        return None
    return Box.from_bounds(label, left, top, right, bottom, score=score)


def _make_rotated(
    label: str, shape_C: npt.NDArray[np.float64], reading: Reading, *, score: float, aspect: float
) -> Box | None:
    side_px = (reading.width_px * reading.height_px) ** 0.5
    long_px, short_px = np.sort(shape_C[2:4])[::-1] * side_px
    cos, sin = shape_C[4:6]
    angle = np.arctan2(sin, cos) / 2
    is_directed = bool(np.hypot(cos, sin) >= _MIN_DIRECTION)
    if not is_directed:  # nearly a square
        long_px = short_px = (long_px * short_px) ** 0.5
        angle = 0.0
    # The canvas is not the image: it may be squeezed. What is an ellipse there is another ellipse here.
    turn_22 = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    axes_22 = np.diag((aspect / reading.width_px, 1 / reading.height_px)) @ turn_22 @ np.diag((long_px, short_px))
    directions_22, (width, height), _ = np.linalg.svd(axes_22)
    if not is_directed:
        width, height, degrees = axes_22[0, 0], axes_22[1, 1], 0.0
    else:
        degrees = float(np.degrees(np.arctan2(directions_22[1, 0], directions_22[0, 0]))) % 180
        if 45 < degrees <= 135:  # the same box, turned less
            width, height, degrees = height, width, degrees - 90
        elif degrees > 135:
            degrees -= 180
    if width < 1e-6 or height < 1e-6 or not (0 <= shape_C[0] <= 1 and 0 <= shape_C[1] <= 1):
        return None
    x, y = shape_C[:2].tolist()
    return Box(label, x, y, float(width) / aspect, float(height), round(degrees % 360, 2) % 360, aspect, score)


def load(folder: Path, device: str) -> ObjectDetector:
    """Load a checkpoint for serving."""
    return ObjectDetector(folder, device)
