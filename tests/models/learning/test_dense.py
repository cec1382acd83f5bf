import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor, nn

from models import checkpoint
from models.examples import Example, Split
from models.family import FamilyError, FitSettings, Progress
from models.labels import Label, LabelSchema, Objective
from models.learning import data, dense
from models.regions import Mask, Region
from models.runtime import Session

SCHEMA = LabelSchema(Objective.SEMANTIC_SEGMENTATION, (Label("bright"),))
RECIPE = dense.Recipe(
    family="semantic_segmentation",
    side_px=64,
    num_passes=60,
    augmentation=data.Augmentation(rotation=10, is_flipped=True),
    widths=(4, 8),
)
QUICK = FitSettings(max_epochs=2, image_px=32)


class Recorder:
    """A report that remembers, and may stop a fit."""

    def __init__(self, stop_at: tuple[str, int] | None = None) -> None:
        self.steps: list[Progress] = []
        self.lines: list[str] = []
        self.stop_at = stop_at

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)
        if (progress.stage, progress.epoch) == self.stop_at:
            raise InterruptedError

    def log(self, line: str) -> None:
        self.lines.append(line)


class Bright:
    """A target: the bright half of an image."""

    def __init__(self, canvas: dense.Canvas) -> None:
        self.canvas = canvas
        self.tuned_on: Sequence[int] | None = None
        self.seen: set[int] = set()

    num_outputs = 1

    def loss(self, maps: Tensor, indices: Sequence[int], theta: Tensor) -> Tensor:
        self.seen |= set(indices)
        pixels = data.warp(self.canvas.pixels(indices), theta).mean(1, keepdim=True)
        wanted = (nn.functional.avg_pool2d(pixels, 2) > 0.5).float()
        return nn.functional.binary_cross_entropy_with_logits(maps, wanted)

    def head(self) -> nn.Module:
        return nn.Sigmoid()

    def regions(self, output: dense.Maps, indices: Sequence[int]) -> list[list[Region]]:
        return [[Mask.from_array("bright", maps[0] > 0.5, score=0.9)] for maps in output]

    def inputs(self) -> Mapping[str, Any]:
        return {"is_tuned": self.tuned_on is not None}

    def tune(self, output: dense.Maps, indices: Sequence[int]) -> None:
        assert len(output) == len(indices)
        self.tuned_on = list(indices)


def paint(folder: Path, num: int, *, num_held_out: int = 0, size: tuple[int, int] = (40, 40)) -> list[Example]:
    examples = []
    for n in range(num):
        inside = np.zeros((size[1], size[0]), dtype=bool)
        inside[:, : 10 + n % 5] = True
        path = folder / f"{n:02}.png"
        PillowImage.fromarray(np.where(inside, 230, 30).astype(np.uint8)).save(path)
        split = Split.HELD_OUT if n < num_held_out else Split.TRAIN
        examples.append(Example(path.name, path, (Mask.from_array("bright", inside),), split))
    return examples


def learn(
    examples: Sequence[Example],
    folder: Path,
    *,
    settings: FitSettings = QUICK,
    recorder: Recorder | None = None,
    recipe: dense.Recipe = RECIPE,
) -> Bright:
    folder.mkdir(exist_ok=True)
    job = dense.Job(examples, SCHEMA, settings, "cpu", recorder or Recorder(), folder, None)
    targets: list[Bright] = []

    def aim(canvas: dense.Canvas) -> Bright:
        targets.append(Bright(canvas))
        return targets[0]

    dense.fit(job, recipe, aim)
    return targets[0]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty hub cache, and no way to the hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def test_a_fit_leaves_a_checkpoint_that_computes_maps(tmp_path: Path) -> None:
    learn(paint(tmp_path, 6, num_held_out=2), tmp_path / "run")

    manifest = checkpoint.read_manifest(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"manifest.json", "model.onnx", "weights.pth"}
    assert (manifest.inputs["width_px"], manifest.inputs["height_px"]) == (32, 32)
    (maps,) = Session(tmp_path / "run" / checkpoint.ONNX, device="cpu").run(
        {"images": np.zeros((1, 3, 32, 32), dtype=np.float32)}
    )
    assert maps.shape == (1, 1, 16, 16)


def test_what_was_held_out_is_measured_before_it_is_learnt(tmp_path: Path) -> None:
    examples = paint(tmp_path, 8, num_held_out=2)
    recorder = Recorder(stop_at=("training on all labels", 1))

    with pytest.raises(InterruptedError):
        learn(examples, tmp_path / "run", recorder=recorder)
    assert [step.stage for step in recorder.steps][-2:] == ["evaluating", "training on all labels"]

    target = learn(examples, tmp_path / "other", settings=dataclasses.replace(QUICK, max_epochs=8))
    manifest = checkpoint.read_manifest(tmp_path / "other")
    assert target.tuned_on == [0, 1]
    assert target.seen == set(range(8))
    assert manifest.metrics["is_refit_on_all_labels"] is True
    assert manifest.metrics["mean_iou"] > 0.6
    assert set(manifest.held_out) == {"00.png", "01.png"}
    assert (manifest.metrics["num_train"], manifest.metrics["num_held_out"]) == (6, 2)


def test_without_held_out_images_nothing_is_measured_or_tuned(tmp_path: Path) -> None:
    target = learn(paint(tmp_path, 3), tmp_path / "run")

    manifest = checkpoint.read_manifest(tmp_path / "run")
    assert target.tuned_on is None
    assert "primary" not in manifest.metrics
    assert manifest.held_out == {}
    assert manifest.metrics["is_refit_on_all_labels"] is False


@pytest.mark.parametrize("stop_at", [("evaluating", 1), ("training on all labels", 1)])
def test_a_fit_that_was_killed_goes_on_to_the_same_weights(tmp_path: Path, stop_at: tuple[str, int]) -> None:
    examples = paint(tmp_path, 5, num_held_out=1)
    settings = dataclasses.replace(QUICK, max_epochs=3)
    with pytest.raises(InterruptedError):
        learn(examples, tmp_path / "killed", settings=settings, recorder=Recorder(stop_at))

    recorder = Recorder()
    learn(examples, tmp_path / "killed", settings=settings, recorder=recorder)
    learn(examples, tmp_path / "whole", settings=settings)

    states = [torch.load(tmp_path / run / checkpoint.WEIGHTS, weights_only=True) for run in ("killed", "whole")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
    assert (stop_at[0], 1) not in {(step.stage, step.epoch) for step in recorder.steps}


def test_progress_never_goes_back_and_ends_at_one(tmp_path: Path) -> None:
    recorder = Recorder()

    learn(paint(tmp_path, 5, num_held_out=1), tmp_path / "run", recorder=recorder)

    fractions = [step.fraction for step in recorder.steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_the_canvas_has_about_the_shape_of_the_images(tmp_path: Path) -> None:
    target = learn(
        paint(tmp_path, 2, size=(200, 80)), tmp_path / "run", settings=dataclasses.replace(QUICK, image_px=64)
    )

    assert (target.canvas.width_px, target.canvas.height_px) == (96, 32)


@pytest.mark.parametrize("size", [(1, 1), (2000, 2), (3, 500)])
def test_odd_images_are_squeezed_too(tmp_path: Path, size: tuple[int, int]) -> None:
    target = learn(paint(tmp_path, 2, size=size), tmp_path / "run", settings=FitSettings(max_epochs=1))

    assert target.canvas.width_px % 32 == target.canvas.height_px % 32 == 0


def test_the_number_of_epochs_follows_the_time_limit(tmp_path: Path) -> None:
    examples = paint(tmp_path, 2)
    recipe = dataclasses.replace(RECIPE, num_passes=16)
    counts = []
    for limit in (None, 75.0):
        learn(examples, tmp_path / f"run{limit}", settings=FitSettings(image_px=64, time_limit_s=limit), recipe=recipe)
        counts.append(checkpoint.read_manifest(tmp_path / f"run{limit}").metrics["num_epochs"])

    assert counts == [8, 4]


def test_unreadable_images_are_left_out(tmp_path: Path) -> None:
    good = paint(tmp_path, 2)
    (tmp_path / "bad.png").write_bytes(b"no image")
    recorder = Recorder()

    target = learn([*good, Example("bad", tmp_path / "bad.png", (), Split.TRAIN)], tmp_path / "run", recorder=recorder)

    assert [example.key for example in target.canvas.examples] == ["00.png", "01.png"]
    assert any("bad is skipped" in line for line in recorder.lines)


def test_nothing_to_learn_from_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    cases = {
        "There are no labelled images yet": [],
        "None of the labelled images can be read": [Example("bad", tmp_path / "bad.png", (), Split.TRAIN)],
        "set aside for measuring": paint(tmp_path, 2, num_held_out=2),
    }

    for sentence, examples in cases.items():
        with pytest.raises(FamilyError, match=sentence):
            learn(examples, tmp_path / "run")
