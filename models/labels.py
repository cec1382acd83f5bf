"""What may be said about an item: an objective and its ordered labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class Objective(StrEnum):
    """What a model is asked to find."""

    CLASSIFICATION = "classification"
    """Exactly one label per image."""
    MULTI_LABEL = "multi_label"
    """Any number of labels per image."""


@dataclass(frozen=True, slots=True)
class Label:
    """One answer a person can give.

    Attributes:
        name: As it is written in annotations and predictions.
        synonyms: Other names under which a model may know it, best first.
    """

    name: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelSchema:
    """An objective and its labels, in the order in which people see them. Immutable."""

    objective: Objective
    labels: tuple[Label, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The label names, in order."""
        return tuple(label.name for label in self.labels)

    def match(self, name: str) -> str | None:
        """Translate a model's label into this schema's, or None where no label fits.

        A label's synonyms are tried first, then the exact name, then the name without regard to case.

        >>> schema = LabelSchema(Objective.CLASSIFICATION, (Label("Cat", ("tabby",)), Label("Dog")))
        >>> schema.match("tabby"), schema.match("dog"), schema.match("fish")
        ('Cat', 'Dog', None)
        """
        for label in self.labels:
            if name in label.synonyms:
                return label.name
        if name in self.names:
            return name
        folded = name.casefold()
        for label in self.labels:
            if folded == label.name.casefold() or folded in {other.casefold() for other in label.synonyms}:
                return label.name
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "format": 1,
            "objective": self.objective.value,
            "labels": [{"name": label.name, "synonyms": list(label.synonyms)} for label in self.labels],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        labels = tuple(Label(item["name"], tuple(item["synonyms"])) for item in stored["labels"])
        return cls(Objective(stored["objective"]), labels)
