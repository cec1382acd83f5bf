import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics.overlaps import box_overlaps
from models.regions import Box


def overlap(one: Box, other: Box) -> float:
    return float(box_overlaps([one], [other])[0, 0])


def test_upright_boxes_overlap_by_their_shared_area_over_their_joint_area() -> None:
    one, other = Box.from_bounds("a", 0.0, 0.0, 0.4, 0.4), Box.from_bounds("b", 0.2, 0.2, 0.6, 0.6)

    assert overlap(one, other) == pytest.approx(0.04 / (0.16 + 0.16 - 0.04))


def test_the_same_box_overlaps_itself_wholly_and_a_distant_or_touching_one_not_at_all() -> None:
    boxes = [Box("a", 0.2, 0.2, 0.2, 0.2, rotation=30), Box("a", 0.8, 0.8, 0.2, 0.2), Box("a", 0.6, 0.8, 0.2, 0.2)]

    assert np.allclose(box_overlaps(boxes, boxes), np.eye(3), atol=1e-9)


def test_a_square_and_itself_turned_by_45_degrees_share_a_regular_octagon() -> None:
    one, other = Box("a", 0.5, 0.5, 0.2, 0.2), Box("a", 0.5, 0.5, 0.2, 0.2, rotation=45)

    octagon = 2 * (2**0.5 - 1)  # area, where the square has 1

    assert overlap(one, other) == pytest.approx(octagon / (2 - octagon))


def test_rotations_refer_to_pixels_and_not_to_fractions() -> None:
    # In an image of 200 × 100 pixels: 40 × 20 pixels, and 20 × 40 turned by a quarter.
    lying = Box("a", 0.5, 0.5, 0.2, 0.2, aspect=2.0)
    turned = Box("a", 0.5, 0.5, 0.1, 0.4, rotation=90, aspect=2.0)

    assert overlap(lying, turned) == pytest.approx(1.0)


def test_boxes_turned_by_half_a_circle_are_the_same() -> None:
    assert overlap(Box("a", 0.5, 0.5, 0.3, 0.1, 20), Box("a", 0.5, 0.5, 0.3, 0.1, 200)) == pytest.approx(1.0)


def test_boxes_without_an_area_overlap_nothing_not_even_themselves() -> None:
    flat = Box("a", 0.5, 0.5, 0.0, 0.1)

    assert overlap(flat, flat) == 0.0


def test_no_boxes_make_an_empty_table() -> None:
    assert box_overlaps([], [Box("a", 0.5, 0.5, 0.1, 0.1)]).shape == (0, 1)
    assert box_overlaps([Box("a", 0.5, 0.5, 0.1, 0.1)], []).shape == (1, 0)


sides = st.floats(0.1, 0.6)
boxes = st.builds(
    Box, st.just("a"), st.floats(0.3, 0.7), st.floats(0.3, 0.7), sides, sides, st.floats(1, 89), st.just(1.5)
)


@given(boxes, boxes)
@settings(max_examples=60, deadline=None)
def test_rotated_boxes_overlap_as_opencv_says(one: Box, other: Box) -> None:
    scale = 1000.0  # pixels of the image's height
    rectangles = [
        ((b.x * 1.5 * scale, b.y * scale), (b.width * 1.5 * scale, b.height * scale), b.rotation) for b in (one, other)
    ]
    _, corners = cv2.rotatedRectangleIntersection(*rectangles)
    shared = 0.0 if corners is None else cv2.contourArea(cv2.convexHull(corners))
    areas = [b.width * b.height * 1.5 * scale**2 for b in (one, other)]

    assert overlap(one, other) == pytest.approx(shared / (sum(areas) - shared), abs=2e-3)
