"""How good are detectors trained from few labels? Run by `make bench`.

Prints one table: for each data set a reference, the figures on its test part, how long fitting and predicting took, and
the learning curve; then the same with pretrained weights, if there are any. Data sets are read from the folder in
TANDEM_TEST_DATA (../shared/data by default), pretrained weights from the one in TANDEM_TEST_WEIGHTS.
"""

# ruff: noqa: T201 (it prints its result)

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np

from bench import quality_segmentation
from bench.quality_segmentation import CURVE, DataSet, Silence, spread
from models import catalog, checkpoint, images
from models.examples import Example, Split
from models.family import FitSettings
from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.regions import Box, Polygon, bounding_box

_NUM_TRAIN = 120
"""Of det_bccd, in the order of its own list."""


@dataclass(frozen=True)
class Measured:
    """What came of one fit.

    Attributes:
        metrics: On the test part.
        fit_s: Seconds to fit.
        image_ms: Milliseconds to predict one decoded image.
        weights_source: Where the first weights were from.
    """

    metrics: dict[str, Any]
    fit_s: float
    image_ms: float
    weights_source: str

    def __str__(self) -> str:
        names = ("map_50", "map_50_95", "precision", "recall")
        figures = ", ".join(f"{name} {self.metrics[name]:.3f}" for name in names)
        return f"{figures}, fit {self.fit_s:.0f} s, {self.image_ms:.0f} ms/image"


def main() -> None:
    """Print the table; the command line may name data sets, else all are measured."""
    data = Path(os.environ.get("TANDEM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    place = os.environ.get("TANDEM_TEST_WEIGHTS")
    for data_set in data_sets(data):
        if sys.argv[1:] and data_set.name not in sys.argv[1:]:
            continue
        what = f"{data_set.name:16} {len(data_set.train)}/{len(data_set.test)}"
        print(f"{what:24} reference: {data_set.reference}; {describe(data_set.train)}")
        show(data_set, weights=None)
        if place is None:
            print(f"{'':24} with pretrained weights: no weights found (TANDEM_TEST_WEIGHTS is not set)")
        else:
            show(data_set, weights=Path(place))


def show(data_set: DataSet, *, weights: Path | None) -> None:
    """Print the figures for parts of the training set and for all of it."""
    for size in (*(size for size in CURVE if size < len(data_set.train)), len(data_set.train)):
        measured = measure(spread(data_set.train, size), data_set.test, weights=weights)
        is_random = measured.weights_source.startswith("random")
        if weights is not None and is_random:
            print(f"{'':24} with pretrained weights: no weights found in {weights}")
            return
        source = "random weights" if is_random else measured.weights_source.split()[0]
        print(f"{'':10} {size:>6} images: {source}: {measured}", flush=True)


def describe(examples: Sequence[Example]) -> str:
    """Return how many boxes there are of each label."""
    labels = [region.label for example in examples for region in example.regions]
    return ", ".join(f"{labels.count(label)} {label}" for label in sorted(set(labels)))


def measure(train: Sequence[Example], test: Sequence[Example], *, weights: Path | None = None) -> Measured:
    """Fit, and measure on the test part."""
    names = sorted({region.label for example in (*train, *test) for region in example.regions})
    schema = LabelSchema(Objective.DETECTION, tuple(map(Label, names)))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        fit = catalog.fitter("object_detection")
        fit(train, schema, FitSettings(), device="cpu", report=Silence(), folder=Path(folder), weights=weights)
        fit_s = time.perf_counter() - start
        predictor = catalog.predictor_loader("object_detection")(Path(folder), "cpu")
        source = checkpoint.read_manifest(Path(folder)).weights_source
    pictures = [images.read(example.path, min_side_px=predictor.min_side_px) for example in test]
    start = time.perf_counter()
    answers = predictor.predict(pictures)
    image_ms = (time.perf_counter() - start) / len(test) * 1000
    predictions = {example.key: answer for example, answer in zip(test, answers, strict=True)}
    evaluation = evaluate(schema, {example.key: example.regions for example in test}, predictions)
    return Measured(dict(evaluation.metrics), fit_s, image_ms, source)


def data_sets(folder: Path) -> Iterator[DataSet]:
    """Read all data sets that are there."""
    yield from cells(folder / "det_bccd")
    for outlined in (
        *quality_segmentation.nuts(folder / "seg_nuts"),
        *quality_segmentation.nuclei(folder / "seg_nuclei"),
    ):
        boxed = [[replace(e, regions=upright(e)) for e in part] for part in (outlined.train, outlined.test)]
        yield DataSet(outlined.name, boxed[0], boxed[1], "none (boxes around its outlines)")
        if outlined.name == "seg_nuts":
            boxed = [[replace(e, regions=rotated(e)) for e in part] for part in (outlined.train, outlined.test)]
            yield DataSet("seg_nuts rotated", boxed[0], boxed[1], "none (least rotated boxes around its outlines)")


def cells(folder: Path) -> Iterator[DataSet]:
    """Read blood cells, 640 by 480 pixels."""
    if not folder.is_dir():
        print(f"det_bccd: skipped, {folder} is absent")
        return
    parts = [(folder / "ImageSets" / "Main" / f"{name}.txt").read_text().split() for name in ("trainval", "test")]
    train, test = ([read_voc(folder, name) for name in part] for part in (parts[0][:_NUM_TRAIN], parts[1]))
    yield DataSet("det_bccd", train, test, "mAP@50 0.599 forest on pixels, components")


def read_voc(folder: Path, name: str) -> Example:
    """Read one image of a data set in the form of Pascal VOC."""
    annotation = ElementTree.parse(folder / "Annotations" / f"{name}.xml")  # noqa: S314 (our own data)
    width_px, height_px = (int(annotation.findtext(f"size/{side}", "0")) for side in ("width", "height"))
    boxes = []
    for thing in annotation.iter("object"):
        left, top, right, bottom = (
            int(thing.findtext(f"bndbox/{edge}", "0")) / side_px
            for edge, side_px in (("xmin", width_px), ("ymin", height_px), ("xmax", width_px), ("ymax", height_px))
        )
        boxes.append(Box.from_bounds(thing.findtext("name", ""), left, top, right, bottom))
    return Example(name, folder / "JPEGImages" / f"{name}.jpg", tuple(boxes), Split.TRAIN)


def upright(example: Example) -> tuple[Box, ...]:
    """Put boxes around the outlines of an example."""
    boxes = (bounding_box(region) for region in example.regions if isinstance(region, Polygon))
    return tuple(box for box in boxes if box is not None)


def rotated(example: Example) -> tuple[Box, ...]:
    """Put the smallest rotated boxes around the outlines of an example."""
    image = images.read(example.path, min_side_px=1)
    size_px = (image.width_px, image.height_px)
    boxes = []
    for region in example.regions:
        if isinstance(region, Polygon):
            (x, y), (width, height), degrees = cv2.minAreaRect(
                np.array(region.points, np.float32) * np.array(size_px, np.float32)
            )
            aspect = size_px[0] / size_px[1]
            fractions = (x / size_px[0], y / size_px[1], width / size_px[0], height / size_px[1])
            boxes.append(Box(region.label, *fractions, rotation=degrees % 360, aspect=aspect))
    return tuple(boxes)


if __name__ == "__main__":
    main()
