"""What may be said about an item: an objective and its ordered labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class Medium(StrEnum):
    """What an item is."""

    IMAGE = "image"
    TEXT = "text"


class Objective(StrEnum):
    """What a model is asked to find."""

    CLASSIFICATION = "classification"
    """Exactly one label per item."""
    MULTI_LABEL = "multi_label"
    """Any number of labels per item."""
    REGRESSION = "regression"
    """One number per item."""
    DETECTION = "detection"
    """Boxes, perhaps rotated."""
    INSTANCE_SEGMENTATION = "instance_segmentation"
    """Outlines, one for each thing."""
    SEMANTIC_SEGMENTATION = "semantic_segmentation"
    """One mask for each label."""
    KEY_POINTS = "key_points"
    """Points."""
    SPANS = "spans"
    """Parts of a text, which may overlap."""
    CLICK_SEGMENTATION = "click_segmentation"
    """The outline of what an annotator points at, whatever it is."""


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
class Scale:
    """The numbers that REGRESSION may answer with.

    Attributes:
        minimum: Smallest; None: no limit.
        maximum: Largest; None: no limit.
        step: Answers are multiples of it, counted from the minimum (or 0); None: any number.
    """

    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None

    def nearest(self, value: float) -> float:
        """Return the number on the scale that is nearest to a value.

        >>> Scale(1, 5, 1).nearest(3.6), Scale(1, 5, 1).nearest(9.0), Scale().nearest(0.25)
        (4.0, 5.0, 0.25)
        """
        if self.step:
            start = self.minimum or 0.0
            value = start + round((value - start) / self.step) * self.step
        low = -float("inf") if self.minimum is None else self.minimum
        high = float("inf") if self.maximum is None else self.maximum
        return float(min(high, max(low, value)))


@dataclass(frozen=True, slots=True)
class LabelSchema:
    """An objective and its labels, in the order in which people see them. Immutable.

    Attributes:
        objective: What is to be found.
        labels: What it may be called; none for REGRESSION and CLICK_SEGMENTATION.
        medium: In what.
        scale: For REGRESSION.
    """

    objective: Objective
    labels: tuple[Label, ...]
    medium: Medium = Medium.IMAGE
    scale: Scale | None = None

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
        scale = self.scale and {"minimum": self.scale.minimum, "maximum": self.scale.maximum, "step": self.scale.step}
        return {
            "format": 1,
            "objective": self.objective.value,
            "medium": self.medium.value,
            "labels": [{"name": label.name, "synonyms": list(label.synonyms)} for label in self.labels],
            **({"scale": scale} if scale else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        return cls(
            Objective(stored["objective"]),
            tuple(Label(item["name"], tuple(item["synonyms"])) for item in stored["labels"]),
            Medium(stored.get("medium", Medium.IMAGE)),
            Scale(**stored["scale"]) if stored.get("scale") else None,
        )
