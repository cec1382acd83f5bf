"""An item with the regions a person drew on it: what a family learns from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from models.regions import Box, Region


class Split(StrEnum):
    """What an example may be used for."""

    TRAIN = "train"
    HELD_OUT = "held_out"
    """Only for measuring, never for choosing weights that are then measured on it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled item.

    Attributes:
        key: Stable name of the item within its project; the same item keeps it from run to run.
        path: The file: an image, or UTF-8 text.
        regions: What people said, in agreement: for CLASSIFICATION exactly one Choice, for MULTI_LABEL any number, for
            REGRESSION one Number, else any number of the objective's regions; none says that there is nothing.
        split: Train or held out.
        part: What of the image it is about, see `models.images.read_part`; None: all of it. Regions have no part then.
    """

    key: str
    path: Path
    regions: tuple[Region, ...]
    split: Split
    part: Box | None = None
