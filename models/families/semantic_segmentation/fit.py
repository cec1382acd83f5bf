"""How does a segmenter learn to paint labels?

A U-Net says for each pixel how likely each label is. Labels that never lie on each other compete for pixels, so that
no pixel gets two; labels that do, are learnt each on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.examples import Example
from models.families.semantic_segmentation.predict import masks
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
from models.regions import Mask, Region

_MEASURED_PX = 1_000_000
"""Pixels of a held-out mask at most: they are kept in the manifest."""

# B batch, N examples, K labels, C channels, H height, W width


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
    """Learn masks; see `models.family.Fit`."""
    check(examples, schema)
    recipe = choose_recipe("semantic_segmentation", examples, schema)
    job = dense.Job(examples, schema, settings, device, report, folder, weights)
    dense.fit(job, recipe, lambda canvas: _Target(canvas, schema))


class _Target:
    def __init__(self, canvas: dense.Canvas, schema: LabelSchema) -> None:
        self._canvas, self._schema = canvas, schema
        width_px, height_px = canvas.width_px, canvas.height_px
        self._shares_NKHW = draw_shares(canvas.examples, schema.names, width_px=width_px, height_px=height_px)
        self._labels = LabelMaps(len(schema.labels), are_exclusive(self._shares_NKHW))

    @property
    def num_outputs(self) -> int:
        return self._labels.num_channels

    def loss(self, maps_BCHW: Tensor, indices: Sequence[int], theta_B23: Tensor) -> Tensor:
        shares = torch.from_numpy(self._shares_NKHW[np.asarray(indices)]).to(maps_BCHW.device)
        return self._labels.loss(maps_BCHW, data.warp(shares.to(torch.float32) / 255, theta_B23))

    def head(self) -> nn.Module:
        return Probabilities(self._labels)

    def regions(self, output_BCHW: dense.Maps, indices: Sequence[int]) -> list[list[Region]]:
        canvas = self._canvas
        sizes = (
            measured_size_px(canvas.examples[index].regions, otherwise=(canvas.width_px, canvas.height_px))
            for index in indices
        )
        return [
            masks(maps_KHW, self._schema, size_px=size_px, is_exclusive=self._labels.is_exclusive)
            for maps_KHW, size_px in zip(output_BCHW, sizes, strict=True)
        ]

    def inputs(self) -> Mapping[str, Any]:
        return {"is_exclusive": self._labels.is_exclusive}

    def tune(self, output_NCHW: dense.Maps, indices: Sequence[int]) -> None:
        """Change nothing: an even chance is where both parts of the loss want the edge of a label to be."""


def measured_size_px(regions: Sequence[Region], *, otherwise: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of the masks to measure: those of the image as it was painted, unless it is very large.

    Args:
        regions: What was painted.
        otherwise: The size where nothing was.

    >>> measured_size_px([Mask("sky", 4000, 3000, (0, 12_000_000))], otherwise=(256, 256))
    (1155, 866)
    """
    sizes = ((mask.width_px, mask.height_px) for mask in regions if isinstance(mask, Mask) and is_drawn(mask))
    width_px, height_px = next(sizes, otherwise)
    scale = min(1.0, (_MEASURED_PX / (width_px * height_px)) ** 0.5)
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))
