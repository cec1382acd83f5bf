import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from models import checkpoint, images
from models.examples import Example, Split
from models.families.image_regression.fit import fit
from models.families.image_regression.predict import load
from models.family import FamilyError, FitSettings, Progress
from models.images import Image
from models.labels import LabelSchema, Objective, Scale
from models.learning.vision import load_torchvision
from models.regions import Box, Number

QUICK = FitSettings(max_epochs=2, image_px=32)
FREE = LabelSchema(Objective.REGRESSION, ())
STARS = LabelSchema(Objective.REGRESSION, (), scale=Scale(1, 5, 1))
Draw = Callable[[float], np.ndarray]


class Recorder:
    """A report that remembers, and may stop the fit."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.steps: list[Progress] = []
        self.lines: list[str] = []
        self._stop_after = stop_after

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)
        if len(self.steps) == self._stop_after:
            raise InterruptedError

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty hub cache, and no way to the hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def grey(value: float) -> np.ndarray:
    return np.full((24, 30, 3), 40 * value, dtype=np.float64)


def paint(folder: Path, values: Sequence[float], draw: Draw = grey, *, held_out: bool = False) -> list[Example]:
    """Paint one noisy image per number; every fourth is held out."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    examples = []
    for n, value in enumerate(values):
        pixels = draw(value)
        path = folder / f"{n:03}.png"
        noisy = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255)
        PillowImage.fromarray(noisy.astype(np.uint8)).save(path)
        split = Split.HELD_OUT if held_out and n % 4 == 3 else Split.TRAIN
        examples.append(Example(path.name, path, (Number(value),), split))
    return examples


def learn(
    examples: list[Example],
    folder: Path,
    *,
    schema: LabelSchema = FREE,
    settings: FitSettings = QUICK,
    recorder: Recorder | None = None,
    weights: Path | None = None,
) -> Path:
    folder.mkdir(exist_ok=True)
    fit(examples, schema, settings, device="cpu", report=recorder or Recorder(), folder=folder, weights=weights)
    return folder


def answers(folder: Path, examples: list[Example]) -> list[float]:
    predictor = load(folder, "cpu")
    pictures = [images.read_part(example.path, example.part) for example in examples]
    return [number.value for (number,) in predictor.predict(pictures) if isinstance(number, Number)]


def test_a_fit_learns_measures_itself_and_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    recorder = Recorder()
    examples = paint(tmp_path / "images", [1, 2, 3, 4, 5] * 8, held_out=True)

    settings = FitSettings(max_epochs=10, image_px=32)
    folder = learn(examples, tmp_path / "run", schema=STARS, settings=settings, recorder=recorder)

    assert {path.name for path in folder.iterdir()} == {checkpoint.MANIFEST, checkpoint.ONNX, checkpoint.WEIGHTS}
    manifest = checkpoint.read_manifest(folder)
    assert set(manifest.held_out) == {example.key for example in examples if example.split is Split.HELD_OUT}
    assert manifest.metrics["num_held_out"] == manifest.metrics["num_examples"] == 10
    assert manifest.metrics["is_refit_on_all_labels"] is True
    assert manifest.metrics["mae"] < 0.5
    assert set(answers(folder, examples)) <= {1, 2, 3, 4, 5}
    assert "random" in manifest.weights_source
    fractions = [step.fraction for step in recorder.steps]
    assert (fractions, fractions[-1]) == (sorted(fractions), 1)


def test_how_many_things_there_are_can_be_learnt(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    def dots(value: float) -> np.ndarray:
        pixels = np.full((64, 64, 3), 60.0)
        cells = rng.permutation(16)[: int(value)]
        for cell in cells.tolist():
            cv2.circle(pixels, (8 + 16 * (cell % 4), 8 + 16 * (cell // 4)), 5, (200.0, 180.0, 90.0), -1)
        return pixels

    train = paint(tmp_path / "train", [n % 9 for n in range(54)], dots)
    test = paint(tmp_path / "test", [n % 9 for n in range(27)], dots)

    folder = learn(train, tmp_path / "run", settings=FitSettings(max_epochs=6))

    errors = [abs(value - example.regions[0].value) for value, example in zip(answers(folder, test), test, strict=True)]  # type: ignore[union-attr]
    assert np.mean(errors) < 0.25 * np.mean([abs(n % 9 - 4) for n in range(27)])


def test_scores_are_higher_where_answers_are_better(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    clear = paint(tmp_path / "clear", [1, 2, 3, 4, 5] * 6)
    noise = paint(tmp_path / "noise", [1, 2, 3, 4, 5] * 6, lambda _: rng.uniform(0, 255, (24, 30, 3)))

    scores = []
    for name, examples in (("clear", clear), ("noise", noise)):
        predictor = load(learn(examples, tmp_path / f"run-{name}", schema=STARS), "cpu")
        pictures = [images.read(example.path) for example in examples]
        scores.append(np.mean([number.score for (number,) in predictor.predict(pictures)]))

    assert scores[0] > scores[1] + 0.2
    assert scores[1] < 0.6


def test_numbers_of_parts_of_an_image_are_learnt_from_the_parts(tmp_path: Path) -> None:
    halves = np.zeros((32, 64, 3), dtype=np.uint8)
    halves[:, 32:] = 200
    PillowImage.fromarray(halves).save(tmp_path / "halves.png")
    parts = {0.0: Box.from_bounds("", 0, 0, 0.5, 1), 200.0: Box.from_bounds("", 0.5, 0, 1, 1)}
    examples = [
        Example(f"{value}-{n}", tmp_path / "halves.png", (Number(value),), Split.TRAIN, part)
        for value, part in parts.items()
        for n in range(6)
    ]

    folder = learn(examples, tmp_path / "run")

    dark, light = answers(folder, [examples[0], examples[-1]])
    assert dark < 60
    assert light > 140


def test_odd_images_are_answered(tmp_path: Path) -> None:
    predictor = load(learn(paint(tmp_path / "images", [1, 2, 3, 4] * 3), tmp_path / "run"), "cpu")

    odd = [Image(np.full(shape, 90, dtype=np.uint8), 1, 1) for shape in ((1, 1, 3), (1, 500, 3), (200, 2, 3))]
    found = predictor.predict(odd * 7)

    assert len(found) == 21
    assert all(isinstance(number, Number) and math.isfinite(number.value) for (number,) in found)
    assert predictor.predict([]) == []


def test_unreadable_images_and_examples_without_a_number_are_left_out(tmp_path: Path) -> None:
    recorder = Recorder()
    examples = paint(tmp_path / "images", [1, 2, 3, 4] * 3)
    examples[0].path.write_bytes(b"no image")
    examples[1] = Example("without", examples[1].path, (), Split.TRAIN)
    examples[2] = Example("endless", examples[2].path, (Number(math.inf),), Split.TRAIN)

    folder = learn(examples, tmp_path / "run", recorder=recorder)

    assert checkpoint.read_manifest(folder).metrics["num_train"] == 9
    skipped = {line.split()[0] for line in recorder.lines if "is skipped" in line}
    assert skipped == {"000.png", "without", "endless"}


def test_grey_images_of_16_bits_are_learnt_from(tmp_path: Path) -> None:
    examples = []
    for n in range(12):
        path = tmp_path / f"{n}.png"
        ramp = np.linspace(0, 60000, 400).reshape(20, 20) ** (1 + n % 3)
        PillowImage.fromarray((ramp / ramp.max() * 60000).astype(np.uint16)).save(path)
        examples.append(Example(path.name, path, (Number(float(n % 3)),), Split.TRAIN))

    folder = learn(examples, tmp_path / "run")

    assert np.allclose(answers(folder, examples), [n % 3 for n in range(12)], atol=0.5)


@pytest.mark.parametrize(
    ("values", "split", "sentence"),
    [
        ([], Split.TRAIN, "no images with a number"),
        ([3, 3, 3, 3], Split.TRAIN, "the same number"),
        ([1, 2, 3, 4], Split.HELD_OUT, "no labelled images to learn from"),
    ],
)
def test_what_cannot_be_learnt_is_refused_with_a_sentence(
    tmp_path: Path, values: list[float], split: Split, sentence: str
) -> None:
    painted = paint(tmp_path / "images", values)
    examples = [Example(example.key, example.path, example.regions, split) for example in painted]

    with pytest.raises(FamilyError, match=sentence):
        learn(examples, tmp_path / "run")


def test_images_none_of_which_can_be_read_are_refused(tmp_path: Path) -> None:
    examples = paint(tmp_path / "images", [1, 2, 3])
    for example in examples:
        example.path.write_bytes(b"")

    with pytest.raises(FamilyError, match="can be read"):
        learn(examples, tmp_path / "run")


def test_two_numbers_are_enough(tmp_path: Path) -> None:
    folder = learn(paint(tmp_path / "images", [1, 5]), tmp_path / "run")

    assert checkpoint.read_manifest(folder).held_out == {}


def test_a_fit_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    examples = paint(tmp_path / "images", [1, 2, 3, 4, 5] * 4, held_out=True)
    whole = learn(examples, tmp_path / "whole")

    with pytest.raises(InterruptedError):
        learn(examples, tmp_path / "stopped", recorder=Recorder(stop_after=4))
    stopped = learn(examples, tmp_path / "stopped")

    states = [torch.load(folder / checkpoint.WEIGHTS, weights_only=True) for folder in (whole, stopped)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_pretrained_weights_are_used_where_there_are_some(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "weights"
    weights.mkdir()
    network = load_torchvision().models.get_model("mobilenet_v3_small", weights=None)
    torch.save(network.state_dict(), weights / "mobilenet_v3_small.pth")

    folder = learn(
        paint(tmp_path / "images", [1, 2, 3, 4] * 3),
        tmp_path / "run",
        settings=FitSettings(max_epochs=1, image_px=32),
        weights=weights,
    )

    assert "mobilenet_v3_small from the folder" in checkpoint.read_manifest(folder).weights_source
