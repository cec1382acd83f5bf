"""How do image files become augmented batches of tensors?

Images are decoded once, reduced, and kept as uint8. Augmentation is arithmetic on whole batches, so it uses the cores
(or the GPU) as the network does and needs no worker processes. Every random number is a function of (seed, epoch,
index of the example): a resumed run sees exactly the images that an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from models import images
from models.examples import Example

# B batch, C channels, H height, W width, N examples, D draws


@dataclass(frozen=True, slots=True)
class DecodedImages:
    """The readable ones of some examples, with their pixels.

    Attributes:
        examples: In the order asked for, without those that cannot be read.
        pixels_NHWC: uint8.
    """

    examples: tuple[Example, ...]
    pixels_NHWC: npt.NDArray[np.uint8]


def decode(examples: Sequence[Example], *, side_px: int, log: Callable[[str], None]) -> DecodedImages:
    """Read the images of examples, squeezed to squares of `side_px`; unreadable ones are logged and left out."""

    def read(example: Example) -> npt.NDArray[np.uint8] | str:
        try:
            image = images.read(example.path, min_side_px=side_px)
        except images.BadImage as error:
            return f"{example.key} is skipped: {error}"
        return images.resize(image.pixels, width_px=side_px, height_px=side_px)

    pixels_NHWC = np.empty((len(examples), side_px, side_px, 3), dtype=np.uint8)
    kept: list[Example] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the GIL
        for example, result in zip(examples, pool.map(read, examples), strict=True):
            if isinstance(result, str):
                log(result)
            else:
                pixels_NHWC[len(kept)] = result
                kept.append(example)
    return DecodedImages(tuple(kept), pixels_NHWC[: len(kept)])


def median_side_px(examples: Sequence[Example], *, num_sampled: int = 32) -> int | None:
    """Return the median of the shorter sides of some of the images; None where none can be read."""
    sides: list[int] = []
    step = max(1, len(examples) // num_sampled)
    for example in examples[::step]:
        try:
            image = images.read(example.path, min_side_px=1)
        except images.BadImage:
            continue
        sides.append(min(image.width_px, image.height_px))
    return int(np.median(sides)) if sides else None


def to_tensor(pixels_BHWC: npt.NDArray[np.uint8], *, device: str) -> Tensor:
    """Return float32 of shape (B, C, H, W) in [0, 1]."""
    pixels_BCHW = torch.from_numpy(pixels_BHWC).to(device, non_blocking=True).permute(0, 3, 1, 2)
    return pixels_BCHW.to(torch.float32, memory_format=torch.contiguous_format) / 255


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far training images are distorted.

    Attributes:
        min_area: Smallest share of the image's area that a crop shows.
        rotation: Largest rotation either way, in degrees.
        shear: Largest shear and change of aspect ratio.
        shift: Largest shift either way, as a share of the side.
        is_flipped: Whether half of the images are mirrored left to right.
        light: Largest relative change of brightness, contrast and saturation.
    """

    min_area: float = 1.0
    rotation: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    is_flipped: bool = False
    light: float = 0.0


_NUM_DRAWS = 10


def augment(pixels_BCHW: Tensor, augmentation: Augmentation, draws_BD: Tensor) -> Tensor:
    """Distort a batch in [0, 1]; `draws_BD` are uniform in [0, 1), see `draw`."""
    a = augmentation
    u = (2 * draws_BD - 1).unbind(1)  # each in [-1, 1)
    zoom = 1 - (1 - math.sqrt(a.min_area)) * (u[0] + 1) / 2
    angle = u[1] * math.radians(a.rotation)
    stretch = torch.exp(u[2] * a.shear)
    flip = torch.where(u[3] < 0, -1.0, 1.0) if a.is_flipped else torch.ones_like(u[3])
    slack = 1 - zoom
    rows_BX = torch.stack((zoom * stretch * flip * angle.cos(), -zoom * angle.sin() + u[4] * a.shear / 2), 1)
    rows_BY = torch.stack((zoom * flip * angle.sin(), zoom / stretch * angle.cos()), 1)
    shift_B2 = torch.stack((u[5], u[6]), 1) * (slack + 2 * a.shift)[:, None]
    theta_B23 = torch.cat((torch.stack((rows_BX, rows_BY), 1), shift_B2[:, :, None]), 2)
    grid = functional.affine_grid(theta_B23, list(pixels_BCHW.shape), align_corners=False)
    result = functional.grid_sample(pixels_BCHW, grid, padding_mode="reflection", align_corners=False)
    if a.light:
        result = _relight(result, a.light * torch.stack(u[7:10], 1)[:, :, None, None, None])
    return result


def _relight(pixels_BCHW: Tensor, change_B3: Tensor) -> Tensor:
    brightness, contrast, saturation = (1 + change_B3).unbind(1)
    grey = pixels_BCHW.mean(1, keepdim=True)
    saturated = grey + (pixels_BCHW - grey) * saturation
    mean = grey.mean((2, 3), keepdim=True)
    return ((mean + (saturated - mean) * contrast) * brightness).clamp(0, 1)


def draw(seed: int, epoch: int, indices: Sequence[int], *, device: str) -> Tensor:
    """Return uniform numbers in [0, 1), shape (B, D), that depend on (seed, epoch, index) alone."""
    rows = [np.random.default_rng((seed, epoch, index)).random(_NUM_DRAWS) for index in indices]
    return torch.from_numpy(np.stack(rows).astype(np.float32)).to(device)
