from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from models import checkpoint, images
from models.examples import Example, Split
from models.families.instance_segmentation.fit import draw_depths, fit
from models.families.instance_segmentation.predict import InstanceSegmenter, load
from models.family import FamilyError, FitSettings, Progress
from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.outlines import fill
from models.regions import Polygon, Region

SCHEMA = LabelSchema(Objective.INSTANCE_SEGMENTATION, (Label("red"), Label("blue")))
COLOURS = {"red": (210, 40, 40), "blue": (40, 40, 210)}
SHORT = FitSettings(max_epochs=1, image_px=32)


class Silence:
    def progress(self, progress: Progress) -> None:
        pass

    def log(self, line: str) -> None:
        pass


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty hub cache, and no way to the hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def circle(label: str, x: float, y: float, radius: float) -> Polygon:
    angles = np.arange(24) / 24 * 2 * np.pi
    return Polygon(label, tuple(zip(x + radius * np.cos(angles), y + radius * np.sin(angles), strict=True)))


def square(left: float, top: float, side: float) -> Polygon:
    right, bottom = left + side, top + side
    return Polygon("red", ((left, top), (right, top), (right, bottom), (left, bottom)))


def paint(folder: Path, num: int, *, num_held_out: int = 0, size: int = 64) -> list[Example]:
    """Noisy images with two touching discs of one colour and one of the other."""
    rng = np.random.default_rng(0)
    examples = []
    for n in range(num):
        y, gap = rng.uniform(0.25, 0.4), rng.uniform(0.0, 0.04)
        pair = [circle("red", x, y, 0.14) for x in (0.36 - gap, 0.64 + gap)]
        regions = (*pair, circle("blue", rng.uniform(0.3, 0.7), 0.75, 0.12))
        pixels = np.full((size, size, 3), 120.0)
        for region in regions:
            pixels[fill(region.points, size, size)] = COLOURS[region.label]
        path = folder / f"{n:02}.png"
        PillowImage.fromarray(np.clip(pixels + rng.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)).save(path)
        examples.append(Example(path.name, path, regions, Split.HELD_OUT if n < num_held_out else Split.TRAIN))
    return examples


def learn(examples: list[Example], folder: Path, *, settings: FitSettings = SHORT) -> InstanceSegmenter:
    folder.mkdir(exist_ok=True)
    fit(examples, SCHEMA, settings, device="cpu", report=Silence(), folder=folder, weights=None)
    return load(folder, "cpu")


def test_a_fit_learns_measures_itself_and_outlines_things(tmp_path: Path) -> None:
    examples = paint(tmp_path, 6, num_held_out=1)

    segmenter = learn(examples, tmp_path / "run", settings=FitSettings(max_epochs=40, image_px=32))

    manifest = checkpoint.read_manifest(tmp_path / "run")
    assert manifest.metrics["mean_iou"] > 0.5
    assert manifest.inputs["groups"] == [[0, 1]]
    answers = segmenter.predict([images.read(each.path, min_side_px=segmenter.min_side_px) for each in examples])
    truths = {example.key: example.regions for example in examples}
    metrics = evaluate(SCHEMA, truths, dict(zip(truths, answers, strict=True))).metrics
    assert metrics["mean_iou"] > 0.75
    assert metrics["map_50"] > 0.5


def test_labels_that_lie_on_each_other_are_groups_of_their_own(tmp_path: Path) -> None:
    examples = [
        Example(each.key, each.path, (circle("red", 0.5, 0.5, 0.4), circle("blue", 0.5, 0.5, 0.2)), each.split)
        for each in paint(tmp_path, 2)
    ]

    learn(examples, tmp_path / "run")

    assert checkpoint.read_manifest(tmp_path / "run").inputs["groups"] == [[0], [1]]


def test_depth_is_one_at_the_heart_and_nothing_outside() -> None:
    depth, areas = draw_depths([square(0.25, 0.25, 0.5)], width_px=16, height_px=16)

    assert areas == [pytest.approx(0.25)]
    assert depth[8, 8] > 220
    assert depth[4, 8] < 60
    assert not depth[:4].any()
    assert not depth[:, 12:].any()


def test_things_that_touch_have_an_edge_between_them() -> None:
    depth, _ = draw_depths([square(0.1, 0.25, 0.4), square(0.5, 0.25, 0.4)], width_px=40, height_px=40)

    assert depth[18, 19:21].max() < 40
    assert min(depth[18, 12], depth[18, 28]) > 200


def test_a_smaller_thing_lies_in_front() -> None:
    depth, areas = draw_depths([square(0.45, 0.45, 0.2), square(0.1, 0.1, 0.8)], width_px=40, height_px=40)

    assert len(areas) == 2
    assert depth[22, 22] > 200
    assert depth[22, 18] < 60


def test_odd_annotations_do_not_stop_a_fit(tmp_path: Path) -> None:
    odd: list[tuple[Region, ...]] = [
        (circle("red", 0.5, 0.5, 0.3),),
        (Polygon("red", ((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9))),),
        (Polygon("red", ((0.1, 0.1), (0.5, 0.5), (0.9, 0.9))),),
        (Polygon("red", ((0.1, 0.1), (0.5, 0.5))), Polygon("blue", ((0.5, 0.5),) * 4)),
        (circle("red", 1.0, 1.0, 0.3), circle("red", 3.0, 3.0, 0.3)),
        (circle("green", 0.5, 0.5, 0.3),),
        (),
    ]
    painted = paint(tmp_path, len(odd))
    examples = [Example(each.key, each.path, regions, each.split) for each, regions in zip(painted, odd, strict=True)]

    segmenter = learn(examples, tmp_path / "run")

    assert len(segmenter.predict([images.read(examples[0].path)])) == 1


def test_a_set_without_anything_outlined_is_refused(tmp_path: Path) -> None:
    (example,) = paint(tmp_path, 1)

    with pytest.raises(FamilyError, match="Nothing is drawn"):
        learn([Example("a", example.path, (), Split.TRAIN)], tmp_path / "run")


@pytest.mark.parametrize("size", [(1, 1), (20_000, 50)])
def test_images_of_any_shape_can_be_learnt_and_predicted(tmp_path: Path, size: tuple[int, int]) -> None:
    PillowImage.new("L", size, 100).save(tmp_path / "odd.png")
    odd = Example("odd", tmp_path / "odd.png", (circle("red", 0.5, 0.5, 0.4),), Split.TRAIN)

    segmenter = learn([odd, *paint(tmp_path, 1)], tmp_path / "run")

    assert len(segmenter.predict([images.read(odd.path, min_side_px=segmenter.min_side_px)])) == 1
