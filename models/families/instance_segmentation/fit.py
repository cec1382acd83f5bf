"""How does a segmenter learn to outline things?

A U-Net says for each pixel how likely each label is, and how deep in its thing the pixel lies: that is what tells
things apart that touch. See predict.py for how outlines are read from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.examples import Example
from models.families.instance_segmentation.predict import polygons
from models.family import FitSettings, Report
from models.labels import LabelSchema
from models.learning import data, dense
from models.learning.segmentation import (
    LabelMaps,
    Probabilities,
    are_exclusive,
    check,
    choose_recipe,
    draw_shares,
    is_drawn,
)
from models.outlines import fill
from models.regions import Polygon, Region

_FINER = 2
"""Depths are measured on a raster that is so much finer than the maps."""
_SMALLER, _LARGER = 0.25, 3.0
"""How much smaller or larger than all drawn things (but for a few small ones) a thing may be."""

# B batch, N examples, K labels, G groups, C channels, H height, W width


def fit(
    examples: Sequence[Example],
    schema: LabelSchema,
    settings: FitSettings,
    *,
    device: str,
    report: Report,
    folder: Path,
    weights: Path | None,
) -> None:
    """Learn outlines; see `models.family.Fit`."""
    check(examples, schema)
    recipe = choose_recipe("instance_segmentation", examples, schema)
    job = dense.Job(examples, schema, settings, device, report, folder, weights)
    dense.fit(job, recipe, lambda canvas: _Target(canvas, schema))


class _Target:
    def __init__(self, canvas: dense.Canvas, schema: LabelSchema) -> None:
        self._schema = schema
        width_px, height_px = canvas.width_px, canvas.height_px
        self._shares_NKHW = draw_shares(canvas.examples, schema.names, width_px=width_px, height_px=height_px)
        self._labels = LabelMaps(len(schema.labels), are_exclusive(self._shares_NKHW))
        everything = list(range(len(schema.labels)))
        self._groups = [everything] if self._labels.is_exclusive else [[k] for k in everything]
        areas: list[float] = []
        self._depths_NGHW = np.zeros((len(canvas.examples), len(self._groups), height_px, width_px), dtype=np.uint8)
        for n, example in enumerate(canvas.examples):
            for g, labels in enumerate(self._groups):
                names = {schema.names[k] for k in labels}
                drawn = [r for r in example.regions if isinstance(r, Polygon) and r.label in names and is_drawn(r)]
                self._depths_NGHW[n, g], sizes = draw_depths(drawn, width_px=width_px, height_px=height_px)
                areas += sizes
        self._areas = (float(np.quantile(areas, 0.02)) * _SMALLER, max(areas) * _LARGER) if areas else (0.0, 1.0)

    @property
    def num_outputs(self) -> int:
        return self._labels.num_channels + len(self._groups)

    def loss(self, maps_BCHW: Tensor, indices: Sequence[int], theta_B23: Tensor) -> Tensor:
        at = np.asarray(indices)
        both = np.concatenate((self._shares_NKHW[at], self._depths_NGHW[at]), 1)
        warped = data.warp(torch.from_numpy(both).to(maps_BCHW.device, torch.float32) / 255, theta_B23)
        num_labels, num_channels = self._labels.num_labels, self._labels.num_channels
        shares_BKHW, depths_BGHW = warped[:, :num_labels], warped[:, num_labels:]
        entropy_BGHW = functional.binary_cross_entropy_with_logits(
            maps_BCHW[:, num_channels:], depths_BGHW, reduction="none"
        )
        # Where there is no thing, depth is easy, and there is much of it.
        weights_BGHW = 0.2 + torch.cat(
            [shares_BKHW[:, labels].sum(1, keepdim=True).clamp(max=1) for labels in self._groups], 1
        )
        depth_loss = (entropy_BGHW * weights_BGHW).sum() / weights_BGHW.sum()
        return self._labels.loss(maps_BCHW[:, :num_channels], shares_BKHW) + depth_loss

    def head(self) -> nn.Module:
        return Probabilities(self._labels)

    def regions(self, output_BCHW: dense.Maps, indices: Sequence[int]) -> list[list[Region]]:
        return [polygons(maps_CHW, self._schema, groups=self._groups, areas=self._areas) for maps_CHW in output_BCHW]

    def inputs(self) -> Mapping[str, Any]:
        return {"groups": self._groups, "areas": self._areas}

    def tune(self, output_NCHW: dense.Maps, indices: Sequence[int]) -> None:
        """Change nothing: an even chance is where the loss wants the edge of a thing to be."""


def draw_depths(
    drawn: Sequence[Polygon], *, width_px: int, height_px: int
) -> tuple[npt.NDArray[np.uint8], list[float]]:
    """Return how deep in its thing each pixel of a map lies, and what share of the image each thing covers.

    Depth is the distance to the edge of the thing, by the largest one in it, in 255ths, shape (H, W); 0 outside. Of
    things that lie on each other the smaller one is taken to be in front.
    """
    size_px = (width_px * _FINER, height_px * _FINER)
    areas = [float(fill(polygon.points, *size_px).mean()) for polygon in drawn]
    order = [at for at in np.argsort(areas)[::-1] if areas[at]]
    numbers_HW = np.zeros((size_px[1], size_px[0]), dtype=np.int32)
    for at in order:
        numbers_HW[fill(drawn[at].points, *size_px)] = at + 1
    depth_HW = np.zeros(numbers_HW.shape, dtype=np.float32)
    for at in order:
        points_N2 = np.asarray(drawn[at].points) * size_px
        left, top = np.maximum(np.floor(points_N2.min(0)).astype(int) - 1, 0)
        right, bottom = np.ceil(points_N2.max(0)).astype(int) + 1
        visible_HW = numbers_HW[top:bottom, left:right] == at + 1
        distance_HW = cv2.distanceTransform(np.pad(visible_HW, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        deepest = max(1.0, float(distance_HW.max()))
        depth_HW[top:bottom, left:right] += np.asarray(distance_HW / deepest, dtype=np.float32)
    reduced_HW = cv2.resize(depth_HW, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return np.rint(reduced_HW * 255).astype(np.uint8), [areas[at] for at in order]
