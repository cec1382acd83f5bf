"""How are masks written by brushes: bytes that encode the runs of the whole image, see `rle`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from adapters.label_studio.results import rle
from adapters.label_studio.results.sheet import Sheet
from models.images import MAX_PIXELS
from models.regions import Mask, Region


def encode(region: Region, sheet: Sheet) -> dict[str, Any] | None:
    """Return the `value` without labels; None where nothing is inside the mask.

    >>> encode(Mask("a", 1, 1, (0, 1)), Sheet(1, 1))
    {'format': 'rle', 'rle': [0, 0, 0, 4, 57, 27, 252, 127, 224]}
    """
    mask = fitted(region, sheet)
    return {"format": "rle", "rle": rle.encode(mask.runs)} if mask else None


def decode(value: Mapping[str, Any], sheet: Sheet, label: str) -> Mask:
    """Read a `value`.

    Raises:
        ValueError: It is no mask of the image's size, or nothing is inside.
    """
    if value.get("format") != "rle" or not isinstance(value.get("rle"), list):
        raise ValueError("the mask is not in the form rle")
    if not 0 < sheet.width_px * sheet.height_px <= MAX_PIXELS:
        raise ValueError("the size of the image is not given, or is too large")
    runs = rle.decode(value["rle"], sheet.width_px * sheet.height_px)
    if len(runs) < 2:
        raise ValueError("nothing is inside the mask")
    return Mask(label, sheet.width_px, sheet.height_px, runs)


def fitted(region: Region, sheet: Sheet) -> Mask | None:
    """Return a mask at the size of the image, its nearest pixels repeated or left out; None where nothing is inside."""
    if not isinstance(region, Mask) or not any(region.runs[1::2]):
        return None
    if sum(region.runs) != region.width_px * region.height_px:
        return None
    if (region.width_px, region.height_px) == (sheet.width_px, sheet.height_px):
        return region
    rows, columns = (
        ((np.arange(length) + 0.5) * old / length).astype(np.int64)
        for length, old in ((sheet.height_px, region.height_px), (sheet.width_px, region.width_px))
    )
    mask = Mask.from_array(region.label, region.to_array()[:, columns][rows], score=region.score)
    return mask if len(mask.runs) > 1 else None
