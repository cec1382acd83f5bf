"""What do masks and outlines teach a network? Truths as maps, the loss, and how fine and how long it must look."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.examples import Example
from models.family import FamilyError
from models.labels import LabelSchema
from models.learning.data import Augmentation
from models.learning.dense import Recipe
from models.outlines import covered, is_whole
from models.regions import Mask, Polygon, Region, bounding_box

_MIN_SIDE_PX = 256
_MAX_SIDE_PX = 448
_NUM_PASSES = 1300
"""See `Recipe`, at the smallest side."""
_THING_PX = 16
"""Side that most things should have on the maps at least, where images are large enough."""
_NUM_LOOKED_AT = 200
"""Examples that decide how large things are."""
_FINER = 2
"""Truths are drawn so much finer than the maps, and averaged: what half a pixel covers counts half."""
_MAX_OVERLAP = 0.02
"""Labels of which a smaller share lies on other labels exclude each other; so much is a matter of the hand."""
_SIDED = ("left", "right")

# B batch, N examples, K labels, C channels, H height, W width


def is_drawn(region: Region) -> bool:
    """Tell whether a region is a mask or a polygon that covers something and can be learnt from."""
    if isinstance(region, Mask):
        return is_whole(region) and any(region.runs[1::2])
    return isinstance(region, Polygon) and len(region.points) >= 3 and bool(np.isfinite(region.points).all())


def check(examples: Sequence[Example], schema: LabelSchema) -> None:
    """Make sure that there is something to learn.

    Raises:
        FamilyError: There are images, and no region covers any part of them.
    """
    regions = [region for example in examples for region in example.regions]
    if examples and not any(region.label in schema.names and is_drawn(region) for region in regions):
        raise FamilyError("Nothing is drawn in any of the labelled images, so there is nothing to learn from.")


def choose_recipe(family: str, examples: Sequence[Example], schema: LabelSchema) -> Recipe:
    """Return how a set is learnt: at a resolution that shows most things, with strong distortions of what is where.

    Colours change little, because they often tell labels apart (measured on photos of nuts: a mean IoU of 0.70 against
    0.60 with changes of 20 %, and 0.50 with tints). Images are mirrored unless labels name a side. Batches are small:
    few images have to make many steps.
    """
    side_px = _choose_side_px(examples)
    is_sided = any(side in name.casefold() for name in schema.names for side in _SIDED)
    return Recipe(
        family=family,
        side_px=side_px,
        num_passes=round(_NUM_PASSES * (_MIN_SIDE_PX / side_px) ** 2),
        augmentation=Augmentation(
            min_area=0.4, rotation=30, shear=0.15, shift=0.05, is_flipped=not is_sided, light=0.08
        ),
        batch_size=4,
        stride=1,
    )


def _choose_side_px(examples: Sequence[Example]) -> int:
    sides = []
    few = examples[:: 1 + len(examples) // _NUM_LOOKED_AT]
    for region in (region for example in few for region in example.regions if is_drawn(region)):
        box = bounding_box(region)
        if box is not None:
            sides.append((box.width * box.height) ** 0.5)
    if not sides:
        return _MIN_SIDE_PX
    return int(np.clip(_THING_PX / max(1e-6, np.quantile(sides, 0.25)), _MIN_SIDE_PX, _MAX_SIDE_PX))


def draw_shares(
    examples: Sequence[Example], names: Sequence[str], *, width_px: int, height_px: int
) -> npt.NDArray[np.uint8]:
    """Return which share of each pixel of a map each label covers, in 255ths, shape (N, K, H, W)."""
    shares_NKHW = np.zeros((len(examples), len(names), height_px, width_px), dtype=np.uint8)

    def draw(n: int) -> None:
        inside: dict[int, npt.NDArray[np.bool_]] = {}
        for region in examples[n].regions:
            if region.label in names and is_drawn(region):
                assert isinstance(region, Mask | Polygon)
                k = names.index(region.label)
                inside_HW = covered(region, width_px * _FINER, height_px * _FINER)
                inside[k] = inside[k] | inside_HW if k in inside else inside_HW
        for k, inside_HW in inside.items():
            levels_HW = inside_HW.astype(np.uint8) * 255
            shares_NKHW[n, k] = cv2.resize(levels_HW, (width_px, height_px), interpolation=cv2.INTER_AREA)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # most of it releases the GIL
        list(pool.map(draw, range(len(examples))))
    return shares_NKHW


def are_exclusive(shares_NKHW: npt.NDArray[np.uint8]) -> bool:
    """Tell whether a pixel has one label at most, save for what little any two drawn outlines overlap."""
    total = twice = 0
    for shares_KHW in shares_NKHW:
        sums_HW = shares_KHW.sum(0, dtype=np.int64)
        total += int(sums_HW.sum())
        twice += int(np.maximum(sums_HW - 255, 0).sum())
    return twice <= _MAX_OVERLAP * total


@dataclass(frozen=True, slots=True)
class LabelMaps:
    """How labels are read from the channels of a network.

    Attributes:
        num_labels: K.
        is_exclusive: Whether a pixel has one label at most. The background then has a channel of its own, the first.
    """

    num_labels: int
    is_exclusive: bool

    @property
    def num_channels(self) -> int:
        """C, of the network's output."""
        return self.num_labels + self.is_exclusive

    def probabilities(self, logits_BCHW: Tensor) -> Tensor:
        """Return the probability of each label, shape (B, K, H, W)."""
        if self.is_exclusive:
            return functional.softmax(logits_BCHW, 1)[:, 1:]
        return logits_BCHW.sigmoid()

    def loss(self, logits_BCHW: Tensor, shares_BKHW: Tensor) -> Tensor:
        """Return cross entropy plus what is missing to a Dice coefficient of one, of the labels that a batch has.

        Source: Milletari, Navab, Ahmadi, "V-Net", 2016, for the second part: it does not let the background win where
        labels are rare or small.

        Args:
            logits_BCHW: What the network says.
            shares_BKHW: What each label covers, in [0, 1].
        """
        if self.is_exclusive:
            shares_BKHW = shares_BKHW / shares_BKHW.sum(1, keepdim=True).clamp(min=1)
            outside_B1HW = 1 - shares_BKHW.sum(1, keepdim=True)
            entropy = functional.cross_entropy(logits_BCHW, torch.cat((outside_B1HW, shares_BKHW), 1))
        else:
            entropy = functional.binary_cross_entropy_with_logits(logits_BCHW, shares_BKHW)
        probabilities_BKHW = self.probabilities(logits_BCHW)
        shared_K = (probabilities_BKHW * shares_BKHW).sum((0, 2, 3))
        true_K = shares_BKHW.sum((0, 2, 3))
        dice_K = (2 * shared_K + 1) / (probabilities_BKHW.sum((0, 2, 3)) + true_K + 1)
        is_there_K = (true_K > 0).to(dice_K.dtype)
        return entropy + ((1 - dice_K) * is_there_K).sum() / is_there_K.sum().clamp(min=1)


class Probabilities(nn.Module):
    """Logits → what `LabelMaps.probabilities` says; further channels become sigmoids."""

    def __init__(self, labels: LabelMaps) -> None:
        super().__init__()
        self._labels = labels

    def forward(self, logits_BCHW: Tensor) -> Tensor:
        """Compute them."""
        num_channels = self._labels.num_channels
        probabilities_BKHW = self._labels.probabilities(logits_BCHW[:, :num_channels])
        return torch.cat((probabilities_BKHW, logits_BCHW[:, num_channels:].sigmoid()), 1)
