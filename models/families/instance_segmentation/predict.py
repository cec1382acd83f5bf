"""How does a trained segmenter outline things? NumPy, OpenCV and ONNX Runtime only.

The network says for each pixel how likely each label is, and how deep in its thing it lies: 0 at the edge, 1 at the
heart. Hearts are seeds; pixels go to the nearest seed, and a thing gets the label that most of its pixels want. Labels
that never lie on each other are one group, with one depth; a label that lies on others is a group of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models import checkpoint
from models.images import Image, resize
from models.labels import LabelSchema
from models.outlines import outline
from models.regions import Polygon, Region
from models.runtime import Session

INPUT = "images"
_CHUNK = 4
_DEPTHS = (0.3, 0.45, 0.6, 0.75)
"""A seed is a part deeper than the first of these; it is divided where a later one leaves several parts of it."""
_MIN_SHARE = 0.04
"""Parts that take less of the seed that they are of do not divide it."""
_FINE_SIDE_PX = 640
"""Maps of a smaller area than the square of this are enlarged, for smooth outlines."""

# B batch, C channels, K labels, G groups, H height, W width
Maps = npt.NDArray[np.float32]
_Inside = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.int32]
# 0 outside, else the number of a thing.


class InstanceSegmenter:
    """Polygons around things."""

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self._width_px, self._height_px = int(manifest.inputs["width_px"]), int(manifest.inputs["height_px"])
        self._groups: list[list[int]] = manifest.inputs["groups"]
        least, most = manifest.inputs["areas"]
        self._areas: tuple[float, float] = (float(least), float(most))
        self.min_side_px: int = max(self._width_px, self._height_px)
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        """Return for each image the things in it, surest first."""
        answers: list[list[Region]] = []
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            squeezed = [resize(image.pixels, width_px=self._width_px, height_px=self._height_px) for image in chunk]
            pixels_B3HW = np.ascontiguousarray(np.stack(squeezed).transpose(0, 3, 1, 2), dtype=np.float32)
            (maps_BCHW,) = self._session.run({INPUT: pixels_B3HW / np.float32(255)})
            answers += [
                polygons(maps_CHW, self.schema, groups=self._groups, areas=self._areas) for maps_CHW in maps_BCHW
            ]
        return answers


def polygons(
    maps_CHW: Maps, schema: LabelSchema, *, groups: Sequence[Sequence[int]], areas: tuple[float, float]
) -> list[Region]:
    """Outline the things that maps show.

    Args:
        maps_CHW: Probabilities of the K labels of the schema, in order, then the depths of the groups, in [0, 1].
        schema: What they are of.
        groups: Indices of labels; those of a group exclude each other.
        areas: Of the smallest and the largest thing, as shares of the image; others are noise, or part of the scene.

    Returns:
        Polygons, surest first; the score is the mean probability of the label inside.
    """
    found: list[Polygon] = []
    num_labels = len(schema.labels)
    for number, labels in enumerate(groups):
        probabilities_KHW = np.stack([_enlarged(maps_CHW[k]) for k in labels])
        numbers_HW = separate(probabilities_KHW.sum(0) > 0.5, _enlarged(maps_CHW[num_labels + number]))
        for part_HW, left, top in _things(numbers_HW):
            height, width = part_HW.shape
            if not areas[0] <= part_HW.sum() / numbers_HW.size <= areas[1]:
                continue
            scores_K = probabilities_KHW[:, top : top + height, left : left + width][:, part_HW].mean(1)
            best = int(scores_K.argmax())
            points = outline(part_HW)
            if points is not None:
                scale_x, scale_y = numbers_HW.shape[1], numbers_HW.shape[0]
                placed = tuple(((left + x * width) / scale_x, (top + y * height) / scale_y) for x, y in points)
                score = round(float(np.clip(scores_K[best], 0, 1)), 6)
                found.append(Polygon(schema.names[labels[best]], placed, score))
    return sorted(found, key=lambda polygon: -(polygon.score or 0.0))


def separate(inside_HW: _Inside, depth_HW: Maps) -> _Numbers:
    """Divide what is inside into things.

    Args:
        inside_HW: True where there is any thing.
        depth_HW: How deep in its thing a pixel lies, in [0, 1].

    Returns:
        The number of the thing from 1 on, 0 outside. Numbers may be missing; a thing may have several parts.
    """
    seeds_HW = _seeds(inside_HW, depth_HW)
    if not seeds_HW.any():
        return seeds_HW
    _, nearest_HW = cv2.distanceTransformWithLabels(
        (seeds_HW == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number_of = np.zeros(int(nearest_HW.max()) + 1, dtype=np.int32)
    number_of[nearest_HW[seeds_HW > 0]] = seeds_HW[seeds_HW > 0]
    return np.where(inside_HW, number_of[nearest_HW], 0)


def _seeds(inside_HW: _Inside, depth_HW: Maps) -> _Numbers:
    first, *deeper = _DEPTHS
    seeds_HW = _components(inside_HW & (depth_HW > first))
    for depth in deeper:
        parts_HW = _components(inside_HW & (depth_HW > depth))
        areas = np.bincount(parts_HW.ravel())
        seed_of = np.zeros(len(areas), dtype=np.int64)
        seed_of[parts_HW] = seeds_HW  # a part lies in one seed
        is_part = (seed_of > 0) & (areas >= _MIN_SHARE * np.bincount(seeds_HW.ravel())[seed_of])
        is_part[0] = False
        is_divided = np.bincount(seed_of[is_part], minlength=int(seeds_HW.max()) + 1) > 1
        stays_HW = (parts_HW > 0) & (is_part & is_divided[seed_of])[parts_HW]
        seeds_HW = np.where(stays_HW, parts_HW + seeds_HW.max(), np.where(is_divided[seeds_HW], 0, seeds_HW))
    # What has no heart at all, a thin or a doubtful thing, is its own seed.
    islands_HW = _components(inside_HW)
    has_seed = np.zeros(int(islands_HW.max()) + 1, dtype=np.bool_)
    has_seed[islands_HW[seeds_HW > 0]] = True
    return np.where((islands_HW > 0) & ~has_seed[islands_HW], islands_HW + seeds_HW.max(), seeds_HW).astype(np.int32)


def _components(inside_HW: _Inside) -> _Numbers:
    return np.asarray(cv2.connectedComponents(inside_HW.astype(np.uint8), connectivity=4)[1], dtype=np.int32)


def _things(numbers_HW: _Numbers) -> Iterator[tuple[_Inside, int, int]]:
    """Yield things, cut out, with their left and top edges."""
    rows, columns = np.nonzero(numbers_HW)
    present, which = np.unique(numbers_HW[rows, columns], return_inverse=True)
    low, high = np.full((2, len(present)), max(numbers_HW.shape)), np.zeros((2, len(present)), dtype=np.int64)
    for axis, at in enumerate((rows, columns)):
        np.minimum.at(low[axis], which, at)
        np.maximum.at(high[axis], which, at + 1)
    for number, (top, left), (bottom, right) in zip(present, low.T.tolist(), high.T.tolist(), strict=True):
        yield numbers_HW[top:bottom, left:right] == number, left, top


def _enlarged(map_HW: Maps) -> Maps:
    height, width = map_HW.shape
    factor = max(1, round(_FINE_SIDE_PX / (height * width) ** 0.5))
    return np.asarray(cv2.resize(map_HW, (width * factor, height * factor), interpolation=cv2.INTER_LINEAR))


def load(folder: Path, device: str) -> InstanceSegmenter:
    """Load a checkpoint for serving."""
    return InstanceSegmenter(folder, device)
