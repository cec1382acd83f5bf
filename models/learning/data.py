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


def decode(examples: Sequence[Example], *, width_px: int, height_px: int, log: Callable[[str], None]) -> DecodedImages:
    """Read the images of examples, squeezed to one size; unreadable ones are logged and left out."""

    def read(example: Example) -> npt.NDArray[np.uint8] | str:
        try:
            image = images.read_part(example.path, example.part, min_side_px=max(width_px, height_px))
        except images.BadImage as error:
            return f"{example.key} is skipped: {error}"
        return images.resize(image.pixels, width_px=width_px, height_px=height_px)

    pixels_NHWC = np.empty((len(examples), height_px, width_px, 3), dtype=np.uint8)
    kept: list[Example] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the GIL
        for example, result in zip(examples, pool.map(read, examples), strict=True):
            if isinstance(result, str):
                log(result)
            else:
                pixels_NHWC[len(kept)] = result
                kept.append(example)
    return DecodedImages(tuple(kept), pixels_NHWC[: len(kept)])


def median_size_px(examples: Sequence[Example], *, num_sampled: int = 32) -> tuple[int, int] | None:
    """Return the medians of widths and of heights of some of the images; None where none can be read."""
    sizes: list[tuple[int, int]] = []
    step = max(1, len(examples) // num_sampled)
    for example in examples[::step]:
        try:
            image = images.read_part(example.path, example.part, min_side_px=1)
        except images.BadImage:
            continue
        sizes.append((image.width_px, image.height_px))
    return (int(np.median([w for w, _ in sizes])), int(np.median([h for _, h in sizes]))) if sizes else None


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
    warped_BCHW = warp(pixels_BCHW, draw_warp(augmentation, draws_BD))
    return relight(warped_BCHW, augmentation, draws_BD)


def draw_warp(augmentation: Augmentation, draws_BD: Tensor) -> Tensor:
    """Return affine maps from distorted to original coordinates, shape (B, 2, 3); both in [-1, 1], x before y."""
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
    return torch.cat((torch.stack((rows_BX, rows_BY), 1), shift_B2[:, :, None]), 2)


def warp(maps_BCHW: Tensor, theta_B23: Tensor, *, mode: str = "bilinear", padding: str = "reflection") -> Tensor:
    """Move pixels, or maps such as masks (`mode="nearest"`), along affine maps; see `draw_warp`."""
    grid_BHW2 = functional.affine_grid(theta_B23, list(maps_BCHW.shape), align_corners=False)
    warped_BCHW: Tensor = functional.grid_sample(
        maps_BCHW, grid_BHW2, mode=mode, padding_mode=padding, align_corners=False
    )
    return warped_BCHW


def warp_points(points_BN2: Tensor, theta_B23: Tensor) -> Tensor:
    """Move points, as fractions of the image (x before y), along with the pixels that `warp` moves."""
    moved_BN2 = 2 * points_BN2 - 1 - theta_B23[:, None, :, 2]
    warped_BN2: Tensor = (torch.linalg.solve(theta_B23[:, None, :, :2], moved_BN2[..., None])[..., 0] + 1) / 2
    return warped_BN2


def relight(pixels_BCHW: Tensor, augmentation: Augmentation, draws_BD: Tensor) -> Tensor:
    """Change brightness, contrast and saturation of a batch in [0, 1]."""
    if not augmentation.light:
        return pixels_BCHW
    change_3B = augmentation.light * (2 * draws_BD[:, 7:10] - 1).T[:, :, None, None, None]
    brightness, contrast, saturation = (1 + change_3B).unbind(0)
    grey = pixels_BCHW.mean(1, keepdim=True)
    saturated = grey + (pixels_BCHW - grey) * saturation
    mean = grey.mean((2, 3), keepdim=True)
    return ((mean + (saturated - mean) * contrast) * brightness).clamp(0, 1)


def draw(seed: int, epoch: int, indices: Sequence[int], *, device: str) -> Tensor:
    """Return uniform numbers in [0, 1), shape (B, D), that depend on (seed, epoch, index) alone."""
    rows = [np.random.default_rng((seed, epoch, index)).random(_NUM_DRAWS) for index in indices]
    return torch.from_numpy(np.stack(rows).astype(np.float32)).to(device)
