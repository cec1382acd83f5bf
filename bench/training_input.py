"""How much of a training's time is spent on getting images ready? Boxes on photos, a few epochs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import samples
from bench.report import Finding, show
from models import catalog
from models.examples import Example, Split
from models.family import FitSettings, Progress
from models.labels import Label, LabelSchema, Objective
from models.learning import data, dense
from models.regions import Box

_NUM_PHOTOS = 96
_NUM_EPOCHS = 4
_STAGE = "evaluating"


class _Clock:
    """Adds up what calls take, and notes when the training proper begins and ends."""

    def __init__(self) -> None:
        self.input_s = 0.0
        self.began: tuple[float, float] | None = None
        self.ended: tuple[float, float] | None = None

    def watch(self, owner: Any, name: str) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            self.began = self.began or _now()
            start = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                self.input_s += time.perf_counter() - start

        setattr(owner, name, timed)

    def progress(self, progress: Progress) -> None:
        """See `models.family.Report`."""
        if progress.stage == _STAGE and progress.epoch == progress.num_epochs:
            self.ended = _now()

    def log(self, line: str) -> None:
        """See `models.family.Report`."""


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def main() -> None:
    """Print the table."""
    clock = _Clock()
    fit = catalog.fitter("object_detection")
    for owner, name in (
        (data, "draw"),
        (data, "draw_warp"),
        (data, "warp"),
        (data, "relight"),
        (dense.Canvas, "pixels"),
    ):
        clock.watch(owner, name)
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as scratch:
        examples = _examples(Path(scratch))
        schema = LabelSchema(Objective.DETECTION, tuple(map(Label, samples.PHOTO_KINDS)))
        fit(
            examples,
            schema,
            FitSettings(max_epochs=_NUM_EPOCHS),
            device="cpu",
            report=clock,
            folder=Path(scratch) / "run",
            weights=None,
        )
    assert clock.began is not None
    assert clock.ended is not None
    wall_s, cpu_s = (after - before for before, after in zip(clock.began, clock.ended, strict=True))
    cores = len(os.sched_getaffinity(0))
    show(
        f"Training on {len(examples)} photos, boxes, {_NUM_EPOCHS} epochs",
        [
            Finding(
                "getting batches ready (pixels, warp, light), of the training's time", f"{clock.input_s / wall_s:.1%}"
            ),
            Finding("of the cores, busy meanwhile", f"{cpu_s / wall_s / cores:.0%}"),
            Finding("an epoch", f"{wall_s / _NUM_EPOCHS:.1f} s"),
        ],
        "Images are decoded once, before; a batch is made by the cores that train on it, so nothing waits for a disk.",
    )


def _examples(folder: Path) -> list[Example]:
    made = []
    for number, photo in enumerate(samples.photos()[:_NUM_PHOTOS]):
        path = folder / f"{number}.jpg"
        path.write_bytes(photo.content)
        box = Box(photo.label, 0.5, 0.5, 0.6, 0.6)
        made.append(Example(f"{number:03}", path, (box,), Split.TRAIN))
    return made


if __name__ == "__main__":
    main()
