"""How does a trained model of numbers answer? NumPy and ONNX Runtime only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models import checkpoint, text_features
from models.labels import LabelSchema
from models.regions import Number, Region
from models.runtime import Session

# B batch


class TextScorer:
    """A number for whole texts."""

    min_side_px = None

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self._num_buckets = int(manifest.inputs["num_buckets"])
        self._centre, self._unit = float(manifest.inputs["centre"]), float(manifest.inputs["unit"])
        self._tolerance = float(manifest.inputs["tolerance"])
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, contents: Sequence[str]) -> list[list[Region]]:
        """Return one number for each text; see `numbers` for its score."""
        counted = [text_features.count(text) for text in contents]
        answers: list[list[Region]] = [[] for _ in contents]
        for indices, packed_BL2 in text_features.batches(counted, self._num_buckets, num_outputs=2):
            (outputs_B2,) = self._session.run({text_features.INPUT: packed_BL2})
            found = numbers(outputs_B2, self.schema, centre=self._centre, unit=self._unit, tolerance=self._tolerance)
            for index, answer in zip(indices, found, strict=True):
                answers[index] = [answer]
        return answers


def numbers(
    outputs_B2: npt.NDArray[np.float32], schema: LabelSchema, *, centre: float, unit: float, tolerance: float
) -> list[Region]:
    """Turn what a network computes into numbers on the schema's scale.

    A score is the probability that the truth is no further away than the tolerance, if errors follow Laplace's
    distribution.

    Args:
        outputs_B2: A value and the absolute error that is to be expected of it, in units from the centre.
        schema: Its scale is that of the answers.
        centre: On the scale.
        unit: On the scale.
        tolerance: On the scale.
    """
    answers: list[Region] = []
    for output, error in outputs_B2.tolist():
        value = centre + unit * output
        score = 1 - math.exp(-tolerance / max(unit * error, 1e-9))
        answers.append(Number(schema.scale.nearest(value) if schema.scale else value, round(score, 6)))
    return answers


def load(folder: Path, device: str) -> TextScorer:
    """Load a checkpoint for serving."""
    return TextScorer(folder, device)
