"""How good are models of texts trained from few labels? Run by `make bench`.

Prints one table: for each data set a reference that ordinary libraries reach, the figure on its test part, how long
fitting and predicting took, and the learning curve. Data sets are read from the folder in TANDEM_TEST_DATA
(../shared/data by default).
"""

# ruff: noqa: T201 (it prints its result)

from __future__ import annotations

import csv
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import catalog
from models.examples import Example, Split
from models.family import FamilyError, FitSettings, Progress
from models.labels import Label, LabelSchema, Medium, Objective
from models.metrics import evaluate
from models.regions import Choice, Region, Span

CURVE = (10, 20, 50)
"""Total numbers of labelled texts, besides all of them."""


@dataclass(frozen=True)
class DataSet:
    """A task with a known difficulty."""

    name: str
    schema: LabelSchema
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
    print(f"{'data set':24} {'train/test':>10}  {'reference':32} {'result':>6} {'fit s':>6} {'ms/text':>8}  curve")
    with tempfile.TemporaryDirectory() as scratch:
        sets = (*questions(data / "text_banking77", Path(scratch)), *entities(data / "ner_wnut17", Path(scratch)))
        for data_set in sets:
            result, fit_s, text_ms = measure(data_set, data_set.train)
            curve = [f"{size}: {score(data_set, size)}" for size in CURVE if size < len(data_set.train)]
            curve.append(f"{len(data_set.train)}: {result:.3f}")
            sizes = f"{len(data_set.train)}/{len(data_set.test)}"
            what = f"{data_set.name:24} {sizes:>10}  {data_set.reference:32}"
            print(f"{what} {result:6.3f} {fit_s:6.1f} {text_ms:8.2f}  {', '.join(curve)}", flush=True)


def score(data_set: DataSet, size: int) -> str:
    """Measure with a stratified part of the training set."""
    try:
        return f"{measure(data_set, stratified(data_set.train, size))[0]:.3f}"
    except FamilyError:
        return "too few"


def measure(data_set: DataSet, train: Sequence[Example]) -> tuple[float, float, float]:
    """Return the primary metric on the test part, seconds to fit, and milliseconds to predict one text."""
    family = catalog.find_family(data_set.schema)
    assert family is not None
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        catalog.fitter(family.name)(
            train,
            data_set.schema,
            FitSettings(),
            device="cpu",
            report=Silence(),
            folder=Path(folder),
            weights=None,
        )
        fit_s = time.perf_counter() - start
        predictor = catalog.predictor_loader(family.name)(Path(folder), "cpu")
    contents = [example.path.read_text(encoding="utf-8") for example in data_set.test]
    start = time.perf_counter()
    answers = predictor.predict(contents)
    text_ms = (time.perf_counter() - start) / len(contents) * 1000
    truths = {example.key: example.regions for example in data_set.test}
    predictions = {example.key: answer for example, answer in zip(data_set.test, answers, strict=True)}
    return evaluate(data_set.schema, truths, predictions).primary, fit_s, text_ms


def stratified(examples: Sequence[Example], size: int) -> list[Example]:
    """Take a number of examples, as evenly from the sets of labels as can be."""
    by_labels: dict[tuple[str, ...], list[Example]] = defaultdict(list)
    for index in np.random.default_rng(0).permutation(len(examples)):
        by_labels[tuple(sorted({region.label for region in examples[index].regions}))].append(examples[index])
    queues = [by_labels[labels] for labels in sorted(by_labels)]
    taken: list[Example] = []
    while len(taken) < min(size, len(examples)):
        taken += [queue.pop() for queue in queues if queue]
    return taken[:size]


def questions(folder: Path, scratch: Path) -> Iterator[DataSet]:
    """Read questions to a bank: the first ten classes, thirty of each to learn and to test, and all classes."""
    if not folder.is_dir():
        print(f"text_banking77: skipped, {folder} is absent")
        return
    names = json.loads((folder / "categories.json").read_text(encoding="utf-8"))
    for title, chosen, num_train, num_test, reference in (
        ("banking77, 10 classes", names[:10], 30, 30, "0.947 TF-IDF + linear SVM"),
        ("banking77, next 10", names[10:20], 30, 30, "-"),
        ("banking77, all classes", names, 20, 40, "-"),
    ):
        parts = []
        for part, num_each in (("train", num_train), ("test", num_test)):
            by_class: dict[str, list[str]] = defaultdict(list)
            with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as stream:
                for row in csv.DictReader(stream):
                    by_class[row["category"]].append(row["text"])
            kept = [(text, name) for name in chosen for text in by_class[name][:num_each]]
            parts.append(
                [written(scratch, f"{title} {part} {n}", text, [Choice(name)]) for n, (text, name) in enumerate(kept)]
            )
        schema = LabelSchema(Objective.CLASSIFICATION, tuple(map(Label, chosen)), Medium.TEXT)
        yield DataSet(title, schema, parts[0], parts[1], reference)


def entities(folder: Path, scratch: Path) -> Iterator[DataSet]:
    """Read names in social media: the first 800 sentences to learn from, the first 400 of two others to test."""
    if not folder.is_dir():
        print(f"ner_wnut17: skipped, {folder} is absent")
        return
    train = sentences(folder / "wnut17train.conll", 800, scratch)
    names = sorted({region.label for example in train for region in example.regions})
    schema = LabelSchema(Objective.SPANS, tuple(map(Label, names)), Medium.TEXT)
    for title, part, reference in (
        ("wnut17, test", "emerging.test.annotated", "0.099 CRF (span F1)"),
        ("wnut17, dev", "emerging.dev.conll", "-"),
    ):
        yield DataSet(title, schema, train, sentences(folder / part, 400, scratch), reference)


def sentences(path: Path, num: int, scratch: Path) -> list[Example]:
    """Read the first sentences of a CoNLL file, tokens joined by single spaces."""
    examples = []
    blocks = [block.split("\n") for block in _blank_line_separated(path)]
    for number, lines in enumerate(blocks[:num]):
        words, spans, at = [], [], 0
        for word, tag in (line.split("\t") for line in lines):
            kind, _, label = tag.partition("-")
            if kind == "I" and spans and spans[-1].label == label and spans[-1].end == at - 1:
                spans[-1] = Span(label, spans[-1].start, at + len(word))
            elif kind != "O":
                spans.append(Span(label, at, at + len(word)))
            words.append(word)
            at += len(word) + 1
        examples.append(written(scratch, f"{path.stem} {number}", " ".join(words), spans))
    return examples


def _blank_line_separated(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
    return [block.strip("\n") for block in "\n".join(lines).split("\n\n") if block.strip("\n")]


def written(scratch: Path, key: str, text: str, regions: Sequence[Region]) -> Example:
    """Write a text to a file, as an example."""
    path = scratch / f"{key}.txt"
    path.write_text(text, encoding="utf-8")
    return Example(key, path, tuple(regions), Split.TRAIN)


if __name__ == "__main__":
    main()
