from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from models import checkpoint, images
from models.examples import Example, Split
from models.families.object_detection.fit import fit
from models.families.object_detection.predict import load
from models.family import FamilyError, FitSettings, Progress
from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.regions import Box, Region

SCHEMA = LabelSchema(Objective.DETECTION, (Label("disc"), Label("stick")))
WIDTH_PX, HEIGHT_PX = 96, 72


class Recorder:
    """A report that remembers."""

    def __init__(self) -> None:
        self.steps: list[Progress] = []
        self.lines: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty hub cache, and no way to the hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def paint(folder: Path, number: int, *, is_rotated: bool = False, num_things: int = 3) -> Example:
    """Paint red discs and green sticks, apart from each other, on noise; every fifth image is held out."""
    rng = np.random.default_rng(number)
    pixels = rng.normal(60, 12, (HEIGHT_PX, WIDTH_PX, 3))
    boxes: list[Box] = []
    cells = rng.permutation(6)[:num_things]
    for cell in cells:
        x, y = (cell % 3 + 0.5) * WIDTH_PX / 3, (cell // 3 + 0.5) * HEIGHT_PX / 2
        if rng.random() < 0.5 and not is_rotated:
            radius = int(rng.integers(7, 12))
            cv2.circle(pixels, (int(x), int(y)), radius, (220, 40, 40), -1)
            boxes.append(make_box("disc", x, y, 2 * radius, 2 * radius))
        else:
            degrees = float(rng.uniform(-45, 45)) if is_rotated else 0.0
            corners = cv2.boxPoints(((x, y), (26.0, 9.0), degrees)).astype(np.int32)
            cv2.fillConvexPoly(pixels, corners, (40, 220, 40))
            boxes.append(make_box("stick", x, y, 26, 9, rotation=degrees % 360))
    path = folder / f"{number}.png"
    PillowImage.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return Example(path.name, path, tuple(boxes), Split.HELD_OUT if number % 5 == 4 else Split.TRAIN)


def make_box(label: str, x: float, y: float, width: float, height: float, *, rotation: float = 0.0) -> Box:
    aspect = WIDTH_PX / HEIGHT_PX
    return Box(label, x / WIDTH_PX, y / HEIGHT_PX, width / WIDTH_PX, height / HEIGHT_PX, rotation, aspect)


def learn(
    examples: Sequence[Example], folder: Path, *, settings: FitSettings, recorder: Recorder | None = None
) -> checkpoint.Manifest:
    folder.mkdir(exist_ok=True)
    fit(examples, SCHEMA, settings, device="cpu", report=recorder or Recorder(), folder=folder, weights=None)
    return checkpoint.read_manifest(folder)


def answer(folder: Path, examples: Sequence[Example]) -> dict[str, list[Region]]:
    predictor = load(folder, "cpu")
    pictures = [images.read(example.path, min_side_px=predictor.min_side_px) for example in examples]
    return dict(zip([example.key for example in examples], predictor.predict(pictures), strict=True))


def test_a_fit_learns_measures_itself_and_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    examples = [paint(tmp_path, number) for number in range(20)]
    unseen = [paint(tmp_path, number) for number in range(100, 110)]

    manifest = learn(examples, tmp_path / "run", settings=FitSettings(max_epochs=8))

    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        (checkpoint.MANIFEST, checkpoint.ONNX, checkpoint.WEIGHTS)
    )
    assert set(manifest.held_out) == {example.key for example in examples if example.split is Split.HELD_OUT}
    assert manifest.metrics["primary"] == manifest.metrics["map_50"] > 0.8
    evaluation = evaluate(SCHEMA, {e.key: e.regions for e in unseen}, answer(tmp_path / "run", unseen))
    assert evaluation.primary > 0.85
    assert evaluation.metrics["f1"] > 0.8


def test_rotated_boxes_are_answered_rotated(tmp_path: Path) -> None:
    examples = [paint(tmp_path, number, is_rotated=True) for number in range(20)]
    unseen = [paint(tmp_path, number, is_rotated=True) for number in range(100, 110)]

    manifest = learn(examples, tmp_path / "run", settings=FitSettings(max_epochs=14))

    assert manifest.inputs["is_rotated"] is True
    truths = {e.key: e.regions for e in unseen}
    answers = answer(tmp_path / "run", unseen)
    upright = {key: [replace(box, rotation=0.0) for box in boxes] for key, boxes in answers.items()}  # type: ignore[type-var]
    found, found_upright = (evaluate(SCHEMA, truths, each).primary for each in (answers, upright))
    assert found > 0.8
    assert found > found_upright + 0.2


def test_boxes_that_show_nothing_are_skipped_and_labels_that_appear_once_or_never_are_no_hindrance(
    tmp_path: Path,
) -> None:
    one, two, three, held_out = (paint(tmp_path, number) for number in (0, 1, 2, 4))
    bad = (
        Box("disc", 0.5, 0.5, 0.0, 0.2),
        Box("disc", 1.8, 0.5, 0.2, 0.2),
        Box("disc", float("nan"), 0.5, 0.2, 0.2),
        Box("renamed", 0.5, 0.5, 0.2, 0.2),
    )
    examples = [
        replace(one, regions=(*bad, Box("disc", 0.95, 0.5, 0.3, 0.3), Box("stick", 0.3, 0.5, 0.3, 0.1))),
        replace(two, regions=()),
        replace(three, regions=tuple(box for box in three.regions if box.label == "disc")),  # type: ignore[union-attr]
        replace(held_out, regions=()),
    ]
    recorder = Recorder()

    manifest = learn(examples, tmp_path / "run", settings=FitSettings(max_epochs=1, image_px=64), recorder=recorder)

    assert any(line.startswith("0.png: 4 regions are skipped") for line in recorder.lines)
    assert manifest.metrics["num_train"] == 3
    assert all(
        0 <= edge <= 1 for boxes in answer(tmp_path / "run", examples).values() for box in boxes for edge in box.bounds
    )  # type: ignore[union-attr]


def test_without_any_box_there_is_nothing_to_learn(tmp_path: Path) -> None:
    examples = [replace(paint(tmp_path, number), regions=()) for number in range(3)]

    with pytest.raises(FamilyError, match="has a box"):
        learn(examples, tmp_path / "run", settings=FitSettings(max_epochs=1))


def test_small_things_are_looked_for_on_a_larger_canvas(tmp_path: Path) -> None:
    pixels = np.zeros((300, 400, 3), dtype=np.uint8)
    PillowImage.fromarray(pixels).save(tmp_path / "large.png")
    sides: dict[float, int] = {}
    for size in (0.05, 0.5):
        box = Box("disc", 0.5, 0.5, size, size)
        example = Example("large.png", tmp_path / "large.png", (box,), Split.TRAIN)

        manifest = learn([example, replace(example, key="2")], tmp_path / "run", settings=FitSettings(max_epochs=1))

        sides[size] = manifest.inputs["width_px"]
    assert sides[0.05] > 1.5 * sides[0.5]


def test_where_nothing_is_held_out_some_images_are_until_the_scores_are_scaled(tmp_path: Path) -> None:
    examples = [replace(paint(tmp_path, number), split=Split.TRAIN) for number in range(10)]

    manifest = learn(examples, tmp_path / "run", settings=FitSettings(max_epochs=1, image_px=64))

    assert len(manifest.held_out) == manifest.metrics["num_held_out"] == 2
    assert manifest.metrics["is_refit_on_all_labels"] is True
