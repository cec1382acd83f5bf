"""What do the outputs of a detector that was trained elsewhere mean? One function per layout.

Sources: the export code of each project: YOLOX (Megvii), YOLOv5 to YOLO11 (Ultralytics), FastestDet, SSD-like detectors
with decoded boxes (Ultra-Light-Fast-Generic-Face-Detector), torchvision's detection models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models.imported.preparing import Fit, Preparation

# N candidates, K labels

Array = npt.NDArray[np.float32]
_STRIDES = (8, 16, 32)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a detector answers, before anything is left out.

    Attributes:
        corners_N4: Left, top, right, bottom in the input's pixels.
        scores_NK: For each label, in [0, 1].
    """

    corners_N4: Array
    scores_NK: Array


Decode = Callable[[Sequence[Array], int, int], Candidates]
"""(outputs, width and height of the input in pixels) → candidates."""


def _yolox(outputs: Sequence[Array], width_px: int, height_px: int) -> Candidates:
    """Undecoded, (1, N, 5 + K): offset in the cell, logarithm of the size in strides, objectness, labels."""
    rows_N = outputs[0][0]
    cells, strides = [], []
    for stride in _STRIDES:
        rows, columns = np.mgrid[0 : height_px // stride, 0 : width_px // stride]
        cells.append(np.stack((columns, rows), -1).reshape(-1, 2))
        strides.append(np.full((rows.size, 1), stride))
    cell_N2, stride_N1 = np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)
    centres_N2 = (rows_N[:, :2] + cell_N2) * stride_N1
    sizes_N2 = np.exp(np.minimum(rows_N[:, 2:4], 10)) * stride_N1
    return Candidates(_corners(centres_N2, sizes_N2), rows_N[:, 4:5] * rows_N[:, 5:])


def _yolov5(outputs: Sequence[Array], width_px: int, height_px: int) -> Candidates:
    """Decoded, (1, N, 5 + K): centre and size in pixels, objectness, labels."""
    rows_N = outputs[0][0]
    return Candidates(_corners(rows_N[:, :2], rows_N[:, 2:4]), rows_N[:, 4:5] * rows_N[:, 5:])


def _yolov8(outputs: Sequence[Array], width_px: int, height_px: int) -> Candidates:
    """Decoded, (1, 4 + K, N): centre and size in pixels, labels; no objectness."""
    rows_N = outputs[0][0].T
    return Candidates(_corners(rows_N[:, :2], rows_N[:, 2:4]), rows_N[:, 4:])


def _yolov10(outputs: Sequence[Array], width_px: int, height_px: int) -> Candidates:
    """Chosen already, (1, N, 6): left, top, right, bottom in pixels, score, label."""
    rows_N = outputs[0][0]
    return Candidates(rows_N[:, :4], _one_hot(rows_N[:, 4], rows_N[:, 5]))


def _fastestdet(outputs: Sequence[Array], width_px: int, height_px: int) -> Candidates:
    """Maps (1, 5 + K, rows, columns): objectness, offset (tanh), size (sigmoid) as a fraction, labels."""
    maps = outputs[0][0]
    num_rows, num_columns = maps.shape[1:]
    rows, columns = np.mgrid[0:num_rows, 0:num_columns]
    x = (np.tanh(maps[1]) + columns) / num_columns * width_px
    y = (np.tanh(maps[2]) + rows) / num_rows * height_px
    width, height = _sigmoid(maps[3]) * width_px, _sigmoid(maps[4]) * height_px
    centres_N2 = np.stack((x, y), -1).reshape(-1, 2)
    sizes_N2 = np.stack((width, height), -1).reshape(-1, 2)
    objectness, labels = maps[0].reshape(-1, 1), maps[5:].reshape(maps.shape[0] - 5, -1).T
    scores_NK = np.maximum(objectness, 0) ** np.float32(0.6) * np.maximum(labels, 0) ** np.float32(0.4)
    return Candidates(_corners(centres_N2, sizes_N2), scores_NK)


def _ssd(outputs: Sequence[Array], width_px: int, height_px: int) -> Candidates:
    """Boxes (1, N, 4) with corners as fractions, and scores (1, N, 1 + K) of which the first is that of nothing."""
    first, second = outputs
    # With three labels both have four columns; those of scores are a distribution.
    is_first_scores = first.shape[-1] != 4 or bool(np.allclose(first.sum(-1), 1, atol=1e-2))
    boxes, scores = (second, first) if is_first_scores else (first, second)
    return Candidates(boxes[0] * np.array([width_px, height_px] * 2, dtype=np.float32), scores[0][:, 1:])


def _torchvision(outputs: Sequence[Array], width_px: int, height_px: int) -> Candidates:
    """Boxes (N, 4) with corners in pixels, labels (N) counted from 1, scores (N); chosen already."""
    boxes = next(output for output in outputs if output.ndim == 2)
    first, second = (output for output in outputs if output.ndim == 1)
    labels, scores = (first, second) if np.issubdtype(first.dtype, np.integer) else (second, first)
    return Candidates(boxes, _one_hot(scores, labels - 1))


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to answer.

    Attributes:
        summary: For people.
        decode: See `Decode`.
        is_chosen: Whether the model has removed overlapping boxes itself.
        preparation: What such models usually want to see; the size is that of the file.
    """

    summary: str
    decode: Decode
    is_chosen: bool
    preparation: Preparation


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "yolox": Layout("YOLOX, undecoded", _yolox, False, Preparation(0, 0, Fit.CORNER, is_bgr=True, scale=1.0)),
        "yolov5": Layout("YOLOv5, v6, v7; YOLOX, decoded", _yolov5, False, Preparation(0, 0, Fit.CENTRE)),
        "yolov8": Layout("YOLOv8, v9, 11", _yolov8, False, Preparation(0, 0, Fit.CENTRE)),
        "yolov10": Layout("YOLOv10, and others exported with NMS", _yolov10, True, Preparation(0, 0, Fit.CENTRE)),
        "fastestdet": Layout("FastestDet", _fastestdet, False, Preparation(0, 0, is_bgr=True)),
        "ssd": Layout(
            "SSD-like with decoded boxes",
            _ssd,
            False,
            Preparation(0, 0, scale=1 / 128, mean=(127 / 128, 127 / 128, 127 / 128)),
        ),
        "torchvision": Layout("torchvision's detectors", _torchvision, True, Preparation(0, 0)),
    }
)


def guess(outputs: Sequence[Array], width_px: int, height_px: int) -> str | None:
    """Return the name of the layout that fits the outputs for a grey image, or None."""
    shapes = [output.shape for output in outputs]
    num_cells = sum((height_px // stride) * (width_px // stride) for stride in _STRIDES)
    if len(shapes) == 3 and sorted(len(shape) for shape in shapes) == [1, 1, 2]:
        return "torchvision"
    if len(shapes) == 2 and all(len(shape) == 3 for shape in shapes) and 4 in (shapes[0][2], shapes[1][2]):
        return "ssd"
    if len(shapes) != 1:
        return None
    [shape] = shapes
    if len(shape) == 4 and shape[1] > 5:
        return "fastestdet"
    if len(shape) != 3:
        return None
    if shape[2] == 6 and shape[1] <= 1000 and shape[1] != num_cells:
        return "yolov10"
    if shape[1] < shape[2]:
        return "yolov8" if shape[1] > 4 else None
    if shape[2] <= 5:
        return None
    is_undecoded = shape[1] == num_cells and float(np.abs(outputs[0][0, :, :2]).max()) < 64
    return "yolox" if is_undecoded else "yolov5"


def _corners(centres_N2: Array, sizes_N2: Array) -> Array:
    return np.concatenate((centres_N2 - sizes_N2 / 2, centres_N2 + sizes_N2 / 2), 1).astype(np.float32)


def _one_hot(scores_N: Array, labels_N: Array) -> Array:
    labels = labels_N.astype(np.int64)
    scores_NK = np.zeros((len(labels), int(labels.max(initial=0)) + 1), dtype=np.float32)
    scores_NK[np.arange(len(labels)), np.maximum(labels, 0)] = scores_N
    return scores_NK


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float32)
