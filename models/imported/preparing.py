"""How does an image become the input of a model that was trained elsewhere, and where are its coordinates then?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.images import Image, resize

# H height, W width


class Fit(StrEnum):
    """How an image gets the size of the input."""

    SQUEEZE = "squeeze"
    """Each side on its own."""
    CENTRE = "centre"
    """Whole, its aspect ratio kept, in the middle; the rest is filled."""
    CORNER = "corner"
    """Likewise, at the top left."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a model wants to see.

    Attributes:
        width_px: Of the input.
        height_px: Of the input.
        fit: See `Fit`.
        is_bgr: Whether blue comes first.
        scale: Pixels from 0 to 255 are multiplied by it,
        mean: then this is subtracted from each channel, in the model's order,
        std: and the result is divided by this.
        fill: Level of what is filled, from 0 to 255.
    """

    width_px: int
    height_px: int
    fit: Fit = Fit.SQUEEZE
    is_bgr: bool = False
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fill: int = 114

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {**asdict(self), "fit": self.fit.value}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        values = dict(stored)
        return cls(**{**values, "fit": Fit(values["fit"]), "mean": tuple(values["mean"]), "std": tuple(values["std"])})

    def prepare(self, image: Image) -> tuple[npt.NDArray[np.float32], Placement]:
        """Return the input, shape (1, 3, height_px, width_px), and where the image lies in it."""
        ratio = min(self.width_px / image.width_px, self.height_px / image.height_px)
        width_px, height_px = self.width_px, self.height_px
        if self.fit is not Fit.SQUEEZE:
            width_px = min(width_px, max(1, round(image.width_px * ratio)))
            height_px = min(height_px, max(1, round(image.height_px * ratio)))
        shares = (self.width_px - width_px, self.height_px - height_px)
        left_px, top_px = (part // 2 if self.fit is Fit.CENTRE else 0 for part in shares)
        canvas = np.full((self.height_px, self.width_px, 3), self.fill, dtype=np.uint8)
        small = resize(image.pixels, width_px=width_px, height_px=height_px)
        canvas[top_px : top_px + height_px, left_px : left_px + width_px] = small
        pixels = canvas[:, :, ::-1] if self.is_bgr else canvas
        mean, std = np.array(self.mean, dtype=np.float32), np.array(self.std, dtype=np.float32)
        scaled = (pixels.astype(np.float32) * np.float32(self.scale) - mean) / std
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None]), Placement(left_px, top_px, width_px, height_px)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies in the input, in the input's pixels."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int

    def to_fractions(self, corners_N4: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Turn left, top, right, bottom in the input's pixels into fractions of the image, cut at its border."""
        offset = np.array([self.left_px, self.top_px] * 2, dtype=np.float32)
        size = np.array([self.width_px, self.height_px] * 2, dtype=np.float32)
        return np.clip((corners_N4 - offset) / size, 0, 1)
