"""What a model family must do: `fit` in families/<name>/fit.py (torch), `load` in families/<name>/predict.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from models.examples import Example
from models.labels import LabelSchema, Medium, Objective
from models.regions import Region

ARCHITECTURES = ("resnet18", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny")
"""Backbones whose pretrained weights are looked for where none is named, best first for small sets on a CPU."""


class FamilyError(Exception):
    """A family cannot do what it was asked; the message is a sentence for the person who labels."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How to fit; everything that, with the examples, decides the weights.

    Attributes:
        seed: Of every random choice.
        max_epochs: Upper bound of epochs; None lets the family choose.
        backbone: Name of a torchvision architecture, or "auto".
        image_px: Side of the square that the network sees; None lets the family choose.
        time_limit_s: The family plans to finish within about this time on the machine it runs on; None: no limit.
        is_pretrained: Whether it begins with weights that were trained on other images, where there are any.
    """

    seed: int = 0
    max_epochs: int | None = None
    backbone: str = "auto"
    image_px: int | None = None
    time_limit_s: float | None = None
    is_pretrained: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fit is.

    Attributes:
        stage: What is being done, for people: "evaluating", "training on all labels", "exporting" …
        epoch: Epochs finished in this stage.
        num_epochs: Epochs planned in this stage.
        fraction: Of the whole fit, in [0, 1]; never decreases.
        metrics: The newest values, such as loss, val_loss, val_accuracy.
    """

    stage: str
    epoch: int
    num_epochs: int
    fraction: float
    metrics: Mapping[str, float] = field(default_factory=dict)


class Report(Protocol):
    """Where a fit tells how it is going. Either call may raise to stop the fit."""

    def progress(self, progress: Progress) -> None:
        """Say how far the fit is; cheap enough to be called after every step."""

    def log(self, line: str) -> None:
        """Add one line to the run's log."""


class Predictor(Protocol):
    """A loaded model: contents in, regions out. Safe to call from several threads."""

    @property
    def schema(self) -> LabelSchema:
        """The labels it was trained with."""

    @property
    def num_bytes(self) -> int:
        """About how much memory it holds."""

    @property
    def min_side_px(self) -> int | None:
        """Images may be handed over reduced to this shorter side (see `models.images.read`); None: whole images."""

    def predict(self, contents: Sequence[Any], /) -> list[list[Region]]:
        """Return the regions of each item, best first, each with a score; len(result) == len(contents).

        Args:
            contents: Of the medium of the schema: `models.images.Image` for IMAGE, `str` for TEXT.
        """


class Fit(Protocol):
    """The training half of a family."""

    def __call__(
        self,
        examples: Sequence[Example],
        schema: LabelSchema,
        settings: FitSettings,
        *,
        device: str,
        report: Report,
        folder: Path,
        weights: Path | None,
    ) -> None:
        """Learn from the examples and leave a checkpoint in `folder` (see `models.checkpoint`).

        Called again with the same arguments and folder after its process was killed, it goes on from its last epoch.

        Args:
            examples: Both splits.
            schema: The labels to tell apart.
            settings: See `FitSettings`.
            device: "cpu" or "cuda".
            report: Where to tell how it is going.
            folder: Belongs to this run; partial state goes there too.
            weights: Folder with pretrained weights, if there is one.

        Raises:
            FamilyError: The examples cannot be learnt from; the message says what is missing.
        """


@dataclass(frozen=True, slots=True)
class Family:
    """One line of the catalogue.

    Attributes:
        name: Folder under models/families.
        objectives: What it can learn; none for a family that only serves models made elsewhere.
        summary: One sentence for people.
        medium: What it looks at.
        settings: Defaults.
    """

    name: str
    objectives: frozenset[Objective]
    summary: str
    medium: Medium = Medium.IMAGE
    settings: FitSettings = FitSettings()
