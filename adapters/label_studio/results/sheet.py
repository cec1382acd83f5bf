"""What regions of Label Studio's result items lie on, and how their numbers are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a region lies on.

    Attributes:
        width_px: Of the image as a browser shows it, EXIF orientation applied; 0 where it is not known, or no image.
        height_px: Likewise.
        text: Of a text.
    """

    width_px: int = 0
    height_px: int = 0
    text: str | None = None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Self:
        """Read the size that stands beside a result item's `value`."""
        sides = (item.get("original_width"), item.get("original_height"))
        width_px, height_px = (
            int(side) if isinstance(side, int | float) and math.isfinite(side) and side >= 1 else 0 for side in sides
        )
        return cls(width_px, height_px) if width_px and height_px else cls()

    @property
    def aspect(self) -> float:
        """Width / height.

        Raises:
            ValueError: The size is not known.
        """
        if not self.width_px:
            raise ValueError("the size of the image is not given")
        return self.width_px / self.height_px


def read_number(value: Mapping[str, Any], key: str) -> float:
    """Return a finite number.

    Raises:
        ValueError: There is none under the key.
    """
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise ValueError(f"{key} is not a number")
    return float(found)


def percent(fraction: float) -> float:
    """Return a fraction in percent, kept in 0..100 against rounding; 0.07 * 100 is more than 7.

    >>> percent(0.25), percent(1.0000000001)
    (25.0, 100.0)
    """
    return min(100.0, max(0.0, float(fraction) * 100.0))
