"""How good are key points learnt from few labels? Run by `make bench`.

Prints one table: for each data set a reference, the figures on its test part, how long fitting and predicting took, and
the learning curve. As in a project, a fifth of the labelled images is held out, decides what is answered, and is learnt
from in the end. Distances are shares of the image's longer side in pixels (PCK of the image) or of the longer side of
the box around its true points (of the extent). Data sets are read from the folder in TANDEM_TEST_DATA (../shared/data
by default); pretrained weights, for further rows, from the folder in TANDEM_TEST_WEIGHTS.
"""

# ruff: noqa: T201 (it prints its result)

from __future__ import annotations

import csv
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from models import catalog, images
from models.examples import Example, Split
from models.family import FitSettings, Progress
from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.regions import KeyPoint, Region

CURVE = (10, 20)
"""Numbers of labelled images, besides all of them."""
_HELD_OUT_EVERY = 5


@dataclass(frozen=True)
class DataSet:
    """A task with a known difficulty."""

    name: str
    train: list[Example]
    test: list[Example]
    reference: str


class Silence:
    """A report to nobody."""

    def progress(self, progress: Progress) -> None:
        """Ignore it."""

    def log(self, line: str) -> None:
        """Ignore it."""


def main() -> None:
    """Print the table."""
    data = Path(os.environ.get("TANDEM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    places = [None, *(Path(place) for place in [os.environ.get("TANDEM_TEST_WEIGHTS")] if place)]
    print(f"{'data set':10} {'weights':10} {'train/test':>10}  {'reference':30} figures")
    for data_set in mouse(data / "kp_mouse"):
        for weights in places:
            for size in (len(data_set.train), *(size for size in CURVE if size < len(data_set.train))):
                source = "none" if weights is None else "pretrained"
                what = f"{data_set.name:10} {source:10} {f'{size}/{len(data_set.test)}':>10}  {data_set.reference:30}"
                metrics, fit_s, image_ms = measure(spread(data_set.train, size), data_set.test, weights=weights)
                print(f"{what} {describe(metrics)}, fit {fit_s:.0f} s, {image_ms:.0f} ms/image", flush=True)


def describe(metrics: dict[str, Any]) -> str:
    """Return the figures that matter on one line."""
    names = ("image_pck@0.05", "extent_pck@0.05", "pck@0.1", "precision", "oks")
    return ", ".join(f"{name} {metrics[name]:.3f}" for name in names)


def measure(
    train: Sequence[Example], test: Sequence[Example], *, weights: Path | None = None
) -> tuple[dict[str, Any], float, float]:
    """Return the figures on the test part, seconds to fit, and milliseconds to predict one decoded image."""
    names = sorted({region.label for example in (*train, *test) for region in example.regions})
    schema = LabelSchema(Objective.KEY_POINTS, tuple(map(Label, names)))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        fit = catalog.fitter("key_points")
        fit(train, schema, FitSettings(), device="cpu", report=Silence(), folder=Path(folder), weights=weights)
        fit_s = time.perf_counter() - start
        predictor = catalog.predictor_loader("key_points")(Path(folder), "cpu")
    pictures = [images.read(example.path, min_side_px=predictor.min_side_px) for example in test]
    start = time.perf_counter()
    answers = predictor.predict(pictures)
    image_ms = (time.perf_counter() - start) / len(test) * 1000
    truths = {example.key: example.regions for example in test}
    predictions = {example.key: answer for example, answer in zip(test, answers, strict=True)}
    metrics = dict(evaluate(schema, truths, predictions).metrics)
    sizes_px = {example.key: (image.width_px, image.height_px) for example, image in zip(test, pictures, strict=True)}
    squared = [in_squares(regions, sizes_px) for regions in (truths, predictions)]
    metrics["image_pck@0.05"] = evaluate(schema, squared[0], squared[1]).primary
    return metrics, fit_s, image_ms


def in_squares(
    regions: Mapping[str, Sequence[Region]], sizes_px: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[Region, ...]]:
    """Give points as shares of the image's longer side."""
    squared: dict[str, tuple[Region, ...]] = {}
    for key, points in regions.items():
        across, down = (side_px / max(sizes_px[key]) for side_px in sizes_px[key])
        squared[key] = tuple(
            replace(point, x=point.x * across, y=point.y * down) for point in points if isinstance(point, KeyPoint)
        )
    return squared


def spread(examples: Sequence[Example], size: int) -> list[Example]:
    """Take a number of examples, the same ones every time, and hold some of them out."""
    chosen = np.random.default_rng(0).permutation(len(examples))[:size]
    held_out = set(chosen[::_HELD_OUT_EVERY].tolist())
    return [
        replace(examples[index], split=Split.HELD_OUT if index in held_out else Split.TRAIN)
        for index in sorted(chosen.tolist())
    ]


def mouse(folder: Path) -> Iterator[DataSet]:
    """Read frames of a mouse seen from the side and from below, 396 by 406 pixels; by path, the first 50 are learnt."""
    if not folder.is_dir():
        print(f"kp_mouse: skipped, {folder} is absent")
        return
    examples = sorted(read_deep_lab_cut(folder / "CollectedData.csv"), key=lambda example: example.key)
    yield DataSet("kp_mouse", examples[:50], examples[50:], "PCK@0.05 0.900 U-Net heat maps")


def read_deep_lab_cut(path: Path) -> Iterator[Example]:
    """Read a table of DeepLabCut: three header rows, then a path and x, y in pixels for each label, empty if hidden."""
    with path.open(newline="", encoding="utf-8") as file:
        _, labels, _, *rows = csv.reader(file)
    for name, *places in rows:
        with PillowImage.open(path.parent / name) as opened:
            width_px, height_px = opened.size
        points = tuple(
            KeyPoint(label, float(x) / width_px, float(y) / height_px)
            for label, x, y in zip(labels[1::2], places[::2], places[1::2], strict=True)
            if x and y
        )
        yield Example(name, path.parent / name, points, Split.TRAIN)


if __name__ == "__main__":
    main()
