from __future__ import annotations

import math

import numpy as np
import pytest

from models.clicks import Segment
from models.outlines import fill
from models.regions import Mask
from models.segments import to_box, to_ellipse, to_mask, to_polygon


def segment(inside: np.ndarray, *, left: float = 0, top: float = 0, right: float = 1, bottom: float = 1) -> Segment:
    return Segment(np.asarray(inside, bool), left, top, right, bottom, 0.75)


def ellipse(height: int, width: int, *, centre: tuple[float, float], radii: tuple[float, float], degrees: float):
    y, x = np.mgrid[:height, :width] + 0.5
    angle = math.radians(degrees)
    across, down = x - centre[0], y - centre[1]
    u = across * math.cos(angle) + down * math.sin(angle)
    v = -across * math.sin(angle) + down * math.cos(angle)
    return (u / radii[0]) ** 2 + (v / radii[1]) ** 2 < 1


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_mask_at_the_size_of_the_image_is_what_was_found() -> None:
    inside = np.random.default_rng(0).random((13, 17)) > 0.5

    mask = to_mask(segment(inside), "a", width_px=17, height_px=13)

    assert mask == Mask.from_array("a", inside, score=0.75)


def test_a_part_of_the_image_lands_at_its_place() -> None:
    inside = np.array([[1, 0], [1, 1]])

    mask = to_mask(segment(inside, left=0.5, top=0.25, right=1, bottom=0.75), "a", width_px=4, height_px=4)

    assert mask is not None
    assert mask.to_array().astype(int).tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_runs_are_those_of_the_whole_array(seed: int) -> None:
    """The runs are made of a part of the image only; a mask made of all of it must be the same."""
    draw = np.random.default_rng(seed)
    inside = draw.random((8, 9)) > 0.4
    left, top = draw.uniform(0, 0.4, 2)
    right, bottom = draw.uniform(0.6, 1, 2)

    mask = to_mask(segment(inside, left=left, top=top, right=right, bottom=bottom), "a", width_px=71, height_px=53)

    assert mask is not None
    assert mask == Mask.from_array("a", mask.to_array(), score=0.75)


def test_rows_that_touch_both_edges_are_one_run() -> None:
    mask = to_mask(segment(np.ones((2, 3))), "a", width_px=6, height_px=4)

    assert mask is not None
    assert mask.runs == (0, 24)


def test_an_enlarged_mask_has_a_smooth_edge() -> None:
    small = ellipse(40, 60, centre=(30, 20), radii=(20, 12), degrees=20)

    mask = to_mask(segment(small), "a", width_px=1200, height_px=800)

    assert mask is not None
    exact = ellipse(800, 1200, centre=(600, 400), radii=(400, 240), degrees=20)
    blocks = small.repeat(20, axis=0).repeat(20, axis=1)
    assert iou(mask.to_array(), exact) > 0.97
    assert iou(mask.to_array(), exact) > iou(blocks, exact)


def test_a_segment_finer_than_the_image_is_reduced() -> None:
    found = ellipse(200, 300, centre=(150, 100), radii=(90, 60), degrees=0)

    mask = to_mask(segment(found), "a", width_px=30, height_px=20)

    assert mask is not None
    assert iou(mask.to_array(), ellipse(20, 30, centre=(15, 10), radii=(9, 6), degrees=0)) > 0.95


@pytest.mark.parametrize("draw", [to_polygon, to_box])
def test_nothing_is_drawn_around_nothing(draw) -> None:
    nothing = segment(np.zeros((4, 4)))

    assert draw(nothing, "a") is None
    assert to_mask(nothing, "a", width_px=8, height_px=8) is None
    assert to_ellipse(nothing, "a", width_px=8, height_px=8) is None


def test_a_polygon_covers_the_same_place() -> None:
    found = ellipse(100, 100, centre=(50, 50), radii=(40, 25), degrees=30)

    polygon = to_polygon(segment(found, left=0.5, top=0.5, right=0.75, bottom=1), "a")

    assert polygon is not None
    assert (polygon.label, polygon.score) == ("a", 0.75)
    whole = np.zeros((200, 400), bool)
    whole[100:, 200:300] = found
    assert iou(fill(polygon.points, 400, 200), whole) > 0.95


def test_a_box_touches_the_outermost_pixels() -> None:
    found = np.zeros((10, 10))
    found[2:5, 3:7] = 1

    box = to_box(segment(found, left=0.5, top=0, right=1, bottom=0.5), "a")

    assert box is not None
    assert box.bounds == pytest.approx((0.65, 0.1, 0.85, 0.25))
    assert box.score == 0.75


@pytest.mark.parametrize("degrees", [0, 25, 60, 90, 120, 170])
def test_an_ellipse_gives_itself(degrees: float) -> None:
    found = ellipse(300, 400, centre=(210, 140), radii=(110, 50), degrees=degrees)

    box = to_ellipse(segment(found), "a", width_px=800, height_px=600)

    assert box is not None
    assert (box.x, box.y) == pytest.approx((210 / 400, 140 / 300), abs=0.002)
    angle = box.rotation
    radii = box.width / 2 * 400, box.height / 2 * 300
    again = ellipse(300, 400, centre=(box.x * 400, box.y * 300), radii=radii, degrees=angle)
    assert iou(again, found) > 0.98


def test_a_thing_that_fills_the_image_has_an_ellipse_within_it() -> None:
    box = to_ellipse(segment(np.ones((10, 10))), "a", width_px=100, height_px=100)

    assert box is not None
    assert max(box.width, box.height) <= 1
