"""How does a heat map become points? NumPy, OpenCV and ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

from models import checkpoint
from models.images import Image, resize
from models.labels import LabelSchema
from models.regions import KeyPoint, Region
from models.runtime import Session

INPUT = "images"
_CHUNK = 8
"""Images in one pass: more takes memory and is no faster."""
_MAX_POINTS = 300
"""Of one label in one image."""

# B batch, K labels, H height, W width, P points

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """How heat maps are read.

    Attributes:
        crowds: Labels of which an image may show several points; of the others it shows one at most.
        threshold: Points whose score is lower are not answered.
        radius_px: Points of one label are farther apart than this, in pixels of the map; also how far around a peak
            its place is computed from.
    """

    crowds: frozenset[str]
    threshold: float
    radius_px: int

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {"crowds": sorted(self.crowds), "threshold": self.threshold, "radius_px": self.radius_px}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        return cls(frozenset(stored["crowds"]), float(stored["threshold"]), int(stored["radius_px"]))


class KeyPoints:
    """Points; the network's outputs are heat maps, one for each label, whose heights are scores."""

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self._width_px, self._height_px = int(manifest.inputs["width_px"]), int(manifest.inputs["height_px"])
        self.min_side_px: int = max(self._width_px, self._height_px)
        self._reading = Reading.from_json(manifest.inputs["reading"])
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        """Return the points of each image, best first."""
        answers: list[list[Region]] = []
        for start in range(0, len(images), _CHUNK):
            (maps_BKHW,) = self._session.run({INPUT: self._prepare(images[start : start + _CHUNK])})
            answers += [points(maps_KHW, self.schema, self._reading) for maps_KHW in maps_BKHW]
        return answers

    def _prepare(self, images: Sequence[Image]) -> Maps:
        squeezed = [resize(image.pixels, width_px=self._width_px, height_px=self._height_px) for image in images]
        return np.ascontiguousarray(np.stack(squeezed).transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def points(maps_KHW: Maps, schema: LabelSchema, reading: Reading) -> list[Region]:
    """Return the points in the heat maps of one image, best first; maps are in the order of the schema's labels."""
    found: list[KeyPoint] = []
    for label, map_HW in zip(schema.names, maps_KHW, strict=True):
        peaks = _all_peaks(map_HW, reading.radius_px) if label in reading.crowds else _best_peak(map_HW)
        found += [
            KeyPoint(label, *locate(map_HW, row, column, reading.radius_px), score=_score(map_HW[row, column]))
            for row, column in peaks
            if map_HW[row, column] >= reading.threshold
        ]
    return sorted(found, key=lambda point: -(point.score or 0.0))


def locate(map_HW: Maps, row: int, column: int, radius_px: int) -> tuple[float, float]:
    """Return where a peak is, as fractions of the image: the centre of mass of the map around its highest pixel.

    What lies lower than half of the peak does not count, so that neighbours and noise do not pull.
    """
    height, width = map_HW.shape
    top, left = max(0, row - radius_px), max(0, column - radius_px)
    around = map_HW[top : row + radius_px + 1, left : column + radius_px + 1]
    weights = np.clip(around - map_HW[row, column] / 2, 0, None).astype(np.float64)
    total = weights.sum()
    if total <= 0:
        return (column + 0.5) / width, (row + 0.5) / height
    y = float(weights.sum(1) @ np.arange(top, top + len(weights))) / total
    x = float(weights.sum(0) @ np.arange(left, left + weights.shape[1])) / total
    return (x + 0.5) / width, (y + 0.5) / height


def _best_peak(map_HW: Maps) -> list[tuple[int, int]]:
    row, column = np.unravel_index(int(map_HW.argmax()), map_HW.shape)
    return [(int(row), int(column))]


def _all_peaks(map_HW: Maps, radius_px: int) -> list[tuple[int, int]]:
    """Return the pixels that are highest within a radius, highest first; of a plateau the first one."""
    side = 2 * radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    highest_HW = cv2.dilate(map_HW, disc)
    rows, columns = np.nonzero(map_HW >= highest_HW)
    order = np.argsort(-map_HW[rows, columns], kind="stable")[: 4 * _MAX_POINTS]
    kept: list[tuple[int, int]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if all((row - r) ** 2 + (column - c) ** 2 > radius_px**2 for r, c in kept):
            kept.append((row, column))
        if len(kept) == _MAX_POINTS:
            break
    return kept


def _score(height: np.float32) -> float:
    return round(min(1.0, max(0.0, float(height))), 6)


def load(folder: Path, device: str) -> KeyPoints:
    """Load a checkpoint for serving."""
    return KeyPoints(folder, device)
