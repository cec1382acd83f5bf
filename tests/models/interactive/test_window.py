import numpy as np
import pytest

from models.clicks import Prompts, Segment
from models.interactive import window
from models.interactive.window import Window
from models.regions import Box, Mask


def test_a_window_of_whole_pixels_is_a_plain_crop() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    view = Window(10 / 30, 5 / 20, 20 / 30, 15 / 20, 10, 10)

    np.testing.assert_array_equal(view.cut(pixels), pixels[5:15, 10:20])


def test_a_reduced_window_averages() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[::2] = 200

    cut = Window(0, 0, 1, 1, 4, 4).cut(pixels)

    np.testing.assert_array_equal(cut, np.full((4, 4, 3), 100, np.uint8))


def test_beyond_the_image_its_edge_is_repeated() -> None:
    pixels = np.full((4, 4, 3), 9, np.uint8)
    view = Window(-1.0, -1.0, 2.0, 2.0, 12, 12)

    assert (view.cut(pixels) == 9).all()
    assert view.within().sum() == 16


def test_a_box_is_filled_where_it_lies() -> None:
    view = Window(0, 0, 1, 1, 20, 10)

    filled = view.fill(Box.from_bounds("", 0.25, 0.2, 0.75, 0.6).corners)

    expected = np.zeros((10, 20), bool)
    expected[2:6, 5:15] = True
    assert (filled != expected).sum() <= 24  # the rim: OpenCV draws it as well
    assert filled[expected].all()


def test_a_map_shown_in_a_window_and_back_stays_where_it_was() -> None:
    inside = np.zeros((40, 40), bool)
    inside[10:30, 16:24] = True
    whole, part = Window(0, 0, 1, 1, 40, 40), Window(0.2, 0.1, 0.8, 0.9, 96, 128)

    back = part.transfer(whole.transfer(inside, part), whole) >= 0.5

    assert (back != inside)[4:36, 8:32].sum() <= 4


def test_a_segment_is_pasted_at_its_place() -> None:
    pasted = window.paste(Segment(np.ones((2, 3), bool), 0.25, 0.5, 0.5, 1.0, 1.0), width_px=40, height_px=20)

    expected = np.zeros((20, 40), bool)
    expected[10:20, 10:20] = True
    np.testing.assert_array_equal(pasted, expected)


def test_a_window_around_a_thing_keeps_within_the_image() -> None:
    view = window.around((-0.2, 0.5, 0.1, 1.4), width_px=100, height_px=50, margin=0.25, side_px=64)

    assert (view.left, view.bottom) == (0.0, 1.0)
    assert 0 < view.right < 0.3


@pytest.mark.parametrize("bounds", [(0.5, 0.5, 0.5, 0.5), (1.2, 1.2, 1.4, 1.4), (-1.0, -1.0, -0.5, -0.5)])
def test_a_window_around_nothing_still_shows_something(bounds: window.Bounds) -> None:
    view = window.around(bounds, width_px=100, height_px=50, margin=0.25, side_px=64)

    assert view.cut(np.zeros((50, 100, 3), np.uint8)).size > 0
    assert 0 <= view.left < view.right <= 1
    assert 0 <= view.top < view.bottom <= 1


def test_a_thin_stroke_survives_reduction() -> None:
    stroke = np.zeros((200, 200), bool)
    stroke[100, 20:180] = True

    merged = window.merge([Mask.from_array("", stroke)], width_px=50, height_px=50)

    assert merged is not None
    assert merged[25, 5:45].all()


def test_bounds_hold_points_boxes_and_strokes() -> None:
    strokes = np.zeros((10, 10), bool)
    strokes[9, 2] = True
    prompts = Prompts(inside=((0.5, 0.1),), boxes=(Box.from_bounds("", 0.4, 0.3, 0.8, 0.5),))

    assert window.bounds_of(prompts, strokes) == pytest.approx((0.2, 0.1, 0.8, 1.0))


def test_the_outline_of_a_rotated_box_keeps_the_aspect_of_the_image() -> None:
    points = np.array(window.outline(Box("", 0.5, 0.5, 0.4, 0.4, rotation=90, aspect=2.0))) - 0.5

    assert np.abs(points[:, 0]).max() == pytest.approx(0.1)  # half of the height, which counts half in width
    assert np.abs(points[:, 1]).max() == pytest.approx(0.4)
