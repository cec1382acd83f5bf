"""How does a classifier that was trained elsewhere answer?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models import checkpoint
from models.images import Image
from models.imported.preparing import Preparation
from models.labels import LabelSchema, Objective
from models.regions import Choice, Region
from models.runtime import Session

_NUM_ANSWERS = 5
"""Labels that are answered: a label of the model may be unknown to the config, and then the next one counts."""


class OnnxClassifier:
    """The likeliest labels of whole images, best first, with the labels of the model."""

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self._preparation = Preparation.from_json(manifest.inputs["preparation"])
        self._is_probability = bool(manifest.inputs["is_probability"])
        self._min_score = float(manifest.inputs["min_score"])
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes
        self.min_side_px: int | None = max(self._preparation.width_px, self._preparation.height_px)

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        """Return the labels of each image."""
        return [self._predict_one(image) for image in images]

    def _predict_one(self, image: Image) -> list[Region]:
        pixels, _ = self._preparation.prepare(image)
        outputs = self._session.run({self._session.inputs[0].name: pixels})
        scores_K = self._scores(outputs[0].astype(np.float64).ravel())
        order = np.argsort(-scores_K, kind="stable")
        if self.schema.objective is Objective.CLASSIFICATION:
            order = order[:_NUM_ANSWERS]
        return [
            Choice(self.schema.names[k], round(float(scores_K[k]), 6))
            for k in order
            if self.schema.objective is Objective.CLASSIFICATION or scores_K[k] >= self._min_score
        ]

    def _scores(self, output_K: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self._is_probability:
            return np.clip(output_K, 0, 1)
        if self.schema.objective is Objective.MULTI_LABEL:
            return np.asarray(1 / (1 + np.exp(-output_K)))
        exponents = np.exp(output_K - output_K.max())
        return np.asarray(exponents / exponents.sum())


def load(folder: Path, device: str) -> OnnxClassifier:
    """Load a checkpoint for serving."""
    return OnnxClassifier(folder, device)
