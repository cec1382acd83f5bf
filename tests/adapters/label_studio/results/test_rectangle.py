"""Tests of adapters/label_studio/results/rectangle.py: Label Studio turns boxes about a corner, we about the centre."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_studio_results import binding, encode, item, tool, values, view

from adapters.label_studio.results import Answer, decode
from models.regions import Box

ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
BOXES = view(tool("RectangleLabels"))
WIDTH, HEIGHT = 1920, 1080
ASPECT = WIDTH / HEIGHT


def corners_px(value: dict[str, Any]) -> list[tuple[float, float]]:
    """Return the corners as section B.4 of the contract has them."""
    x, y = value["x"] / 100 * WIDTH, value["y"] / 100 * HEIGHT
    w, h = value["width"] / 100 * WIDTH, value["height"] / 100 * HEIGHT
    cos, sin = math.cos(math.radians(value["rotation"])), math.sin(math.radians(value["rotation"]))
    return [
        (x, y),
        (x + w * cos, y + w * sin),
        (x + w * cos - h * sin, y + w * sin + h * cos),
        (x - h * sin, y + h * cos),
    ]


def assert_same_corners(value: dict[str, Any], box: Box) -> None:
    """Compare, beginning at whichever corner."""
    wanted = [(x * WIDTH, y * HEIGHT) for x, y in box.corners]
    found = corners_px(value)
    turned = [wanted[start:] + wanted[:start] for start in range(4)]
    assert any(all(math.dist(a, b) < 1e-6 * WIDTH for a, b in zip(found, each, strict=True)) for each in turned), (
        found,
        wanted,
    )


class TestEncode:
    def test_an_upright_box_is_its_corner_and_sides_in_percent(self):
        prediction = encode(BOXES, [Box("tabby", 0.5, 0.25, 0.5, 0.25, score=0.75)])

        (written,) = prediction.result
        assert written["type"] == "rectanglelabels"
        assert (written["original_width"], written["original_height"], written["image_rotation"]) == (1920, 1080, 0)
        assert written["score"] == prediction.score == 0.75
        assert written["value"] == {
            "x": 25.0,
            "y": 12.5,
            "width": 50.0,
            "height": 25.0,
            "rotation": 0.0,
            "rectanglelabels": ["Cat"],
        }

    def test_a_rotated_box_has_the_corners_of_the_contract(self):
        """C-084, worked by hand: 400 × 100 px, turned by 90° clockwise about (960, 540)."""
        (value,) = values(encode(BOXES, [Box("Cat", 0.5, 0.5, 400 / 1920, 100 / 1080, 90.0, ASPECT, 0.5)]))

        assert corners_px(value)[0] == pytest.approx((1010, 340))
        assert [corners_px(value)[2], value["rotation"]] == [pytest.approx((910, 740)), 90.0]

    @ANY_SPEED
    @given(st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.floats(0.01, 0.3), st.floats(0.01, 0.3), st.floats(0.1, 359.9))
    def test_a_rotated_box_inside_the_image_keeps_its_corners(
        self, x: float, y: float, width: float, height: float, rotation: float
    ):
        """C-084."""
        box = Box("Cat", x, y, width, height, rotation, ASPECT, 0.5)

        (value,) = values(encode(BOXES, [box]))

        assert_same_corners(value, box)

    def test_boxes_are_cut_at_the_edge_and_dropped_outside(self):
        """C-102."""
        over, outside, thin = Box("Cat", 0, 0.5, 0.5, 2), Box("Cat", 1.5, 0.5, 0.2, 0.2), Box("Cat", 0.5, 0.5, 0, 0.5)

        prediction = encode(BOXES, [over, outside, thin])

        (value,) = values(prediction)
        assert (value["x"], value["y"], value["width"], value["height"]) == (0, 0, 25, 100)
        assert prediction.num_dropped == 2

    def test_a_rotated_box_is_kept_as_long_as_its_centre_is_in_the_image(self):
        """C-102."""
        inside, outside = Box("Cat", 0.01, 0.5, 0.3, 0.1, 30, ASPECT), Box("Cat", -0.01, 0.5, 0.3, 0.1, 30, ASPECT)

        prediction = encode(BOXES, [inside, outside])

        assert len(prediction.result) == 1
        assert_same_corners(prediction.result[0]["value"], inside)

    def test_a_box_along_the_diagonal_is_shortened_to_what_validation_takes(self):
        long = Box("Cat", 0.5, 0.5, math.hypot(1920, 1080) / 1920, 0.01, -math.degrees(math.atan2(1080, 1920)), ASPECT)

        (value,) = values(encode(BOXES, [long]))

        assert max(value["x"], value["y"], value["width"], value["height"]) <= 100
        centre = [sum(each) / 4 for each in zip(*corners_px(value), strict=True)]
        assert centre == pytest.approx([960, 540])

    @ANY_SPEED
    @given(
        st.lists(
            st.builds(
                Box,
                st.sampled_from(["Cat", "d", "Cow"]),
                st.floats(-0.5, 1.5),
                st.floats(-0.5, 1.5),
                st.floats(-0.1, 3),
                st.floats(-0.1, 3),
                st.just(0.0) | st.floats(-720, 720),
                st.just(ASPECT),
                st.none() | st.floats(),
            )
        )
    )
    def test_whatever_a_model_says_the_prediction_is_valid(self, boxes: list[Box]):
        encode(BOXES, boxes)

    def test_boxes_come_best_first_and_below_the_threshold_not_at_all(self):
        xml = view(tool("RectangleLabels", attributes='model_score_threshold="0.3"'))
        boxes = [Box("Cat", 0.5, 0.5, 0.1, 0.1, score=score) for score in (0.4, 0.2, 0.9)]

        assert [each["score"] for each in encode(xml, boxes).result] == [0.9, 0.4]


class TestSplitForm:
    """C-085: a <Rectangle> draws, a <Labels> beside it names."""

    XML = view(tool("Rectangle", "box", ""), tool("Labels", "kind"))

    def test_a_region_is_two_items_with_one_id(self):
        drawn, named = encode(self.XML, [Box("Dog", 0.5, 0.5, 0.5, 0.5, score=0.5)]).result

        assert (drawn["from_name"], drawn["type"]) == ("box", "rectangle")
        assert (named["from_name"], named["type"]) == ("kind", "labels")
        assert drawn["id"] == named["id"]
        assert named["value"] == {**drawn["value"], "labels": ["d"]}

    def test_the_score_counts_a_region_once(self):
        boxes = [Box("Cat", 0.5, 0.5, 0.5, 0.5, score=score) for score in (0.25, 0.75)]

        assert encode(self.XML, boxes).score == 0.5

    def test_what_was_encoded_is_decoded(self):
        box = Box("d", 0.5, 0.25, 0.25, 0.5)

        assert decode(list(encode(self.XML, [box]).result), binding(self.XML)) == Answer((box,))

    def test_a_region_that_was_not_named_is_no_answer(self):
        drawn, _ = encode(self.XML, [Box("Dog", 0.5, 0.5, 0.5, 0.5)]).result

        assert decode([drawn], binding(self.XML)) == Answer(None, 1)

    def test_one_item_of_the_labels_control_with_the_shape_is_read_too(self):
        value = {"x": 25, "y": 0, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["Cat"]}
        merged = item(self.XML, value, from_name="kind", type="rectanglelabels")

        assert decode([merged], binding(self.XML)) == Answer((Box("Cat", 0.5, 0.25, 0.5, 0.5),))

    def test_a_lone_rectangle_has_no_labels_and_takes_whatever_a_model_finds(self):
        xml = view(tool("Rectangle", "box", ""))

        (written,) = encode(xml, [Box("person", 0.5, 0.5, 0.5, 0.5)]).result

        assert written["value"].keys() == {"x", "y", "width", "height", "rotation"}
        assert decode([written], binding(xml)) == Answer((Box("box", 0.5, 0.5, 0.5, 0.5),))


class TestDecode:
    @ANY_SPEED
    @given(st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.floats(0.01, 0.3), st.floats(0.01, 0.3), st.floats(0.1, 89.9))
    def test_what_was_encoded_is_decoded(self, x: float, y: float, width: float, height: float, rotation: float):
        """Perhaps as seen from another of its corners."""
        box = Box("Cat", x, y, width, height, rotation, ASPECT)
        written = encode(BOXES, [box]).result

        (said,) = decode(list(written), binding(BOXES)).regions or [None]

        assert isinstance(said, Box)
        assert (said.x, said.y, said.aspect) == pytest.approx((x, y, ASPECT))
        assert (said.rotation - rotation) % 90 == pytest.approx(0, abs=1e-6)
        assert sorted(said.corners) == [pytest.approx(corner) for corner in sorted(box.corners)]

    def test_a_region_with_two_labels_is_two_regions(self):
        value = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["Cat", "d", "Cow"]}

        answer = decode([item(BOXES, value)], binding(BOXES))

        assert answer == Answer((Box("Cat", 0.25, 0.25, 0.5, 0.5), Box("d", 0.25, 0.25, 0.5, 0.5)), 1)

    def test_a_box_that_leaves_the_image_is_cut(self):
        value = {"x": -25, "y": 50, "width": 50, "height": 100, "rectanglelabels": ["Cat"]}

        assert decode([item(BOXES, value)], binding(BOXES)) == Answer((Box("Cat", 0.125, 0.75, 0.25, 0.5),))

    @pytest.mark.parametrize(
        "change",
        [
            {"x": None},
            {"x": "5"},
            {"x": True},
            {"x": math.nan},
            {"width": 0},
            {"height": -3},
            {"x": 100},
            {"rotation": "up"},
            {"rotation": math.inf},
            {"rotation": 45, "x": 150},
            {"rectanglelabels": []},
            {"rectanglelabels": "Cat"},
        ],
    )
    def test_boxes_that_make_no_sense_are_ignored_and_say_nothing(self, change: dict[str, Any]):
        value = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["Cat"], **change}

        assert decode([item(BOXES, value)], binding(BOXES)) == Answer(None, 1)

    def test_a_rotated_box_needs_the_size_of_the_image(self):
        value = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 9, "rectanglelabels": ["Cat"]}

        assert decode([item(BOXES, value, original_width=None)], binding(BOXES)) == Answer(None, 1)
