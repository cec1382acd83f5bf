import csv
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.examples import Example, Split
from models.families.text_classification.fit import fit
from models.families.text_classification.predict import load
from models.family import FamilyError, FitSettings, Progress
from models.labels import Label, LabelSchema, Medium, Objective
from models.regions import Choice

Write = Callable[..., list[Example]]
TOPICS = {
    "refund": ["give me my money back", "i want to be paid back", "return what i paid", "money back please now"],
    "weather": ["will it rain today", "is it sunny outside", "rain and wind all day", "how cold is it outside"],
    "天気": ["今日は雨が降りますか", "明日の天気は晴れ", "雨と風が強い", "外は寒いですか"],
}


class Recorder:
    """A report that remembers."""

    def __init__(self) -> None:
        self.steps: list[Progress] = []
        self.lines: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)

    def log(self, line: str) -> None:
        self.lines.append(line)


def make_schema(*names: str, objective: Objective = Objective.CLASSIFICATION) -> LabelSchema:
    return LabelSchema(objective, tuple(map(Label, names)), Medium.TEXT)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes texts, each with its labels; the last of every label is held out where asked."""

    def write_examples(texts: Sequence[tuple[str, Sequence[str]]], *, num_held_out: int = 0) -> list[Example]:
        examples = []
        for number, (text, labels) in enumerate(texts):
            path = tmp_path / f"{number:03}.txt"
            path.write_text(text, encoding="utf-8")
            split = Split.HELD_OUT if number >= len(texts) - num_held_out else Split.TRAIN
            examples.append(Example(path.name, path, tuple(Choice(label) for label in labels), split))
        return examples

    return write_examples


def learn(examples: list[Example], schema: LabelSchema, folder: Path, *, report: Recorder | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    fit(examples, schema, FitSettings(), device="cpu", report=report or Recorder(), folder=folder, weights=None)
    return folder


def topics(*names: str) -> list[tuple[str, list[str]]]:
    return [(TOPICS[name][n], [name]) for n in range(4) for name in names]


def test_a_fit_learns_measures_itself_and_leaves_a_whole_checkpoint(write: Write, tmp_path: Path) -> None:
    examples, report = write(topics(*TOPICS), num_held_out=3), Recorder()

    folder = learn(examples, make_schema(*TOPICS, "never"), tmp_path / "run", report=report)

    assert {path.name for path in folder.iterdir()} == {checkpoint.MANIFEST, checkpoint.ONNX, checkpoint.WEIGHTS}
    manifest = checkpoint.read_manifest(folder)
    assert set(manifest.held_out) == {example.key for example in examples[-3:]}
    assert manifest.metrics["num_held_out"] == manifest.metrics["num_examples"] == 3
    assert manifest.metrics["is_refit_on_all_labels"] is True
    answers = load(folder, "cpu").predict(["my money back?", "rain tomorrow outside", "雨ですか"])
    assert [[choice.label for choice in answer] for answer in answers] == [["refund"], ["weather"], ["天気"]]
    fractions = [step.fraction for step in report.steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_held_out_texts_are_never_learnt_from_before_they_are_measured(write: Write, tmp_path: Path) -> None:
    texts = topics("refund", "weather")
    secret = [("xyzzy plugh", ["weather"]), ("xyzzy plugh", ["weather"])]

    folder = learn(write([*texts, *secret], num_held_out=2), make_schema("refund", "weather"), tmp_path / "run")

    held_out = checkpoint.read_manifest(folder).held_out
    [[shipped]] = load(folder, "cpu").predict(["xyzzy plugh"])
    assert shipped.label == "weather"
    assert all(shipped.score > choice.score or choice.label != "weather" for (choice,) in held_out.values())


def test_the_same_seed_gives_the_same_weights(write: Write, tmp_path: Path) -> None:
    examples = write(topics("refund", "weather"))

    folders = [learn(examples, make_schema("refund", "weather"), tmp_path / name) for name in ("a", "b")]

    states = [torch.load(folder / checkpoint.WEIGHTS, weights_only=True) for folder in folders]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_several_labels_per_text_are_learnt(write: Write, tmp_path: Path) -> None:
    texts = [
        (f"{first} {second}".strip(), [name for name, said in (("refund", first), ("weather", second)) if said])
        for first in (*TOPICS["refund"], "")
        for second in (*TOPICS["weather"], "")
    ]
    schema = make_schema("refund", "weather", objective=Objective.MULTI_LABEL)

    predictor = load(learn(write(texts), schema, tmp_path / "run"), "cpu")

    answers = predictor.predict(["money back please", "money back, it will rain", "zzz"])
    labels = [{choice.label for choice in answer} for answer in answers]
    assert labels[:2] == [{"refund"}, {"refund", "weather"}]


def test_names_of_labels_help_where_they_say_what_the_texts_say(write: Write, tmp_path: Path) -> None:
    texts = [(f"please {verb} my {thing} {n}", [f"{verb}_{thing}"]) for n in range(4) for verb, thing in PAIRS]

    folder = learn(write(texts), make_schema(*(f"{verb}_{thing}" for verb, thing in PAIRS), "lose_key"), tmp_path / "r")

    assert checkpoint.read_manifest(folder).metrics["learns_from_label_names"] is True
    [[answer]] = load(folder, "cpu").predict(["how did I lose a key"])
    assert answer.label == "lose_key"  # no text has it


PAIRS = (("open", "account"), ("close", "account"), ("send", "card"), ("block", "card"))


def test_one_text_per_label_is_enough_to_begin_with(write: Write, tmp_path: Path) -> None:
    texts = [(TOPICS[name][0], [name]) for name in ("refund", "weather")]

    predictor = load(learn(write(texts), make_schema("refund", "weather"), tmp_path / "run"), "cpu")

    [[answer]] = predictor.predict(["my money"])
    assert answer.label == "refund"


def test_labels_that_appear_once_and_unreadable_and_empty_texts_are_no_obstacle(write: Write, tmp_path: Path) -> None:
    examples = write([*topics("refund", "weather"), ("hello", ["greeting"]), ("", ["weather"]), ("?", ["weather"])])
    examples[-1].path.write_bytes(b"\xff\xfe\x00")
    report = Recorder()

    folder = learn(examples, make_schema("refund", "weather", "greeting"), tmp_path / "run", report=report)

    assert any(line.startswith(f"{examples[-1].key} is skipped") for line in report.lines)
    assert len(load(folder, "cpu").predict(["", "hello"])) == 2


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([], "no labelled texts"),
        ([("a", ["other"])], "no labelled texts"),
        ([("a b", ["refund"]), ("c d", ["refund"])], "At least two different labels"),
    ],
)
def test_sets_that_cannot_be_learnt_are_refused_with_a_sentence(
    write: Write, tmp_path: Path, texts: list[tuple[str, list[str]]], sentence: str
) -> None:
    with pytest.raises(FamilyError, match=sentence):
        learn(write(texts), make_schema("refund", "weather"), tmp_path / "run")


def test_a_thousand_short_texts_and_a_very_long_one_are_answered_quickly(write: Write, tmp_path: Path) -> None:
    predictor = load(learn(write(topics("refund", "weather")), make_schema("refund", "weather"), tmp_path / "r"), "cpu")
    many = [f"Will it rain on the {n}th day or is it sunny outside in the afternoon?" for n in range(1000)]

    start = time.perf_counter()
    answers = predictor.predict([*many, "rain and wind " * 70_000])

    assert time.perf_counter() - start < 5  # about 0.3 s on an idle core
    assert {answer[0].label for answer in answers} == {"weather"}


@pytest.mark.skipif("TANDEM_TEST_DATA" not in os.environ, reason="TANDEM_TEST_DATA names no folder with data sets")
def test_questions_to_a_bank_are_told_apart(write: Write, tmp_path: Path) -> None:
    data = Path(os.environ["TANDEM_TEST_DATA"]) / "text_banking77"
    names = json.loads((data / "categories.json").read_text(encoding="utf-8"))[:10]
    parts: dict[str, dict[str, list[str]]] = {}
    for part in ("train", "test"):
        parts[part] = defaultdict(list)
        with (data / f"{part}.csv").open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                parts[part][row["category"]].append(row["text"])
    train = [(text, [name]) for name in names for text in parts["train"][name][:15]]

    predictor = load(learn(write(train), make_schema(*names), tmp_path / "run"), "cpu")

    tested = [(text, name) for name in names for text in parts["test"][name]]
    answers = predictor.predict([text for text, _ in tested])
    hits = sum(answer[0].label == name for answer, (_, name) in zip(answers, tested, strict=True))
    assert hits / len(tested) > 0.88
