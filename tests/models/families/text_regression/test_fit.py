from pathlib import Path

import numpy as np
import pytest

from models import checkpoint
from models.examples import Example, Split
from models.families.text_regression.fit import fit
from models.families.text_regression.predict import load
from models.family import FamilyError, FitSettings, Progress
from models.labels import LabelSchema, Medium, Objective, Scale
from models.regions import Number

STARS = LabelSchema(Objective.REGRESSION, (), Medium.TEXT, Scale(1, 5, 1))
PRICES = LabelSchema(Objective.REGRESSION, (), Medium.TEXT)
SAID = {
    1: "terrible awful broken",
    2: "bad and poor",
    3: "okay average",
    4: "good nice",
    5: "excellent superb wonderful",
}


class Recorder:
    """A report that remembers."""

    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.lines: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.fractions.append(progress.fraction)

    def log(self, line: str) -> None:
        self.lines.append(line)


def reviews(folder: Path, *, num_each: int = 6, num_held_out: int = 5) -> list[Example]:
    rng = np.random.default_rng(0)
    examples = []
    for number in range(num_each * len(SAID)):
        stars = number % 5 + 1
        path = folder / f"{number:03}.txt"
        path.write_text(f"the {rng.choice(['lamp', 'chair', 'book'])} is {SAID[stars]} {number}", encoding="utf-8")
        split = Split.HELD_OUT if number >= num_each * len(SAID) - num_held_out else Split.TRAIN
        examples.append(Example(path.name, path, (Number(stars),), split))
    return examples


def learn(examples: list[Example], schema: LabelSchema, folder: Path, *, report: Recorder | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    fit(examples, schema, FitSettings(), device="cpu", report=report or Recorder(), folder=folder, weights=None)
    return folder


def test_a_fit_learns_measures_itself_and_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    report = Recorder()

    folder = learn(reviews(tmp_path), STARS, tmp_path / "run", report=report)

    assert {path.name for path in folder.iterdir()} == {checkpoint.MANIFEST, checkpoint.ONNX, checkpoint.WEIGHTS}
    manifest = checkpoint.read_manifest(folder)
    assert manifest.metrics["num_held_out"] == len(manifest.held_out) == 5
    assert manifest.metrics["primary"] > 0.6
    answers = load(folder, "cpu").predict(["an awful broken thing", "superb, wonderful", "the chair is okay average"])
    assert [answer[0].value for answer in answers] == [1, 5, 3]
    assert all(0 <= answer[0].score <= 1 for answer in answers)
    assert report.fractions == sorted(report.fractions)
    assert report.fractions[-1] == 1


def test_answers_lie_on_the_scale_and_without_one_anywhere(tmp_path: Path) -> None:
    examples = reviews(tmp_path)
    prices = [
        Example(e.key, e.path, (Number(1000 * e.regions[0].value + 0.5),), e.split)  # type: ignore[union-attr]
        for e in examples
    ]

    starred = load(learn(examples, STARS, tmp_path / "stars"), "cpu").predict(["excellent " * 50, "", "🙂"])
    priced = load(learn(prices, PRICES, tmp_path / "prices"), "cpu").predict(["superb", "awful", ""])

    assert {answer[0].value for answer in starred} <= {1.0, 2.0, 3.0, 4.0, 5.0}
    values = [answer[0].value for answer in priced]
    assert values[0] > 3500 > 2500 > values[1]


def test_scores_say_how_often_answers_are_right(tmp_path: Path) -> None:
    sure = load(learn(reviews(tmp_path, num_each=12), STARS, tmp_path / "sure"), "cpu")
    rng = np.random.default_rng(1)
    noise = [
        Example(e.key, e.path, (Number(float(rng.integers(1, 6))),), e.split) for e in reviews(tmp_path, num_each=12)
    ]
    unsure = load(learn(noise, STARS, tmp_path / "unsure"), "cpu")

    text = "the lamp is good nice 3"
    assert sure.predict([text])[0][0].score > 0.6 > 0.45 > unsure.predict([text])[0][0].score


def test_texts_without_a_number_or_that_cannot_be_read_are_skipped(tmp_path: Path) -> None:
    examples = reviews(tmp_path)
    examples[3].path.write_bytes(b"\xff")
    examples[0] = Example(examples[0].key, examples[0].path, (), Split.TRAIN)
    report = Recorder()

    learn(examples, STARS, tmp_path / "run", report=report)

    assert [line.split()[0] for line in report.lines[:2]] == [examples[0].key, examples[3].key]


def test_sets_that_cannot_be_learnt_are_refused_with_a_sentence(tmp_path: Path) -> None:
    alike = [Example(e.key, e.path, (Number(3),), e.split) for e in reviews(tmp_path)]

    with pytest.raises(FamilyError, match="no texts with a number"):
        learn([], STARS, tmp_path / "run")
    with pytest.raises(FamilyError, match="two different numbers"):
        learn(alike, STARS, tmp_path / "run")
