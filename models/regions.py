"""What is said about a part of an item, or about all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A label for the whole item.

    Attributes:
        label: A name of the schema.
        score: How sure the model is, in [0, 1]; None where a person said it.
    """

    label: str
    score: float | None = None


Region = Choice
"""Every kind of region; a union as soon as there is a second kind."""


def to_json(regions: Iterable[Region]) -> list[dict[str, Any]]:
    """Return the stored form of regions."""
    return [{"kind": "choice", "label": region.label, "score": region.score} for region in regions]


def from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[Region, ...]:
    """Read the stored form of regions.

    Raises:
        ValueError: For a kind this release does not know.
    """
    for item in stored:
        if item["kind"] != "choice":
            raise ValueError(f"region kind {item['kind']!r} is not known to this release")
    return tuple(Choice(item["label"], item["score"]) for item in stored)
