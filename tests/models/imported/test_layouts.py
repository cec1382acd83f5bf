"""Each layout's numbers, made by hand for one box of a 64 × 64 input: left 8, top 16, right 24, bottom 32, label 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from models.imported.layouts import LAYOUTS, guess

BOX = [8.0, 16.0, 24.0, 32.0]
NUM_CELLS = 8 * 8 + 4 * 4 + 2 * 2

Arrays = list[npt.NDArray[np.float32]]


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def yolox() -> Arrays:
    rows = np.zeros((1, NUM_CELLS, 5 + 3), dtype=np.float32)
    # The cell of stride 8 in column 1 and row 2 begins at (8, 16); its offset (1, 1) is (16, 24), the box's centre.
    rows[0, 2 * 8 + 1] = [1, 1, np.log(2), np.log(2), 0.5, 0.1, 0.8, 0.0]
    return [rows]


def yolov5() -> Arrays:
    rows = np.zeros((1, 3 * NUM_CELLS, 5 + 3), dtype=np.float32)
    rows[0, :, :2] = 40
    rows[0, 7] = [16, 24, 16, 16, 0.5, 0.1, 0.8, 0.0]
    return [rows]


def yolov8() -> Arrays:
    rows = np.zeros((1, 4 + 3, NUM_CELLS), dtype=np.float32)
    rows[0, :, 7] = [16, 24, 16, 16, 0.1, 0.4, 0.0]
    return [rows]


def yolov10() -> Arrays:
    return [np.float32([[[*BOX, 0.4, 1.0], [0, 0, 0, 0, 0, 0]]])]


def fastestdet() -> Arrays:
    maps = np.zeros((1, 5 + 3, 4, 4), dtype=np.float32)
    # Cells of 16 pixels; centre (16, 24) is column 1 + 0 and row 1 + 0.5; a quarter of the sides.
    maps[0, :, 1, 1] = [0.5, 0.0, np.arctanh(0.5), logit(0.25), logit(0.25), 0.0, 0.5, 0.0]
    return [maps]


def ssd() -> Arrays:
    scores = np.tile(np.float32([1, 0, 0, 0]), (1, 5, 1))
    boxes = np.zeros((1, 5, 4), dtype=np.float32)
    scores[0, 2], boxes[0, 2] = [0.5, 0.1, 0.4, 0.0], np.float32(BOX) / 64
    return [scores, boxes]


def torchvision() -> Arrays:
    return [np.float32([BOX]), np.int64([2]), np.float32([0.4])]  # type: ignore[list-item]


MADE = {
    "yolox": yolox,
    "yolov5": yolov5,
    "yolov8": yolov8,
    "yolov10": yolov10,
    "fastestdet": fastestdet,
    "ssd": ssd,
    "torchvision": torchvision,
}


def test_every_layout_is_checked_here() -> None:
    assert MADE.keys() == LAYOUTS.keys()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_decoded_to_pixels_of_the_input_and_a_score_for_each_label(name: str) -> None:
    found = LAYOUTS[name].decode(MADE[name](), 64, 64)

    best = int(found.scores_NK.max(1).argmax())
    assert found.corners_N4[best].tolist() == pytest.approx(BOX, abs=1e-4)
    assert int(found.scores_NK[best].argmax()) == 1
    expected = 0.5**0.6 * 0.5**0.4 if name == "fastestdet" else 0.4
    assert found.scores_NK[best, 1] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_told_from_the_others_by_its_outputs(name: str) -> None:
    assert guess(MADE[name](), 64, 64) == name


@pytest.mark.parametrize("shapes", [[(1, 10)], [(1, 3, 64, 64), (1, 5)], [(1, 100, 4)]])
def test_outputs_of_no_known_layout_are_not_guessed(shapes: list[tuple[int, ...]]) -> None:
    assert guess([np.zeros(shape, dtype=np.float32) for shape in shapes], 64, 64) is None


def test_boxes_and_scores_of_three_labels_are_told_apart_in_either_order() -> None:
    for outputs in (ssd(), ssd()[::-1]):
        assert LAYOUTS["ssd"].decode(outputs, 64, 64).corners_N4[2].tolist() == pytest.approx(BOX, abs=1e-4)
