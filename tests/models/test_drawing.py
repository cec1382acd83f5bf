from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.drawing import Layer, draw, picture
from models.regions import Box, Choice, KeyPoint, Mask, Number, Polygon, Region, Span

RED, GREEN = (230, 25, 75), (60, 180, 75)
COLOURS = {"cat": "#e6194b", "dog": "#3cb44b", "汽车": "#4363d8"}
GREY = 100
TRIANGLE = ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8))


def drawn(*regions: Region, is_found: bool = False, width_px: int = 600, height_px: int = 400) -> npt.NDArray[np.uint8]:
    canvas = np.full((height_px, width_px, 3), GREY, dtype=np.uint8)
    return draw(canvas, [Layer(regions, COLOURS, is_found)])


def changed(shown: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return np.asarray((shown != GREY).any(2))


def share_of(colour: tuple[int, int, int], line: npt.NDArray[np.uint8]) -> float:
    return float((line == colour).all(1).mean())


def test_without_regions_a_copy_is_returned() -> None:
    canvas = np.full((40, 60, 3), GREY, dtype=np.uint8)

    same = draw(canvas, [Layer((), COLOURS, is_found=False)])

    assert (same == canvas).all()
    assert same is not canvas


def test_a_box_has_a_line_of_its_colour_along_its_edge_and_nothing_inside() -> None:
    shown = drawn(Box.from_bounds("cat", 0.25, 0.25, 0.75, 0.75))

    assert share_of(RED, shown[110:290, 150]) == 1
    assert share_of(RED, shown[300, 160:440]) == 1
    assert not changed(shown)[110:290, 160:440].any()


def test_what_was_found_is_dashed() -> None:
    box = Box.from_bounds("cat", 0.25, 0.25, 0.75, 0.75, score=0.9)

    line = drawn(box, is_found=True)[110:290, 150]

    assert 0.4 < share_of(RED, line) < 0.8
    assert (line.max(1) < 60).any()


def test_a_tag_above_a_box_has_its_colour() -> None:
    box = Box.from_bounds("dog", 0.25, 0.25, 0.75, 0.75)

    said, found = drawn(box), drawn(replace(box, score=0.5), is_found=True)

    row, column = 90, 155  # left of the first letter, right of the stripe
    assert np.abs(said[row, column - 4] - (0.85 * np.array(GREEN) + 0.15 * GREY)).max() <= 1
    assert found[row, column].max() < 50


@pytest.mark.parametrize(
    "region",
    [
        Box.from_bounds("cat", -0.2, -0.1, 1.3, 1.1),
        Polygon("cat", ((0, 0), (1, 0), (1, 1), (0, 1))),
        Mask.from_array("cat", np.ones((40, 60))),
    ],
    ids=lambda region: region.kind,
)
def test_all_of_a_line_is_seen_where_it_runs_along_the_edge_of_the_image(region: Region) -> None:
    shown = drawn(region)

    for line in (shown[200:-8, 0], shown[200:-8, -1], shown[-1, 8:-8], shown[0, 300:-8]):
        assert np.abs(line.astype(int) - RED).max() < 40


@pytest.mark.parametrize(
    "region",
    [
        Box("cat", 0.0, 1.0, 0.5, 0.5, rotation=45, aspect=1.5),
        Polygon("cat", ((-50, -50), (1e9, 0.5), (0.5, 1e9))),
        KeyPoint("cat", 1.0, 1.0),
        KeyPoint("cat", 3.0, -3.0),
    ],
    ids=lambda region: region.kind,
)
@pytest.mark.parametrize("is_found", [False, True])
def test_what_lies_outside_of_the_image_is_cut_off(region: Region, is_found: bool) -> None:
    assert drawn(region, is_found=is_found).shape == (400, 600, 3)


@pytest.mark.parametrize("region", [Polygon("cat", TRIANGLE), Mask.from_array("cat", np.ones((4, 6)))])
def test_what_is_covered_is_translucent(region: Region) -> None:
    inside = drawn(region)[200, 300]

    expected = np.rint(0.65 * GREY + 0.35 * np.array(RED))
    assert np.abs(inside - expected).max() <= 1
    assert (drawn(region, is_found=True)[200, 300] == np.rint(0.8 * GREY + 0.2 * np.array(RED))).all()


def test_a_hole_of_a_mask_is_left_as_it_is() -> None:
    ring = np.ones((40, 60))
    ring[10:30, 15:45] = 0

    shown = drawn(Mask.from_array("cat", ring))

    assert not changed(shown)[110:290, 160:440].any()
    assert changed(shown)[50, 300]


@pytest.mark.parametrize("mask", [Mask("cat", 60, 40, (5, 5)), Mask.from_array("cat", np.zeros((40, 60)))])
def test_a_mask_that_is_broken_or_empty_is_left_out(mask: Mask) -> None:
    assert not changed(drawn(mask)).any()


def test_where_outlines_lie_on_each_other_the_most_important_counts() -> None:
    both = drawn(Polygon("dog", TRIANGLE), Polygon("cat", TRIANGLE))

    assert (both[200, 300] == drawn(Polygon("dog", TRIANGLE))[200, 300]).all()


def test_a_point_is_a_disc_where_it_was_said_and_a_ring_where_it_was_found() -> None:
    point = KeyPoint("cat", 0.5, 0.5)

    assert tuple(drawn(point)[199, 299]) == RED
    assert tuple(drawn(point, is_found=True)[199, 299]) == (GREY,) * 3
    assert tuple(drawn(point, is_found=True)[199, 304]) == RED


def test_what_is_about_the_whole_image_is_written_at_the_top() -> None:
    shown = drawn(Choice("cat", 0.9), Choice("dog", 0.4), Number(3.5))

    assert changed(shown)[:10, :40].all()
    assert not changed(shown)[40:].any()


def test_a_choice_about_a_part_is_drawn_where_that_is() -> None:
    part = Box.from_bounds("", 0.25, 0.25, 0.75, 0.75)

    assert share_of(RED, drawn(Choice("cat", part=part))[110:290, 150]) == 1


def test_spans_of_texts_are_left_out() -> None:
    assert not changed(drawn(Span("cat", 0, 4))).any()


def test_a_label_that_nobody_knows_is_grey() -> None:
    assert share_of((128, 128, 128), drawn(Box.from_bounds("cow", 0.25, 0.25, 0.75, 0.75))[110:290, 150]) == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 2), (64, 48)])
def test_the_smallest_images_can_be_drawn_on(size: tuple[int, int]) -> None:
    regions = (
        Box.from_bounds("cat", 0.1, 0.1, 0.9, 0.9),
        Polygon("汽车", TRIANGLE),
        Mask.from_array("dog", np.eye(3)),
        KeyPoint("dog", 0.5, 0.5),
        Choice("a label that is longer than the picture"),
    )

    for is_found in (False, True):
        assert drawn(*regions, is_found=is_found, width_px=size[0], height_px=size[1]).shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    ("size", "max_side_px", "expected"),
    [
        ((40, 30), None, (520, 390)),
        ((40, 30), 300, (280, 210)),
        ((40, 30), 64, (40, 30)),
        ((600, 300), None, (600, 300)),
        ((600, 300), 150, (150, 75)),
        ((5000, 100), None, (2048, 41)),
        ((5000, 100), 10_000, (2048, 41)),
    ],
)
def test_small_images_are_enlarged_by_a_whole_factor_and_large_ones_reduced(
    size: tuple[int, int], max_side_px: int | None, expected: tuple[int, int], tmp_path: Path
) -> None:
    file = tmp_path / "image.png"
    Image.new("RGB", size).save(file)

    jpeg = Image.open(io.BytesIO(picture(file, [], max_side_px=max_side_px)))

    assert (jpeg.size, jpeg.format) == (expected, "JPEG")


def test_lines_are_thicker_in_larger_pictures() -> None:
    box = Box.from_bounds("cat", 0.25, 0.25, 0.75, 0.75)

    small, large = (drawn(box, width_px=side, height_px=side)[side // 2, : side // 2] for side in (600, 1600))

    assert ((small == RED).all(1).sum(), (large == RED).all(1).sum()) == (2, 4)
