"""How good are segmenters trained from few labels? Run by `make bench`.

Prints one table: for each data set and family a reference, the figures on its test part, how long fitting and
predicting took, and the learning curve. Data sets are read from the folder in TANDEM_TEST_DATA (../shared/data by
default); pretrained weights, for a second row, from the folder in TANDEM_TEST_WEIGHTS.
"""

# ruff: noqa: T201 (it prints its result)

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from models import catalog, images
from models.examples import Example, Split
from models.family import FitSettings, Progress
from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.outlines import covered, outline
from models.regions import Mask, Polygon, Region

CURVE = (10, 20, 50)
"""Numbers of labelled images, besides all of them."""
FAMILIES = {
    "semantic_segmentation": Objective.SEMANTIC_SEGMENTATION,
    "instance_segmentation": Objective.INSTANCE_SEGMENTATION,
}


@dataclass(frozen=True)
class DataSet:
    """A task with a known difficulty; its examples have polygons, and masks of the same things."""

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
    """Print the table; the command line may name data sets and families, else all are measured."""
    data = Path(os.environ.get("TANDEM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    places = [None, *(Path(place) for place in [os.environ.get("TANDEM_TEST_WEIGHTS")] if place)]
    wanted = set(sys.argv[1:])
    print(f"{'data set':12} {'family':22} {'weights':10} {'train/test':>10}  {'reference':24} figures")
    for data_set in (*nuts(data / "seg_nuts"), *nuclei(data / "seg_nuclei")):
        for family in FAMILIES:
            if wanted and not wanted & {data_set.name, family}:
                continue
            for weights in places:
                sizes = f"{len(data_set.train)}/{len(data_set.test)}"
                source = "none" if weights is None else "pretrained"
                print(f"{data_set.name:12} {family:22} {source:10} {sizes:>10}  {data_set.reference:24}", end=" ")
                figures, fit_s, image_ms = measure(family, data_set.train, data_set.test, weights=weights)
                print(f"{describe(figures)}, fit {fit_s:.0f} s, {image_ms:.0f} ms/image", flush=True)
                for size in (size for size in CURVE if size < len(data_set.train)):
                    part = spread(data_set.train, size)
                    figures = measure(family, part, data_set.test, weights=weights)[0]
                    print(f"{'':36} {size:>6} images: {describe(figures)}", flush=True)


def describe(metrics: dict[str, Any]) -> str:
    """Return the figures that matter on one line."""
    names = ("mean_iou", "mean_iou_per_image", "mean_iou_with_background", "mean_dice", "map_50", "map_50_95")
    return ", ".join(f"{name} {metrics[name]:.3f}" for name in names if name in metrics)


def measure(
    family: str, train: Sequence[Example], test: Sequence[Example], *, weights: Path | None = None
) -> tuple[dict[str, Any], float, float]:
    """Return the figures on the test part, seconds to fit, and milliseconds to predict one decoded image.

    Besides those of `models.metrics.segmentation` there is `mean_iou_per_image`: the mean of what each test image comes
    to by itself. An image with little in it then weighs as much as one with a lot.
    """
    train, test = (only(Mask if family == "semantic_segmentation" else Polygon, part) for part in (train, test))
    names = sorted({region.label for example in (*train, *test) for region in example.regions})
    schema = LabelSchema(FAMILIES[family], tuple(map(Label, names)))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        fit = catalog.fitter(family)
        fit(train, schema, FitSettings(), device="cpu", report=Silence(), folder=Path(folder), weights=weights)
        fit_s = time.perf_counter() - start
        predictor = catalog.predictor_loader(family)(Path(folder), "cpu")
    pictures = [images.read(example.path, min_side_px=predictor.min_side_px) for example in test]
    start = time.perf_counter()
    answers = predictor.predict(pictures)
    image_ms = (time.perf_counter() - start) / len(test) * 1000
    truths = {example.key: example.regions for example in test}
    predictions = {example.key: answer for example, answer in zip(test, answers, strict=True)}
    figures = dict(evaluate(schema, truths, predictions).metrics)
    alone = [evaluate(schema, {key: truths[key]}, {key: predictions[key]}).metrics["mean_iou"] for key in truths]
    return figures | {"mean_iou_per_image": float(np.mean(alone))}, fit_s, image_ms


def only(kind: type[Region], examples: Sequence[Example]) -> list[Example]:
    """Keep regions of one kind."""
    return [
        Example(each.key, each.path, tuple(region for region in each.regions if isinstance(region, kind)), each.split)
        for each in examples
    ]


def painted(polygons: Sequence[Polygon], *, width_px: int, height_px: int) -> list[Mask]:
    """Turn polygons into one mask for each label."""
    inside: dict[str, npt.NDArray[np.bool_]] = {}
    for polygon in polygons:
        covers = covered(polygon, width_px, height_px)
        inside[polygon.label] = inside[polygon.label] | covers if polygon.label in inside else covers
    return [Mask.from_array(label, covers) for label, covers in sorted(inside.items())]


def spread(examples: Sequence[Example], size: int) -> list[Example]:
    """Take a number of examples, the same ones every time."""
    chosen = np.random.default_rng(0).permutation(len(examples))[:size]
    return [examples[index] for index in sorted(chosen)]


def nuts(folder: Path) -> Iterator[DataSet]:
    """Read photos of dates, figs and hazelnuts, 800 by 600 pixels, outlined by hand."""
    if not folder.is_dir():
        print(f"seg_nuts: skipped, {folder} is absent")
        return
    stored = json.loads((folder / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in stored["categories"]}
    examples = []
    for image in sorted(stored["images"], key=lambda image: str(image["file_name"])):
        scale = np.array((image["width"], image["height"]))
        regions = [
            Polygon(names[item["category_id"]], tuple((x, y) for x, y in (np.reshape(part, (-1, 2)) / scale).tolist()))
            for item in stored["annotations"]
            if item["image_id"] == image["id"]
            for part in item["segmentation"]
        ]
        path = folder / "images" / image["file_name"]
        masks = painted(regions, width_px=image["width"], height_px=image["height"])
        examples.append(Example(path.name, path, (*regions, *masks), Split.TRAIN))
    yield DataSet("seg_nuts", examples[:12], examples[12:], "mIoU 0.666 U-Net")


def nuclei(folder: Path) -> Iterator[DataSet]:
    """Read microscope images of cell nuclei, about 256 by 256 pixels, with a number for each nucleus.

    The reference is most likely a mean over images without the background: forests of 50 trees on grey values and
    their blurs and derivatives at three to five scales came to 0.859 to 0.864 so, to 0.911 to 0.914 with the
    background, and to 0.879 to 0.881 over all images together.
    """
    if not folder.is_dir():
        print(f"seg_nuclei: skipped, {folder} is absent")
        return
    parts = []
    for part in ("train", "test"):
        examples = []
        for path in sorted((folder / part / "images").glob("*.png")):
            with PillowImage.open(folder / part / "masks" / path.name) as opened:
                numbers = np.asarray(opened, dtype=np.int64)
            around = (outline(numbers == number) for number in np.unique(numbers[numbers > 0]))
            regions = [Polygon("nucleus", points) for points in around if points is not None]
            mask = Mask.from_array("nucleus", numbers > 0)
            examples.append(Example(path.name, path, (*regions, mask), Split.TRAIN))
        parts.append(examples)
    yield DataSet("seg_nuclei", parts[0], parts[1], "mIoU 0.861 forest")


if __name__ == "__main__":
    main()
