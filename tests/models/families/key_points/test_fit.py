from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from models import checkpoint, images
from models.examples import Example, Split
from models.families.key_points.fit import fit
from models.families.key_points.predict import load
from models.family import FamilyError, FitSettings, Progress
from models.images import Image
from models.labels import Label, LabelSchema, Objective
from models.learning.vision import load_torchvision
from models.metrics import evaluate
from models.regions import Choice, KeyPoint, Region

QUICK = FitSettings(max_epochs=1, image_px=32)
SCHEMA = LabelSchema(Objective.KEY_POINTS, (Label("sun"), Label("moon"), Label("never")))
COLOURS = {"sun": (250, 200, 40), "moon": (60, 120, 250)}
SIDE_PX = 64
Points = Sequence[tuple[str, float, float]]


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


def paint(path: Path, points: Points, *, split: Split = Split.TRAIN, seed: int = 0) -> Example:
    """Paint a disc at each point on noise."""
    pixels = np.random.default_rng(seed).uniform(0, 80, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    for label, x, y in points:
        cv2.circle(pixels, (int(x * SIDE_PX), int(y * SIDE_PX)), 3, COLOURS[label], -1)
    PillowImage.fromarray(pixels).save(path)
    return Example(path.name, path, tuple(KeyPoint(*point) for point in points), split)


def paint_pairs(folder: Path, num_images: int, *, seed: int = 0, held_out: bool = False) -> list[Example]:
    """Paint a sun in each image and a moon in two thirds of them; every fourth is held out."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    examples = []
    for n in range(num_images):
        (a, b), (c, d) = rng.uniform(0.1, 0.9, (2, 2)).tolist()
        points = [("sun", a, b), ("moon", c, d)][: 1 if n % 3 == 2 else 2]
        split = Split.HELD_OUT if held_out and n % 4 == 3 else Split.TRAIN
        examples.append(paint(folder / f"{n:03}.png", points, split=split, seed=seed + n))
    return examples


def learn(
    examples: list[Example],
    folder: Path,
    *,
    schema: LabelSchema = SCHEMA,
    settings: FitSettings = QUICK,
    recorder: Recorder | None = None,
    weights: Path | None = None,
) -> Path:
    folder.mkdir(exist_ok=True)
    fit(examples, schema, settings, device="cpu", report=recorder or Recorder(), folder=folder, weights=weights)
    return folder


def answers(folder: Path, examples: list[Example]) -> dict[str, list[Region]]:
    predictor = load(folder, "cpu")
    pictures = [images.read(example.path, min_side_px=predictor.min_side_px) for example in examples]
    return dict(zip([example.key for example in examples], predictor.predict(pictures), strict=True))


def measure(folder: Path, examples: list[Example]) -> dict[str, float]:
    truths = {example.key: example.regions for example in examples}
    return dict(evaluate(SCHEMA, truths, answers(folder, examples)).metrics)


def test_points_are_found_in_images_that_were_not_learnt_from(tmp_path: Path) -> None:
    recorder = Recorder()
    examples = paint_pairs(tmp_path / "images", 32, held_out=True)

    folder = learn(examples, tmp_path / "run", settings=FitSettings(max_epochs=14), recorder=recorder)

    assert {path.name for path in folder.iterdir()} == {checkpoint.MANIFEST, checkpoint.ONNX, checkpoint.WEIGHTS}
    manifest = checkpoint.read_manifest(folder)
    assert set(manifest.held_out) == {example.key for example in examples if example.split is Split.HELD_OUT}
    assert manifest.metrics["num_held_out"] == 8
    assert manifest.metrics["is_refit_on_all_labels"] is True
    fractions = [step.fraction for step in recorder.steps]
    assert (fractions, fractions[-1]) == (sorted(fractions), 1)
    measured = measure(folder, paint_pairs(tmp_path / "others", 24, seed=500))
    assert measured["pck@0.05"] > 0.8
    assert measured["precision"] > 0.8


def test_a_label_that_occurs_several_times_in_an_image_is_found_several_times(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def paint_crowds(name: str, num_images: int) -> list[Example]:
        (tmp_path / name).mkdir()
        examples = []
        for n in range(num_images):
            cells = rng.permutation(16)[: n % 6 + 1].tolist()
            points = [("sun", (cell % 4 + 0.5) / 4, (cell // 4 + 0.5) / 4) for cell in cells]
            examples.append(paint(tmp_path / name / f"{n:03}.png", points, seed=n))
        return examples

    folder = learn(paint_crowds("train", 24), tmp_path / "run", settings=FitSettings(max_epochs=14))

    measured = measure(folder, paint_crowds("test", 12))
    assert measured["pck@0.05"] > 0.8
    assert measured["precision"] > 0.8


def test_a_second_point_by_a_slip_does_not_make_a_crowd(tmp_path: Path) -> None:
    examples = paint_pairs(tmp_path / "images", 24)
    first = examples[0]
    examples[0] = Example(first.key, first.path, (*first.regions, KeyPoint("sun", 0.5, 0.5)), first.split)

    folder = learn(examples, tmp_path / "run")

    assert checkpoint.read_manifest(folder).inputs["reading"]["crowds"] == []


def test_points_that_were_marked_twice_do_no_harm(tmp_path: Path) -> None:
    examples = [
        Example(example.key, example.path, example.regions * 2, example.split)
        for example in paint_pairs(tmp_path / "images", 4)
    ]

    folder = learn(examples, tmp_path / "run")

    assert checkpoint.read_manifest(folder).inputs["reading"]["crowds"] == ["moon", "sun"]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that learnt next to nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("https_proxy", "http://127.0.0.1:9")
        folder = tmp_path_factory.mktemp("quick")
        patch.setenv("TORCH_HOME", str(folder))
        return learn(paint_pairs(folder / "images", 6), folder / "run")


def test_odd_images_are_answered(quick: Path) -> None:
    odd = [Image(np.full(shape, 90, dtype=np.uint8), 1, 1) for shape in ((1, 1, 3), (1, 500, 3), (200, 2, 3))]

    found = load(quick, "cpu").predict(odd * 4)

    assert len(found) == 12
    assert all(0 <= (point.score or 0) <= 1 for regions in found for point in regions)
    assert load(quick, "cpu").predict([]) == []


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey_images_are_answered(quick: Path, tmp_path: Path, depth: type) -> None:
    ramp = np.linspace(0, np.iinfo(depth).max, 900).reshape(30, 30).astype(depth)
    PillowImage.fromarray(ramp).save(tmp_path / "grey.png")

    assert len(load(quick, "cpu").predict([images.read(tmp_path / "grey.png")])) == 1


def test_points_outside_of_the_image_and_other_regions_are_left_out(tmp_path: Path) -> None:
    recorder = Recorder()
    examples = paint_pairs(tmp_path / "images", 6)
    odd = (
        KeyPoint("sun", 1.4, 0.5),
        KeyPoint("moon", 0.5, float("nan")),
        KeyPoint("stranger", 0.5, 0.5),
        Choice("sun"),
    )
    examples[0] = Example(examples[0].key, examples[0].path, odd, Split.TRAIN)

    learn(examples, tmp_path / "run", recorder=recorder)

    assert "000.png: 2 points outside of the image are left out" in recorder.lines


def test_a_label_that_appears_once_and_an_image_that_cannot_be_read_spoil_nothing(tmp_path: Path) -> None:
    recorder = Recorder()
    examples = paint_pairs(tmp_path / "images", 7)
    once = (*examples[1].regions, KeyPoint("never", 0.5, 0.5))
    examples[1] = Example(examples[1].key, examples[1].path, once, Split.TRAIN)
    examples[0].path.write_bytes(b"no image")

    folder = learn(examples, tmp_path / "run", recorder=recorder)

    assert checkpoint.read_manifest(folder).metrics["num_train"] == 6
    assert any(line.startswith("000.png is skipped") for line in recorder.lines)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda _: [], "no points"),
        (lambda examples: [Example(e.key, e.path, (), e.split) for e in examples], "no points"),
        (lambda examples: [Example(e.key, e.path, e.regions, Split.HELD_OUT) for e in examples], "no points"),
        (lambda examples: examples[:1], "two images"),
        (lambda examples: [Example(e.key, e.path.parent, e.regions, e.split) for e in examples], "can be read"),
    ],
)
def test_what_cannot_be_learnt_is_refused_with_a_sentence(
    tmp_path: Path, spoil: Callable[[list[Example]], list[Example]], sentence: str
) -> None:
    examples = spoil(paint_pairs(tmp_path / "images", 3))

    with pytest.raises(FamilyError, match=sentence):
        learn(examples, tmp_path / "run")


def test_a_fit_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    examples = paint_pairs(tmp_path / "images", 8, held_out=True)
    settings = FitSettings(max_epochs=2, image_px=32)
    whole = learn(examples, tmp_path / "whole", settings=settings)

    with pytest.raises(InterruptedError):
        learn(examples, tmp_path / "stopped", settings=settings, recorder=Recorder(stop_after=3))
    stopped = learn(examples, tmp_path / "stopped", settings=settings)

    states = [torch.load(folder / checkpoint.WEIGHTS, weights_only=True) for folder in (whole, stopped)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_pretrained_weights_are_used_where_there_are_some(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "weights"
    weights.mkdir()
    network = load_torchvision().models.get_model("mobilenet_v3_small", weights=None)
    torch.save(network.state_dict(), weights / "mobilenet_v3_small.pth")

    folder = learn(paint_pairs(tmp_path / "images", 4), tmp_path / "run", weights=weights)

    assert "mobilenet_v3_small from the folder" in checkpoint.read_manifest(folder).weights_source
