"""A family that learns in no time, for tests of what happens around learning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from models.checkpoint import ONNX, WEIGHTS, Manifest, write_manifest
from models.examples import Example, Split
from models.family import FitSettings, Progress, Report
from models.labels import LabelSchema
from models.regions import Choice


@dataclass
class FakeFit:
    """Learns which label is most frequent; says `answers` for held-out items where given, by key."""

    answers: dict[str, str] = field(default_factory=dict)
    during: Callable[[Report], None] | None = None
    num_calls: int = 0
    salt: str = ""
    metrics: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.5})

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
        self.num_calls += 1
        report.progress(Progress("training", 1, 1, 0.5, {"loss": 0.25}))
        if self.during is not None:
            self.during(report)
        [(label, _)] = Counter(e.regions[0].label for e in examples if e.split is Split.TRAIN).most_common(1)
        held_out = {
            e.key: (Choice(self.answers.get(e.key, label), 1.0),) for e in examples if e.split is Split.HELD_OUT
        }
        (folder / ONNX).write_text(f"{label} of {len(examples)} {self.salt}")
        (folder / WEIGHTS).write_text(label)
        write_manifest(
            folder,
            Manifest(
                family="image_classification",
                schema=schema,
                settings=settings,
                inputs={},
                weights_source="none",
                libraries={},
                metrics=self.metrics,
                held_out=held_out,
            ),
        )


def write_image(path: Path, number: int) -> Path:
    """Write a small image whose content depends on the number; return its path."""
    Image.fromarray(np.full((8, 8, 3), number % 256, dtype=np.uint8)).save(path)
    return path
