"""How are masks written by bitmasks: a PNG of the image's size as a data URL, opaque inside, transparent outside."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from adapters.label_studio.results.brush import fitted
from adapters.label_studio.results.sheet import Sheet
from models.images import BadImage, read_alpha, write_alpha_png
from models.regions import Mask, Region

_PREFIX = "data:image/png;base64,"


def encode(region: Region, sheet: Sheet) -> dict[str, Any] | None:
    """Return the `value` without labels; None where nothing is inside the mask."""
    mask = fitted(region, sheet)
    if mask is None:
        return None
    # the editor takes a region with a single key for a classification, so a nameless one needs a second key
    return {"format": "png", "imageDataURL": _PREFIX + b64encode(write_alpha_png(mask.to_array())).decode()}


def decode(value: Mapping[str, Any], sheet: Sheet, label: str) -> Mask:
    """Read a `value`.

    Raises:
        ValueError: It is no mask of the image's size, or nothing is inside.
    """
    url = value.get("imageDataURL")
    if not isinstance(url, str) or not url.startswith(_PREFIX):
        raise ValueError("the mask is not a PNG in a data URL")
    try:
        inside = read_alpha(b64decode(url[len(_PREFIX) :], validate=True))
    except (binascii.Error, BadImage) as error:
        raise ValueError("the PNG of the mask cannot be read") from error
    if sheet.width_px and inside.shape != (sheet.height_px, sheet.width_px):
        raise ValueError("the mask has another size than the image")
    mask = Mask.from_array(label, inside)
    if len(mask.runs) < 2:
        raise ValueError("nothing is inside the mask")
    return mask
