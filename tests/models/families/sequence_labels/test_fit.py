import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.examples import Example, Split
from models.families.sequence_labels.fit import fit
from models.families.sequence_labels.predict import load
from models.family import FamilyError, FitSettings, Progress
from models.labels import Label, LabelSchema, Medium, Objective
from models.metrics import evaluate
from models.regions import Span

SCHEMA = LabelSchema(Objective.SPANS, (Label("person"), Label("place"), Label("never")), Medium.TEXT)
PEOPLE = ("Ann", "Bob Stone", "Mr Lee", "Dr Mary Smith", "Eve", "Tom Hill")
PLACES = ("Paris", "New York", "Rome", "Oslo", "San Juan")

Write = Callable[..., list[Example]]


class Recorder:
    """A report that remembers, and can stop the fit."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.steps: list[Progress] = []
        self.lines: list[str] = []
        self._stop_at = stop_at

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)
        if progress.stage == self._stop_at:
            raise KeyboardInterrupt

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes texts with their spans, given as (label, words); the last ones are held out."""

    def write_examples(
        texts: Sequence[tuple[str, Sequence[tuple[str, str]]]], *, num_held_out: int = 0
    ) -> list[Example]:
        examples = []
        for number, (text, said) in enumerate(texts):
            path = tmp_path / f"{number:03}.txt"
            path.write_text(text, encoding="utf-8", newline="")
            spans = tuple(Span(label, text.index(words), text.index(words) + len(words)) for label, words in said)
            split = Split.HELD_OUT if number >= len(texts) - num_held_out else Split.TRAIN
            examples.append(Example(path.name, path, spans, split))
        return examples

    return write_examples


def trips(num: int = 24) -> list[tuple[str, list[tuple[str, str]]]]:
    said = []
    for number in range(num):
        person, place = PEOPLE[number % len(PEOPLE)], PLACES[number * 7 % len(PLACES)]
        said.append((f"Yesterday {person} went to {place}, by train.", [("person", person), ("place", place)]))
        said.append(("The train was late, by the way.", []))
    return said


def learn(examples: list[Example], folder: Path, *, report: Recorder | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    fit(examples, SCHEMA, FitSettings(), device="cpu", report=report or Recorder(), folder=folder, weights=None)
    return folder


def answer(folder: Path, text: str) -> set[tuple[str, str]]:
    [spans] = load(folder, "cpu").predict([text])
    return {(span.label, text[span.start : span.end]) for span in spans if isinstance(span, Span)}


def test_a_fit_learns_measures_itself_and_leaves_a_whole_checkpoint(write: Write, tmp_path: Path) -> None:
    examples, report = write(trips(), num_held_out=8), Recorder()

    folder = learn(examples, tmp_path / "run", report=report)

    assert {path.name for path in folder.iterdir()} == {checkpoint.MANIFEST, checkpoint.ONNX, checkpoint.WEIGHTS}
    manifest = checkpoint.read_manifest(folder)
    assert set(manifest.held_out) == {example.key for example in examples[-8:]}
    assert manifest.metrics["num_held_out"] == 8
    assert manifest.metrics["f1"] > 0.8
    assert manifest.metrics["is_refit_on_all_labels"] is True
    unseen = "🙂🙂 Yesterday Mr Quux went to Gotham, by train."  # offsets are of code points
    assert answer(folder, unseen) == {("person", "Mr Quux"), ("place", "Gotham")}
    assert answer(folder, "") == answer(folder, " \n") == set()
    fractions = [step.fraction for step in report.steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_what_is_served_is_what_was_measured(write: Write, tmp_path: Path) -> None:
    examples = write(trips(), num_held_out=8)
    report = Recorder(stop_at="training on all labels")
    with pytest.raises(KeyboardInterrupt):
        learn(examples, tmp_path / "run", report=report)

    folder = learn([e for e in examples if e.split is Split.TRAIN], tmp_path / "train")

    held_out = checkpoint.read_manifest(learn(examples, tmp_path / "run")).held_out
    answers = load(folder, "cpu").predict([example.path.read_text(encoding="utf-8") for example in examples[-8:]])
    for example, spans in zip(examples[-8:], answers, strict=True):
        assert [(s.label, s.start, s.end) for s in spans] == [(s.label, s.start, s.end) for s in held_out[example.key]]
        assert [s.score for s in spans] == pytest.approx([s.score for s in held_out[example.key]], abs=1e-4)


def test_a_fit_that_was_stopped_goes_on_to_the_same_weights(write: Write, tmp_path: Path) -> None:
    examples = write(trips(8))
    whole = learn(examples, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learn(examples, tmp_path / "stopped", report=Recorder(stop_at="training on all labels"))
    assert sorted(path.name for path in (tmp_path / "stopped" / "partial").iterdir())[-1] == "train.pt"

    learn(examples, tmp_path / "stopped")

    states = [torch.load(tmp_path / n / checkpoint.WEIGHTS, weights_only=True) for n in ("whole", "stopped")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert (whole / checkpoint.MANIFEST).read_text() == (tmp_path / "stopped" / checkpoint.MANIFEST).read_text()


def test_overlapping_spans_of_the_same_and_of_other_labels_are_learnt(write: Write, tmp_path: Path) -> None:
    texts = []
    for number in range(20):
        city = PLACES[number % len(PLACES)]
        whole = f"University of {city}"
        texts.append(
            (f"She studied at the {whole} then.", [("place", whole), ("place", city), ("person", f"of {city}")])
        )
        texts.append((f"She lived in {city} then.", [("place", city)]))

    folder = learn(write(texts), tmp_path / "run")

    assert answer(folder, "She studied at the University of Lima then.") == {
        ("place", "University of Lima"),
        ("place", "Lima"),
        ("person", "of Lima"),
    }


def test_spans_within_words_are_learnt(write: Write, tmp_path: Path) -> None:
    texts = [
        (f"paid kg{n} of tea and cm{n + 3} of rope", [("place", f"{n}"), ("person", f"{n + 3}")]) for n in range(20, 40)
    ]

    folder = learn(write(texts), tmp_path / "run")

    assert checkpoint.read_manifest(folder).inputs["granularity"] == "PIECES"
    assert answer(folder, "paid kg71 of tea and cm84 of rope") == {("place", "71"), ("person", "84")}


def test_texts_without_blanks_are_learnt(write: Write, tmp_path: Path) -> None:
    people, places = ("田中", "鈴木", "佐藤", "高橋"), ("東京", "大阪", "京都", "札幌", "福岡")
    texts = [
        (
            f"昨日、{people[n % 4]}さんは{places[n % 5]}に行きました。",
            [("person", people[n % 4]), ("place", places[n % 5])],
        )
        for n in range(30)
    ]

    folder = learn(write(texts), tmp_path / "run")

    assert answer(folder, "昨日、山本さんは奈良に行きました。") == {("person", "山本"), ("place", "奈良")}


def test_a_label_that_appears_once_and_bad_spans_and_texts_are_no_obstacle(write: Write, tmp_path: Path) -> None:
    examples = write([*trips(6), ("An odd thing", [("never", "odd")]), ("", []), ("?", [])])
    examples[0] = Example(examples[0].key, examples[0].path, (Span("person", 900, 950),), Split.TRAIN)
    examples[-1].path.write_bytes(b"\xff\xfe\x00")
    report = Recorder()

    learn(examples, tmp_path / "run", report=report)

    assert any("nothing is between 900 and 950" in line for line in report.lines)
    assert any(line.startswith(f"{examples[-1].key} is skipped") for line in report.lines)


def test_a_single_labelled_text_is_enough_to_begin_with(write: Write, tmp_path: Path) -> None:
    folder = learn(write([("Ann went to Rome. Bob went to Rome.", [("place", "Rome")])]), tmp_path / "run")

    assert all(0 < span.score <= 1 for span in load(folder, "cpu").predict(["Eve went to Rome."])[0])


def test_sets_that_cannot_be_learnt_are_refused_with_a_sentence(write: Write, tmp_path: Path) -> None:
    with pytest.raises(FamilyError, match="no labelled texts"):
        learn([], tmp_path / "run")
    with pytest.raises(FamilyError, match="At least one part of a text must be labelled"):
        learn(write([("hello", []), ("you", [])]), tmp_path / "run")


def test_a_very_long_text_is_answered_piece_by_piece(write: Write, tmp_path: Path) -> None:
    folder = learn(write(trips(8)), tmp_path / "run")
    sentence = "Yesterday Bob Stone went to New York, by train. "

    start = time.perf_counter()
    [spans] = load(folder, "cpu").predict([sentence * 1000])

    assert time.perf_counter() - start < 20
    assert len(spans) == 2000


@pytest.mark.skipif("TANDEM_TEST_DATA" not in os.environ, reason="TANDEM_TEST_DATA names no folder with data sets")
def test_names_in_social_media_are_found(tmp_path: Path) -> None:
    data = Path(os.environ["TANDEM_TEST_DATA"]) / "ner_wnut17"
    train = sentences(data / "wnut17train.conll", 300, tmp_path)
    test = sentences(data / "emerging.test.annotated", 200, tmp_path)
    names = sorted({span.label for example in train for span in example.regions})
    schema = LabelSchema(Objective.SPANS, tuple(map(Label, names)), Medium.TEXT)
    (tmp_path / "run").mkdir()

    fit(train, schema, FitSettings(), device="cpu", report=Recorder(), folder=tmp_path / "run", weights=None)

    answers = load(tmp_path / "run", "cpu").predict([example.path.read_text(encoding="utf-8") for example in test])
    truths = {example.key: example.regions for example in test}
    predictions = {example.key: found for example, found in zip(test, answers, strict=True)}
    assert evaluate(schema, truths, predictions).primary > 0.15


def sentences(path: Path, num: int, folder: Path) -> list[Example]:
    """Read CoNLL: a token and its tag in each line, and a blank line after each sentence."""
    examples = []
    blocks = "\n".join(line.strip() for line in path.read_text(encoding="utf-8").split("\n")).split("\n\n")
    for number, block in enumerate([block for block in blocks if block.strip()][:num]):
        words, spans, at = [], [], 0
        for word, tag in (line.split("\t") for line in block.strip().split("\n")):
            if tag[0] == "I" and spans:
                spans[-1] = Span(spans[-1].label, spans[-1].start, at + len(word))
            elif tag != "O":
                spans.append(Span(tag[2:], at, at + len(word)))
            words.append(word)
            at += len(word) + 1
        file = folder / f"{path.stem}{number}.txt"
        file.write_text(" ".join(words), encoding="utf-8")
        examples.append(Example(file.name, file, tuple(spans), Split.TRAIN))
    return examples
