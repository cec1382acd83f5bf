"""How does a trained network answer with a number? NumPy and ONNX Runtime only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models import checkpoint
from models.images import Image, resize
from models.labels import LabelSchema, Scale
from models.regions import Number, Region
from models.runtime import Session

INPUT = "images"
_CHUNK = 16
"""Images in one pass: more takes memory and is no faster."""

# B batch, H height, W width


@dataclass(frozen=True, slots=True)
class Unit:
    """What the network's numbers mean.

    Attributes:
        mean: Of the labels; the network's zero.
        deviation: Of the labels; the network's one.
        tolerance: How far off an answer may be that is called right; scores are the chance of that.
    """

    mean: float
    deviation: float
    tolerance: float

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        return cls(float(stored["mean"]), float(stored["deviation"]), float(stored["tolerance"]))


class ImageRegressor:
    """Numbers for whole images."""

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self.min_side_px: int = int(manifest.inputs["side_px"])
        self._unit = Unit.from_json(manifest.inputs["unit"])
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        """Return one number for each image."""
        answers: list[list[Region]] = []
        for start in range(0, len(images), _CHUNK):
            squares = [
                resize(image.pixels, width_px=self.min_side_px, height_px=self.min_side_px)
                for image in images[start : start + _CHUNK]
            ]
            pixels_B3HW = np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2), dtype=np.float32)
            (output_B2,) = self._session.run({INPUT: pixels_B3HW / np.float32(255)})
            answers += numbers(output_B2, self.schema, self._unit)
        return answers


def numbers(output_B2: npt.NDArray[np.float32], schema: LabelSchema, unit: Unit) -> list[list[Region]]:
    """Turn standardized numbers and their expected absolute errors into answers on the schema's scale.

    The score is the chance that the truth is within the tolerance of the network's number, errors being taken for
    Laplace distributed.
    """
    scale = schema.scale or Scale()
    answers: list[list[Region]] = []
    for number, error in output_B2.tolist():
        score = 1 - math.exp(-unit.tolerance / max(1e-9, error * unit.deviation))
        answers.append([Number(scale.nearest(unit.mean + number * unit.deviation), round(score, 6))])
    return answers


def load(folder: Path, device: str) -> ImageRegressor:
    """Load a checkpoint for serving."""
    return ImageRegressor(folder, device)
