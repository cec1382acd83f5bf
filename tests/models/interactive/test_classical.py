import time

import cv2
import numpy as np
import pytest
from clicked_pictures import bar, disc

from models.clicks import Prompts, Segment
from models.images import Image
from models.interactive import simulated
from models.interactive.classical import ClassicalSegmenter, reduce
from models.interactive.window import Inside
from models.regions import Box, Mask


def find(image: Image, prompts: Prompts, truth: Inside) -> float:
    segmenter = ClassicalSegmenter()
    return simulated.overlap(simulated.draw(segmenter.segment(segmenter.encode(image), prompts), truth), truth)


def test_a_box_finds_the_thing_in_it() -> None:
    image, truth = disc()

    assert find(image, simulated.box_around(truth), truth) > 0.95


def test_a_box_finds_a_slender_thing_that_fills_little_of_it() -> None:
    image, truth = bar()

    assert find(image, simulated.box_around(truth), truth) > 0.85


def test_a_rotated_box_finds_the_thing_in_it() -> None:
    image, truth = bar()
    box = Box("", 0.5, 0.5, 206 / 320, 26 / 240, rotation=float(np.degrees(np.arctan2(120, 140))), aspect=320 / 240)

    assert find(image, Prompts(boxes=(box,)), truth) > 0.9


def test_a_box_drawn_a_little_too_small_is_enough() -> None:
    image, truth = disc()
    (box,) = simulated.box_around(truth).boxes
    smaller = Box("", box.x, box.y, 0.95 * box.width, 0.95 * box.height)

    assert find(image, Prompts(boxes=(smaller,)), truth) > 0.9


@pytest.mark.parametrize("radius_px", [8, 25, 60])
def test_one_click_finds_things_of_any_size(radius_px: int) -> None:
    image, truth = disc(radius_px=radius_px)

    assert find(image, simulated.first_click(truth), truth) > 0.85


def test_a_stroke_finds_the_thing_under_it() -> None:
    image, truth = bar()
    stroke = cv2.line(np.zeros((240, 320), np.uint8), (110, 77), (210, 163), 1, 6)

    assert find(image, Prompts(masks=(Mask.from_array("", stroke),)), truth) > 0.85


def test_a_click_outside_takes_away_what_it_points_at() -> None:
    pixels = np.full((240, 320, 3), (40, 140, 60), np.uint8)
    pixels[80:160, 80:160], pixels[80:160, 160:240] = (190, 50, 40), (190, 80, 40)
    image, left = Image(pixels, 320, 240), np.zeros((240, 320), bool)
    left[80:160, 80:160] = True
    both = Prompts(boxes=(Box.from_bounds("", 80 / 320, 80 / 240, 240 / 320, 160 / 240),))

    only_left = Prompts(inside=((110 / 320, 0.5),), outside=((210 / 320, 0.5),), boxes=both.boxes)

    assert find(image, both, left) < 0.6
    assert find(image, only_left, left) > 0.85


def test_a_click_beside_the_outline_does_not_spoil_a_good_answer() -> None:
    image, truth = disc()
    prompts = Prompts(inside=((160 / 320, 110 / 240), (120.5 / 320, 110 / 240)))

    assert find(image, prompts, truth) > 0.85


def test_the_same_clicks_get_the_same_answer_whatever_was_asked_before() -> None:
    image, truth = disc()
    segmenter = ClassicalSegmenter()
    encoded = segmenter.encode(image)

    first = segmenter.segment(encoded, simulated.first_click(truth))
    segmenter.segment(encoded, Prompts(inside=((0.1, 0.9),)))
    second = segmenter.segment(encoded, simulated.first_click(truth))

    assert isinstance(first, Segment)
    assert isinstance(second, Segment)
    np.testing.assert_array_equal(first.inside_HW, second.inside_HW)


def test_only_clicks_outside_find_nothing() -> None:
    image, _ = disc()
    segmenter = ClassicalSegmenter()

    assert segmenter.segment(segmenter.encode(image), Prompts(outside=((0.5, 0.5),))) is None


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(boxes=(Box.from_bounds("", 0.5, 0.5, 0.5, 0.5),)),
        Prompts(boxes=(Box.from_bounds("", -0.5, -0.5, 1.5, 1.5),)),
        Prompts(boxes=(Box.from_bounds("", 1.2, 1.2, 1.4, 1.4),)),
        Prompts(inside=((0.0, 0.0),)),
        Prompts(inside=((1.0, 1.0), (-0.2, 3.0))),
        Prompts(inside=((0.5, 0.5),), outside=((0.5, 0.5),)),
        Prompts(masks=(Mask("", 10, 10, (100,)),)),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2), (64, 48)])
def test_odd_prompts_and_images_are_answered_within_the_image(prompts: Prompts, size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    segmenter = ClassicalSegmenter()

    segment = segmenter.segment(segmenter.encode(Image(pixels, width, height)), prompts)

    if segment is not None:
        assert 0 <= segment.left < segment.right <= 1
        assert 0 <= segment.top < segment.bottom <= 1
        assert segment.inside_HW.any()
        assert 0 <= segment.score <= 1


def test_of_a_large_image_a_small_copy_is_kept() -> None:
    encoded = reduce(Image(np.zeros((3000, 4000, 3), np.uint8), 4000, 3000))

    assert encoded.pixels.shape == (1536, 2048, 3)
    assert encoded.num_bytes == 1536 * 2048 * 3


def test_a_click_on_a_large_image_takes_a_fraction_of_a_second() -> None:
    small, truth = disc(size=(400, 300))
    image = Image(small.pixels.repeat(10, 0).repeat(10, 1), 4000, 3000)
    segmenter = ClassicalSegmenter()
    encoded, prompts = segmenter.encode(image), simulated.first_click(truth)
    segmenter.segment(encoded, prompts)

    started = time.process_time()
    segmenter.segment(encoded, prompts)

    assert time.process_time() - started < 0.5  # about 0.06 on a machine that does nothing else
