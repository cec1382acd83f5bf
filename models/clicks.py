"""What an annotator points at, and what a click segmenter must do."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.images import Image
from models.regions import Box, Mask, Point


@dataclass(frozen=True, slots=True)
class Prompts:
    """What an annotator points at; all of it is about one thing.

    Attributes:
        inside: Points in the thing, as fractions of the image, oldest first.
        outside: Points that are not in it.
        boxes: Boxes around it, perhaps rotated.
        masks: Strokes over it: parts of it, at the size of the image.
    """

    inside: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()
    boxes: tuple[Box, ...] = ()
    masks: tuple[Mask, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is pointed at."""
        return not (self.inside or self.boxes or self.masks)


@dataclass(frozen=True, slots=True)
class Segment:
    """A thing that was pointed at.

    Attributes:
        inside_HW: True inside, at a resolution that the segmenter chooses.
        left, top, right, bottom: Which part of the image `inside_HW` covers, as fractions.
        score: How good it is believed to be (IoU), in [0, 1].
    """

    inside_HW: npt.NDArray[np.bool_]
    left: float
    top: float
    right: float
    bottom: float
    score: float


class Encoded(Protocol):
    """What a segmenter makes of an image once, before the first click."""

    @property
    def num_bytes(self) -> int:
        """About how much memory it holds."""


class ClickSegmenter(Protocol):
    """Answers clicks, boxes and strokes. Safe to call from several threads."""

    @property
    def key(self) -> Hashable:
        """Names the segmenter and its weights: what is encoded by one is of no use to another."""

    @property
    def num_bytes(self) -> int:
        """About how much memory it holds."""

    def encode(self, image: Image) -> Encoded:
        """Prepare an image, once; `segment` needs nothing else of it."""

    def segment(self, encoded: Encoded, prompts: Prompts) -> Segment | None:
        """Return the thing pointed at; None where nothing is found. The prompts are not empty."""
