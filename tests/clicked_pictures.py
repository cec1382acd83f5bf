"""Pictures of known things: coloured shapes on a noisy ground."""

from __future__ import annotations

import cv2
import numpy as np

from models.images import Image
from models.interactive.window import Inside


def disc(
    *, centre: tuple[int, int] = (160, 110), radius_px: int = 40, size: tuple[int, int] = (320, 240), seed: int = 0
) -> tuple[Image, Inside]:
    """Return a red disc on green, a blue one in a corner, and where the red one is."""
    width, height = size
    truth = np.zeros((height, width), np.uint8)
    cv2.circle(truth, centre, radius_px, 1, -1)
    pixels = np.full((height, width, 3), (40, 140, 60), np.float64)
    cv2.circle(pixels, (30, 30), 22, (40, 60, 190), -1)
    pixels[truth == 1] = (190, 50, 40)
    noise = np.random.default_rng(seed).normal(0, 12, pixels.shape)
    return Image(np.clip(pixels + noise, 0, 255).astype(np.uint8), width, height), truth.astype(bool)


def bar(seed: int = 0) -> tuple[Image, Inside]:
    """Return a slanted red bar on green, and where it is."""
    truth = np.zeros((240, 320), np.uint8)
    cv2.line(truth, (90, 60), (230, 180), 1, 22)
    pixels = np.full((240, 320, 3), (40, 140, 60), np.float64)
    pixels[truth == 1] = (190, 50, 40)
    noise = np.random.default_rng(seed).normal(0, 12, pixels.shape)
    return Image(np.clip(pixels + noise, 0, 255).astype(np.uint8), 320, 240), truth.astype(bool)
