"""Which module writes and reads the items of which control tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from adapters.label_studio.results import (
    bitmask,
    brush,
    choices,
    ellipse,
    keypoint,
    labels,
    number,
    polygon,
    rating,
    rectangle,
    taxonomy,
)
from adapters.label_studio.results.sheet import Sheet
from models.regions import Region


class Answers(Protocol):
    """The `value` of a question's items: one item for all that is answered."""

    def encode(self, regions: Sequence[Region]) -> dict[str, Any]:
        """Return the `value`; there is at least one region."""

    def decode(self, value: Mapping[str, Any]) -> list[Region]:
        """Read a `value`, which anybody may have written; what makes no sense is left out."""


class Shape(Protocol):
    """The `value` of drawn regions' items, without labels: one item for each region."""

    def encode(self, region: Region, sheet: Sheet) -> dict[str, Any] | None:
        """Return the `value`, or None where nothing of the region can be shown."""

    def decode(self, value: Mapping[str, Any], sheet: Sheet, label: str) -> Region:
        """Read a `value`, which anybody may have written.

        Raises:
            ValueError: It makes no sense; the message says why.
        """


ANSWERS: Mapping[str, Answers] = MappingProxyType(
    {"choices": choices, "taxonomy": taxonomy, "rating": rating, "number": number}
)
"""By control tag, as in `Binding.control_tag`."""

_SHAPES: Mapping[str, Shape] = {
    "rectangle": rectangle,
    "ellipse": ellipse,
    "polygon": polygon,
    "brush": brush,
    "bitmask": bitmask,
    "keypoint": keypoint,
}

SHAPES: Mapping[str, Shape] = MappingProxyType(
    {"labels": labels, **_SHAPES, **{f"{tag}labels": shape for tag, shape in _SHAPES.items()}}
)
"""By control tag, as in `Binding.control_tag`."""
