"""How good are image classifiers trained from few labels, without pretrained weights? Run by `make bench`.

Prints one table: for each data set a reference, the accuracy on its test part, how long fitting and predicting took,
and the learning curve. Data sets are read from the folder in TANDEM_TEST_DATA (../shared/data by default).
"""

# ruff: noqa: T201 (it prints its result)

from __future__ import annotations

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image as PillowImage

from models import catalog, images
from models.examples import Example, Split
from models.family import FamilyError, FitSettings, Progress
from models.labels import Label, LabelSchema, Objective
from models.regions import Choice

CURVE = (10, 20, 50)
"""Total numbers of labels, besides all of them."""


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
    print(f"{'data set':14} {'train/test':>10}  {'reference':34} {'accuracy':>8} {'fit s':>6} {'ms/image':>8}  curve")
    with tempfile.TemporaryDirectory() as scratch:
        for data_set in (*digits(Path(scratch)), *trash(data / "cls_trash"), *cells(data / "det_bccd", Path(scratch))):
            accuracy, fit_s, image_ms = measure(data_set.train, data_set.test)
            curve = [f"{size}: {score(data_set, size)}" for size in CURVE if size < len(data_set.train)]
            curve.append(f"{len(data_set.train)}: {accuracy:.3f}")
            sizes = f"{len(data_set.train)}/{len(data_set.test)}"
            what = f"{data_set.name:14} {sizes:>10}  {data_set.reference:34}"
            print(f"{what} {accuracy:8.3f} {fit_s:6.1f} {image_ms:8.2f}  {', '.join(curve)}", flush=True)


def score(data_set: DataSet, size: int) -> str:
    """Measure with a stratified part of the training set."""
    try:
        return f"{measure(stratified(data_set.train, size), data_set.test)[0]:.3f}"
    except FamilyError:
        return "too few"


def measure(train: Sequence[Example], test: Sequence[Example]) -> tuple[float, float, float]:
    """Return accuracy on the test part, seconds to fit, and milliseconds to predict one decoded image."""
    names = sorted({example.regions[0].label for example in (*train, *test)})
    schema = LabelSchema(Objective.CLASSIFICATION, tuple(map(Label, names)))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        fit = catalog.fitter("image_classification")
        fit(train, schema, FitSettings(), device="cpu", report=Silence(), folder=Path(folder), weights=None)
        fit_s = time.perf_counter() - start
        predictor = catalog.predictor_loader("image_classification")(Path(folder), "cpu")
    pictures = [images.read(example.path, min_side_px=predictor.min_side_px) for example in test]
    start = time.perf_counter()
    answers = predictor.predict(pictures)
    image_ms = (time.perf_counter() - start) / len(test) * 1000
    hits = [answer[0].label == example.regions[0].label for answer, example in zip(answers, test, strict=True)]
    return float(np.mean(hits)), fit_s, image_ms


def stratified(examples: Sequence[Example], size: int) -> list[Example]:
    """Take a number of examples, as evenly from the labels as can be."""
    by_label: dict[str, list[Example]] = defaultdict(list)
    for index in np.random.default_rng(0).permutation(len(examples)):
        by_label[examples[index].regions[0].label].append(examples[index])
    queues = [by_label[label] for label in sorted(by_label)]
    taken: list[Example] = []
    while len(taken) < min(size, len(examples)):
        taken += [queue.pop() for queue in queues if queue]
    return taken[:size]


def digits(scratch: Path) -> Iterator[DataSet]:
    """Read scikit-learn's digits, 8 by 8 pixels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        print("digits: skipped, scikit-learn is not installed")
        return
    loaded = load_digits()
    examples = []
    for index, (pixels, label) in enumerate(zip(loaded.images, loaded.target, strict=True)):
        path = scratch / f"digit{index}.png"
        PillowImage.fromarray((pixels * (255 / 16)).astype(np.uint8)).save(path)
        examples.append(Example(path.name, path, (Choice(str(label)),), Split.TRAIN))
    train = stratified(examples, 150)
    yield DataSet("digits", train, rest(examples, train), "0.91 logistic regression on pixels")


def trash(folder: Path) -> Iterator[DataSet]:
    """Read photos of household waste, 512 by 384 pixels."""
    if not folder.is_dir():
        print(f"cls_trash: skipped, {folder} is absent")
        return
    parts = [
        [Example(str(path), path, (Choice(path.parent.name),), Split.TRAIN) for path in sorted(part.glob("*/*.jpg"))]
        for part in (folder / "train", folder / "test")
    ]
    yield DataSet("cls_trash", parts[0], parts[1], "0.583 frozen SqueezeNet, 0.667 CNN")


def cells(folder: Path, scratch: Path) -> Iterator[DataSet]:
    """Cut blood cells out of microscope photos, about 100 pixels."""
    if not folder.is_dir():
        print(f"det_bccd: skipped, {folder} is absent")
        return
    examples = []
    for annotation in sorted((folder / "Annotations").glob("*.xml")):
        with PillowImage.open(folder / "JPEGImages" / f"{annotation.stem}.jpg") as photo:
            for number, thing in enumerate(ElementTree.parse(annotation).iter("object")):  # noqa: S314 (our own data)
                box = [int(thing.findtext(f"bndbox/{edge}", "0")) for edge in ("xmin", "ymin", "xmax", "ymax")]
                if box[2] - box[0] < 4 or box[3] - box[1] < 4:
                    continue
                path = scratch / f"{annotation.stem}-{number}.png"
                photo.crop((box[0], box[1], box[2], box[3])).save(path)
                examples.append(Example(path.name, path, (Choice(thing.findtext("name", "")),), Split.TRAIN))
    chosen = stratified(examples, 600)
    train = stratified(chosen, 60)
    yield DataSet("cells", train, rest(chosen, train), "-")


def rest(examples: Sequence[Example], taken: Sequence[Example]) -> list[Example]:
    """Return the examples that were not taken."""
    keys = {example.key for example in taken}
    return [example for example in examples if example.key not in keys]


if __name__ == "__main__":
    main()
