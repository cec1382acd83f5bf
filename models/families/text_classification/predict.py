"""How does a trained classifier of texts answer? NumPy and ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models import checkpoint, text_features
from models.labels import LabelSchema, Objective
from models.regions import Choice, Region
from models.runtime import Session

# B batch, K labels


class TextClassifier:
    """Labels for whole texts; the network's outputs are calibrated probabilities."""

    min_side_px = None

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self._num_buckets = int(manifest.inputs["num_buckets"])
        self._threshold = float(manifest.inputs["threshold"])
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, contents: Sequence[str]) -> list[list[Region]]:
        """Return for each text its best label (CLASSIFICATION) or all likely ones (MULTI_LABEL), best first."""
        counted = [text_features.count(text) for text in contents]
        num_labels = len(self.schema.labels)
        answers: list[list[Region]] = [[] for _ in contents]
        for indices, packed_BL2 in text_features.batches(counted, self._num_buckets, num_outputs=num_labels):
            (probabilities_BK,) = self._session.run({text_features.INPUT: packed_BL2})
            found = choices(probabilities_BK, self.schema, threshold=self._threshold)
            for index, answer in zip(indices, found, strict=True):
                answers[index] = answer
        return answers


def choices(probabilities_BK: npt.NDArray[np.float32], schema: LabelSchema, *, threshold: float) -> list[list[Region]]:
    """Turn probabilities, in the order of the schema's labels, into regions.

    Args:
        probabilities_BK: Of each label.
        schema: The labels.
        threshold: For MULTI_LABEL: labels that are at least as likely are answers.
    """
    if schema.objective is Objective.CLASSIFICATION:
        best_B = probabilities_BK.argmax(1)
        return [[_choice(schema, row, k)] for row, k in zip(probabilities_BK, best_B, strict=True)]
    return [
        [_choice(schema, row, k) for k in np.argsort(-row, kind="stable") if row[k] >= threshold]
        for row in probabilities_BK
    ]


def _choice(schema: LabelSchema, probabilities_K: npt.NDArray[np.float32], k: int) -> Region:
    return Choice(schema.names[k], round(min(1.0, max(0.0, float(probabilities_K[k]))), 6))


def load(folder: Path, device: str) -> TextClassifier:
    """Load a checkpoint for serving."""
    return TextClassifier(folder, device)
