from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from models.families.object_detection.predict import Reading, find_boxes, suppress
from models.regions import Box

NAMES = ("cat", "dog")
READING = Reading(
    width_px=64,
    height_px=64,
    is_rotated=False,
    powers=(1.0, 1.0),
    min_score=0.2,
    same_overlap=0.5,
    other_overlap=0.8,
)
Maps = npt.NDArray[np.float32]


def make_output(*, num_channels: int = 6) -> Maps:
    return np.zeros((num_channels, 16, 16), dtype=np.float32)


def put(output: Maps, label: int, row: int, column: int, score: float, *shape: float) -> None:
    output[label, row, column] = score
    output[2:, row, column] = shape


def find(output: Maps, reading: Reading = READING, *, aspect: float = 1.0) -> list[Box]:
    return find_boxes(output, NAMES, reading, aspect=aspect)


def test_a_peak_becomes_the_box_that_is_said_there() -> None:
    output = make_output()
    put(output, 1, 4, 8, 0.9, 0.5, 0.3, 0.2, 0.4)

    assert find(output) == [
        Box("dog", pytest.approx(0.5), pytest.approx(0.3), pytest.approx(0.2), pytest.approx(0.4), score=0.9)  # type: ignore[arg-type]
    ]


def test_boxes_come_best_first_and_weak_ones_not_at_all() -> None:
    output = make_output()
    put(output, 0, 2, 2, 0.5, 0.15, 0.15, 0.1, 0.1)
    put(output, 1, 8, 8, 0.7, 0.5, 0.5, 0.1, 0.1)
    put(output, 0, 14, 2, 0.15, 0.15, 0.9, 0.1, 0.1)

    assert [(box.label, box.score) for box in find(output)] == [("dog", 0.7), ("cat", 0.5)]


def test_places_next_to_a_peak_are_no_boxes() -> None:
    output = make_output()
    put(output, 0, 5, 5, 0.9, 0.3, 0.3, 0.05, 0.05)
    put(output, 0, 5, 6, 0.8, 0.8, 0.8, 0.05, 0.05)

    assert len(find(output)) == 1


def test_scores_are_raised_to_the_power_of_their_label() -> None:
    output = make_output()
    put(output, 0, 2, 2, 0.25, 0.15, 0.15, 0.1, 0.1)
    put(output, 1, 8, 8, 0.25, 0.5, 0.5, 0.1, 0.1)

    assert [(box.label, box.score) for box in find(output, replace(READING, powers=(0.5, 2.0)))] == [("cat", 0.5)]


def test_boxes_end_at_the_edge_of_the_image_and_those_beyond_are_left_out() -> None:
    output = make_output()
    put(output, 0, 8, 15, 0.9, 0.95, 0.5, 0.2, 0.2)
    put(output, 0, 8, 2, 0.9, -0.3, 0.5, 0.2, 0.2)

    (box,) = find(output)

    assert box.bounds == pytest.approx((0.85, 0.4, 1.0, 0.6))


def test_on_a_wide_canvas_sizes_are_shares_of_its_root_area() -> None:
    output = make_output()
    put(output, 0, 8, 8, 0.9, 0.5, 0.5, 0.25, 0.25)  # 16 pixels each

    (box,) = find(output, replace(READING, width_px=128, height_px=32))

    assert (box.width, box.height) == pytest.approx((16 / 128, 16 / 32))


def make_rotated(cos: float, sin: float, *, aspect: float = 1.0, reading: Reading = READING) -> Box:
    output = make_output(num_channels=8)
    put(output, 0, 8, 8, 0.9, 0.5, 0.5, 0.5, 0.25, cos, sin)
    (box,) = find(output, replace(reading, is_rotated=True), aspect=aspect)
    return box


@pytest.mark.parametrize(
    ("degrees", "width", "height", "rotation"),
    [(20, 0.5, 0.25, 20), (-20, 0.5, 0.25, 340), (70, 0.25, 0.5, 340), (110, 0.25, 0.5, 20), (90, 0.25, 0.5, 0)],
)
def test_a_direction_turns_the_box_the_least_way(degrees: float, width: float, height: float, rotation: float) -> None:
    double = np.radians(2 * degrees)

    box = make_rotated(np.cos(double), np.sin(double))

    assert (box.width, box.height) == pytest.approx((width, height))
    assert box.rotation == pytest.approx(rotation, abs=0.01)


def test_a_box_without_a_clear_direction_is_upright_and_square() -> None:
    box = make_rotated(0.1, 0.1)

    assert box.rotation == 0
    assert box.width == pytest.approx(box.height) == pytest.approx((0.5 * 0.25) ** 0.5)


def test_a_rotated_box_means_pixels_of_the_image_whatever_the_canvas() -> None:
    # An image of 2:1 on a square canvas: lying there 32 × 16 pixels, it is four times as long as high in the image.
    box = make_rotated(1.0, 0.0, aspect=2.0)

    assert (box.width, box.height, box.rotation, box.aspect) == pytest.approx((0.5, 0.25, 0, 2.0))

    turned = make_rotated(0.0, 1.0, aspect=2.0)  # at 45 degrees on the canvas, less in the image
    assert 15 < turned.rotation < 30


def test_of_boxes_that_overlap_too_much_the_best_stays() -> None:
    best = Box("cat", 0.5, 0.5, 0.2, 0.2, score=0.9)
    same, other, apart = replace(best, x=0.53), replace(best, x=0.53, label="dog"), replace(best, x=0.7)

    assert suppress([best, same, other, apart], same_overlap=0.5, other_overlap=0.8) == [best, other, apart]
    assert suppress([best, other], same_overlap=0.5, other_overlap=0.6) == [best]
    assert suppress([], same_overlap=0.5, other_overlap=0.6) == []


def test_a_box_that_was_left_out_pushes_no_other_one_out() -> None:
    first = Box("cat", 0.5, 0.5, 0.2, 0.2)
    second, third = replace(first, x=0.55), replace(first, x=0.6)

    assert suppress([first, second, third], same_overlap=0.5, other_overlap=0.8) == [first, third]


def test_an_output_that_is_the_same_everywhere_is_answered_in_reasonable_number() -> None:
    output = make_output()
    output[:2] = 0.9
    output[2:4] = np.random.default_rng(0).random((2, 16, 16))
    output[4:] = 0.01

    assert 0 < len(find(output)) <= 500


def test_how_maps_are_read_survives_the_manifest() -> None:
    assert Reading.from_json(READING.to_json()) == READING
