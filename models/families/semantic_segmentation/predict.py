"""How does a trained segmenter paint? NumPy, OpenCV and ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models import checkpoint
from models.images import Image, resize
from models.labels import LabelSchema
from models.regions import Mask, Region
from models.runtime import Session

INPUT = "images"
_CHUNK = 4

# B batch, K labels, H height, W width


class SemanticSegmenter:
    """Masks at the size of the original image."""

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self._width_px, self._height_px = int(manifest.inputs["width_px"]), int(manifest.inputs["height_px"])
        self._is_exclusive = bool(manifest.inputs["is_exclusive"])
        self.min_side_px: int = max(self._width_px, self._height_px)
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        """Return for each image the masks of the labels that it shows, surest first."""
        answers: list[list[Region]] = []
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            squeezed = [resize(image.pixels, width_px=self._width_px, height_px=self._height_px) for image in chunk]
            pixels_B3HW = np.ascontiguousarray(np.stack(squeezed).transpose(0, 3, 1, 2), dtype=np.float32)
            (maps_BKHW,) = self._session.run({INPUT: pixels_B3HW / np.float32(255)})
            for maps_KHW, image in zip(maps_BKHW, chunk, strict=True):
                size_px = (image.width_px, image.height_px)
                answers.append(masks(maps_KHW, self.schema, size_px=size_px, is_exclusive=self._is_exclusive))
        return answers


def masks(
    maps_KHW: npt.NDArray[np.float32], schema: LabelSchema, *, size_px: tuple[int, int], is_exclusive: bool
) -> list[Region]:
    """Enlarge probabilities to the size of an image, and paint each label where it is likely.

    Args:
        maps_KHW: Probabilities, in the order of the schema's labels.
        schema: What they are of.
        size_px: Width and height of the image.
        is_exclusive: Whether the likeliest label wins each pixel, or the background, which has the rest of the
            probability; else each label is painted where it is more likely than not.

    Returns:
        Masks that are not empty, surest first; the score is the mean probability inside.
    """
    rest_HW = 1 - maps_KHW.sum(0) if is_exclusive else np.full(maps_KHW.shape[1:], 0.5, dtype=np.float32)
    rivals_KHW = np.maximum(maps_KHW.max(0), rest_HW) if is_exclusive else rest_HW
    likely = [k for k in range(len(maps_KHW)) if (maps_KHW[k] >= rivals_KHW).any()]
    # One byte per pixel and map: at twelve megapixels every float would take 48 MB.
    best_HW = _enlarged(rest_HW, size_px)
    winner_HW = np.zeros(best_HW.shape, dtype=np.uint16)
    found: list[Region] = []
    for k in likely:
        level_HW = _enlarged(maps_KHW[k], size_px)
        if is_exclusive:
            winner_HW[level_HW > best_HW] = k + 1
            np.maximum(best_HW, level_HW, out=best_HW)
        elif (inside_HW := level_HW > best_HW).any():
            found.append(_mask(schema.names[k], inside_HW, maps_KHW[k], rivals_KHW))
    if is_exclusive:
        for k in likely:
            if (inside_HW := winner_HW == k + 1).any():
                found.append(_mask(schema.names[k], inside_HW, maps_KHW[k], rivals_KHW))
    return sorted(found, key=lambda mask: -(getattr(mask, "score", None) or 0.0))


def _enlarged(map_HW: npt.NDArray[np.float32], size_px: tuple[int, int]) -> npt.NDArray[np.uint8]:
    levels_HW = np.clip(np.rint(map_HW * 255), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(levels_HW, size_px, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _mask(
    label: str,
    inside_HW: npt.NDArray[np.bool_],
    map_HW: npt.NDArray[np.float32],
    rivals_HW: npt.NDArray[np.float32],
) -> Mask:
    score = float(np.clip(map_HW[map_HW >= rivals_HW].mean(), 0, 1))
    return Mask.from_array(label, inside_HW, score=round(score, 6))


def load(folder: Path, device: str) -> SemanticSegmenter:
    """Load a checkpoint for serving."""
    return SemanticSegmenter(folder, device)
