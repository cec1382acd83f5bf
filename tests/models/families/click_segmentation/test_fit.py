import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from clicked_pictures import disc
from PIL import Image as PillowImage

from models import checkpoint
from models.clicks import Prompts
from models.examples import Example, Split
from models.families.click_segmentation.fit import fit
from models.families.click_segmentation.predict import LearnedSegmenter, expected_overlap, load, look, view_around
from models.family import FamilyError, FitSettings, Progress
from models.interactive import simulated
from models.interactive.classical import ClassicalSegmenter
from models.labels import LabelSchema, Objective
from models.regions import Box, Mask, Polygon, Region

_SCHEMA = LabelSchema(Objective.CLICK_SEGMENTATION, ())
_SETTINGS = FitSettings(max_epochs=2, image_px=64)


class Notes:
    """A report that remembers."""

    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.lines: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.fractions.append(progress.fraction)

    def log(self, line: str) -> None:
        self.lines.append(line)


def example(folder: Path, number: int, split: Split, *, regions: Sequence[Region] | None = None) -> Example:
    path = folder / f"{number}.png"
    image, truth = disc(centre=(80 + 10 * number, 60), radius_px=20, size=(160, 120), seed=number)
    PillowImage.fromarray(image.pixels).save(path)
    if regions is None:
        points = cv2.findContours(truth.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0][:, 0]
        outline = Polygon("disc", tuple(((x + 0.5) / 160, (y + 0.5) / 120) for x, y in points.tolist()))
        regions = (outline,) if number % 2 else (Mask.from_array("disc", truth),)
    return Example(f"{number}", path, tuple(regions), split)


def learn(examples: Sequence[Example], folder: Path) -> Notes:
    notes = Notes()
    fit(examples, _SCHEMA, _SETTINGS, device="cpu", report=notes, folder=folder, weights=None)
    return notes


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Notes]:
    folder = tmp_path_factory.mktemp("fit")
    splits = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.HELD_OUT, Split.HELD_OUT)
    examples = [example(folder, number, split) for number, split in enumerate(splits)]
    return folder, learn(examples, folder)


def test_a_checkpoint_is_left_and_nothing_else(fitted: tuple[Path, Notes]) -> None:
    folder, notes = fitted

    left = {path.name for path in folder.iterdir() if path.suffix != ".png"}
    assert left == {checkpoint.MANIFEST, checkpoint.ONNX, checkpoint.WEIGHTS}
    assert notes.fractions == sorted(notes.fractions)
    assert notes.fractions[-1] == 1.0


def test_the_metrics_stand_beside_those_of_the_classical_segmenter(fitted: tuple[Path, Notes]) -> None:
    metrics = json.loads((fitted[0] / checkpoint.MANIFEST).read_text())["metrics"]

    assert set(metrics["iou"]) == set(metrics["iou_classical"]) == {"box", "1", "2", "3", "5"}
    assert metrics["iou_classical"]["box"] > 0.9
    assert (metrics["num_train"], metrics["num_held_out"]) == (3, 2)
    assert metrics["is_better_than_classical"] is False  # two things prove nothing


def test_what_is_served_answers_a_box_and_a_click(fitted: tuple[Path, Notes]) -> None:
    segmenter = load(fitted[0], "cpu")
    image, truth = disc(centre=(100, 70), radius_px=20, size=(160, 120), seed=9)
    encoded = segmenter.encode(image)

    for prompts in (simulated.box_around(truth), simulated.first_click(truth)):
        segment = segmenter.segment(encoded, prompts)
        assert segment is not None
        assert simulated.overlap(simulated.draw(segment, truth), truth) > 0.8
        assert 0 < segment.score <= 1
        assert 0 <= segment.left < segment.right <= 1


def test_without_a_click_it_finds_nothing(fitted: tuple[Path, Notes]) -> None:
    image, _ = disc()

    assert load(fitted[0], "cpu").predict([image, image]) == [[], []]


def test_the_key_names_the_weights(fitted: tuple[Path, Notes]) -> None:
    assert load(fitted[0], "cpu").key == LearnedSegmenter(fitted[0], "cpu").key


def test_boxes_and_nothing_else_are_refused(tmp_path: Path) -> None:
    boxed = example(tmp_path, 1, Split.TRAIN, regions=(Box("disc", 0.5, 0.5, 0.2, 0.2),))

    with pytest.raises(FamilyError, match="no outlines to learn from yet"):
        learn([boxed], tmp_path)


def test_unusable_outlines_and_images_are_left_out(tmp_path: Path) -> None:
    bad = (
        Mask("disc", 160, 120, (7,)),  # runs of another size
        Mask("disc", 160, 120, (160 * 120,)),  # empty
        Polygon("disc", ((0.5, 0.5), (0.5, 0.5), (0.5, 0.5))),
    )
    broken = example(tmp_path, 3, Split.TRAIN)
    broken.path.write_bytes(b"no image")

    notes = learn([example(tmp_path, 1, Split.TRAIN, regions=bad), example(tmp_path, 2, Split.TRAIN), broken], tmp_path)

    assert any("1 things are learnt from" in line for line in notes.lines)
    assert any(line.startswith("3 is skipped") for line in notes.lines)


def test_the_network_sees_colours_clicks_the_box_and_the_classical_answer() -> None:
    segmenter = ClassicalSegmenter()
    image, truth = disc()
    encoded, (box,) = segmenter.encode(image), simulated.box_around(truth).boxes
    prompts = Prompts(inside=((box.x, box.y),), outside=((0.9, 0.9),), boxes=(box,))
    hint = segmenter.segment(encoded, prompts)

    view = view_around(encoded, prompts, hint, side_px=64)
    maps = look(encoded, prompts, hint, view)

    assert maps.shape == (7, 64, 64)
    assert maps[0, 32, 32] > 150 > maps[1, 32, 32]  # red
    assert maps[3, 32, 32] == 255
    assert not maps[4].any()  # that click is out of view
    assert (maps[5] > 0).mean() == pytest.approx((1 / 1.6) ** 2, abs=0.03)
    assert (maps[6] > 0).mean() == pytest.approx(np.pi / 4 / 1.6**2, abs=0.03)


def test_the_expected_overlap_of_a_sure_answer_is_one() -> None:
    inside = np.array([[True, False]])

    assert expected_overlap(inside.astype(np.float32), inside) == 1.0
    assert expected_overlap(np.array([[0.6, 0.4]], np.float32), inside) == pytest.approx(0.6 / 1.4, abs=1e-4)
