"""How does a detector that was trained elsewhere answer?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from models import checkpoint
from models.images import Image
from models.imported.layouts import LAYOUTS
from models.imported.preparing import Preparation
from models.labels import LabelSchema
from models.regions import Box, Region
from models.runtime import Session

MAX_BOXES = 300
_SAME_IOU = 0.5

# N candidates, K labels


class OnnxDetector:
    """Boxes with the labels of the model; overlapping ones of the same label are left out."""

    min_side_px: int | None = None

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self._preparation = Preparation.from_json(manifest.inputs["preparation"])
        self._layout = LAYOUTS[manifest.inputs["layout"]]
        self._min_score = float(manifest.inputs["min_score"])
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        """Return the boxes of each image, best first."""
        return [self._predict_one(image) for image in images]

    def _predict_one(self, image: Image) -> list[Region]:
        pixels, placement = self._preparation.prepare(image)
        outputs = self._session.run({self._session.inputs[0].name: pixels})
        found = self._layout.decode(outputs, self._preparation.width_px, self._preparation.height_px)
        scores_NK = found.scores_NK[:, : len(self.schema.labels)]
        if not scores_NK.size:
            return []
        labels_N, best_N = scores_NK.argmax(1), scores_NK.max(1)
        kept = np.flatnonzero(best_N >= self._min_score)
        corners_N4 = found.corners_N4[kept]
        if not self._layout.is_chosen and len(kept):
            boxes = np.concatenate((corners_N4[:, :2], corners_N4[:, 2:] - corners_N4[:, :2]), 1)
            chosen = np.asarray(
                cv2.dnn.NMSBoxesBatched(
                    boxes.tolist(), best_N[kept].tolist(), labels_N[kept].tolist(), self._min_score, _SAME_IOU
                ),
                dtype=np.int64,
            ).ravel()
            kept, corners_N4 = kept[chosen], corners_N4[chosen]
        order = np.argsort(-best_N[kept], kind="stable")[:MAX_BOXES]
        fractions_N4 = placement.to_fractions(corners_N4[order])
        return [
            Box.from_bounds(
                self.schema.names[labels_N[index]], *map(float, corners), score=round(min(1.0, float(best_N[index])), 6)
            )
            for index, corners in zip(kept[order], fractions_N4, strict=True)
            if corners[2] > corners[0] and corners[3] > corners[1]
        ]


def load(folder: Path, device: str) -> OnnxDetector:
    """Load a checkpoint for serving."""
    return OnnxDetector(folder, device)
