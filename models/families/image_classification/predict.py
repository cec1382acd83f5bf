"""How does a trained classifier answer? NumPy and ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models import checkpoint
from models.images import Image, resize
from models.labels import LabelSchema, Objective
from models.regions import Choice, Region
from models.runtime import Session

INPUT = "images"
_CHUNK = 16
"""Images in one pass: more takes memory and is no faster."""

# B batch, H height, W width, K labels


class ImageClassifier:
    """Labels for whole images; the network's outputs are calibrated probabilities."""

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self.min_side_px: int = int(manifest.inputs["side_px"])
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        """Return for each image its best label (CLASSIFICATION) or all likely ones (MULTI_LABEL), best first."""
        answers: list[list[Region]] = []
        for start in range(0, len(images), _CHUNK):
            pixels_B3HW = prepare(images[start : start + _CHUNK], side_px=self.min_side_px)
            (probabilities_BK,) = self._session.run({INPUT: pixels_B3HW})
            answers += choices(probabilities_BK, self.schema)
        return answers


def prepare(images: Sequence[Image], *, side_px: int) -> npt.NDArray[np.float32]:
    """Squeeze images to squares: float32, shape (B, 3, side_px, side_px), in [0, 1]."""
    squares = [resize(image.pixels, width_px=side_px, height_px=side_px) for image in images]
    return np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def choices(probabilities_BK: npt.NDArray[np.float32], schema: LabelSchema) -> list[list[Region]]:
    """Turn probabilities, in the order of the schema's labels, into regions."""
    if schema.objective is Objective.CLASSIFICATION:
        best_B = probabilities_BK.argmax(1)
        return [[_choice(schema, row, k)] for row, k in zip(probabilities_BK, best_B, strict=True)]
    return [
        [_choice(schema, row, k) for k in np.argsort(-row, kind="stable") if row[k] >= 0.5] for row in probabilities_BK
    ]


def _choice(schema: LabelSchema, probabilities_K: npt.NDArray[np.float32], k: int) -> Region:
    return Choice(schema.names[k], round(min(1.0, max(0.0, float(probabilities_K[k]))), 6))


def load(folder: Path, device: str) -> ImageClassifier:
    """Load a checkpoint for serving."""
    return ImageClassifier(folder, device)
