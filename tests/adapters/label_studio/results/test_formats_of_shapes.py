"""Tests of ellipses, outlines and key points; see test_rectangle.py for what all shapes share."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_studio_results import binding, encode, item, tool, values, view

from adapters.label_studio.results import Answer, decode
from adapters.label_studio.results.polygon import clip
from models.regions import Box, KeyPoint, Polygon

ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ELLIPSES, OUTLINES, POINTS = (view(tool(tag)) for tag in ("EllipseLabels", "PolygonLabels", "KeyPointLabels"))
ASPECT = 1920 / 1080
SCORES = st.none() | st.floats()
NAMES = st.sampled_from(["Cat", "d", "Cow"])
ANYWHERE = st.floats(-0.5, 1.5)


class TestEllipse:
    def test_an_ellipse_is_its_centre_and_radii(self):
        """C-086."""
        (value,) = values(encode(ELLIPSES, [Box("Cat", 0.5, 0.25, 0.2, 0.4, 30, ASPECT)]))

        assert value == {
            "x": 50.0,
            "y": 25.0,
            "radiusX": 10.0,
            "radiusY": 20.0,
            "rotation": 30,
            "ellipselabels": ["Cat"],
        }

    @pytest.mark.parametrize("rotation", [0.0, 30.0])
    def test_what_was_encoded_is_decoded(self, rotation: float):
        box = Box("Cat", 0.5, 0.25, 0.25, 0.5, rotation, ASPECT if rotation else 1.0)

        assert decode(list(encode(ELLIPSES, [box]).result), binding(ELLIPSES)) == Answer((box,))

    def test_an_ellipse_too_long_for_its_axis_is_written_along_the_other(self):
        """1200 px across the image's height of 1080, turned by 90°: along the other axis it is in the limits."""
        (value,) = values(encode(ELLIPSES, [Box("Cat", 0.5, 0.5, 0.1, 1200 / 1080, 90, ASPECT)]))

        assert (value["radiusX"], value["rotation"]) == (pytest.approx(100 * 600 / 1920), 180)

    def test_an_ellipse_is_dropped_where_its_centre_is_outside_or_it_has_no_area(self):
        """C-102."""
        found = [Box("Cat", 1.1, 0.5, 0.4, 0.4), Box("Cat", 0.5, 0.5, 0.0, 0.4), Box("Cat", 0.9, 0.5, 0.4, 0.4)]

        prediction = encode(ELLIPSES, found)

        assert [value["x"] for value in values(prediction)] == [90]
        assert prediction.num_dropped == 2

    @ANY_SPEED
    @given(
        st.lists(
            st.builds(
                Box,
                NAMES,
                ANYWHERE,
                ANYWHERE,
                st.floats(-0.1, 3),
                st.floats(-0.1, 3),
                st.just(0.0) | st.floats(-720, 720),
                st.just(ASPECT),
                SCORES,
            )
        )
    )
    def test_whatever_a_model_says_the_prediction_is_valid(self, boxes: list[Box]):
        encode(ELLIPSES, boxes)

    @pytest.mark.parametrize(
        "change", [{"radiusX": 0}, {"radiusY": None}, {"x": 120}, {"y": math.nan}, {"ellipselabels": None}]
    )
    def test_ellipses_that_make_no_sense_are_ignored(self, change: dict[str, Any]):
        value = {"x": 10, "y": 10, "radiusX": 5, "radiusY": 5, "rotation": 0, "ellipselabels": ["Cat"], **change}

        assert decode([item(ELLIPSES, value)], binding(ELLIPSES)) == Answer(None, 1)


class TestPolygon:
    def test_an_outline_is_its_points_and_closed(self):
        """C-087."""
        (value,) = values(encode(OUTLINES, [Polygon("Cat", ((0.1, 0.2), (0.5, 0.2), (0.5, 0.9)))]))

        assert value["closed"] is True
        assert value["polygonlabels"] == ["Cat"]
        assert value["points"] == [pytest.approx(point) for point in ([10, 20], [50, 20], [50, 90])]

    def test_what_was_encoded_is_decoded(self):
        outline = Polygon("Cat", ((0.125, 0.25), (0.5, 0.25), (0.5, 0.75)))

        assert decode(list(encode(OUTLINES, [outline]).result), binding(OUTLINES)) == Answer((outline,))

    def test_an_outline_is_cut_at_the_edge_and_dropped_outside(self):
        """C-102, by hand: of a square around the corner of the image a quarter is left."""
        corner = Polygon("Cat", ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)))
        outside = Polygon("Cat", ((1.5, 0.5), (2, 0.5), (2, 0.9)))

        prediction = encode(OUTLINES, [corner, outside])

        (value,) = values(prediction)
        assert sorted(value["points"]) == [[0, 0], [0, 50], [50, 0], [50, 50]]
        assert prediction.num_dropped == 1

    def test_points_on_a_line_have_no_area_and_a_bow_tie_has(self):
        assert clip([(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)]) == []
        assert len(clip([(0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)])) == 4

    def test_an_outline_that_crosses_itself_is_kept_as_drawn(self):
        value = {"points": [[10, 10], [90, 90], [90, 10], [10, 90]], "closed": True, "polygonlabels": ["Cat"]}

        (said,) = decode([item(OUTLINES, value)], binding(OUTLINES)).regions or [None]

        assert said == Polygon("Cat", ((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)))

    def test_a_repeated_closing_point_is_dropped(self):
        value = {"points": [[0, 0], [50, 0], [50, 50], [0, 0]], "polygonlabels": ["Cat"]}

        assert decode([item(OUTLINES, value)], binding(OUTLINES)) == Answer(
            (Polygon("Cat", ((0, 0), (0.5, 0), (0.5, 0.5))),)
        )

    @ANY_SPEED
    @given(st.lists(st.builds(Polygon, NAMES, st.lists(st.tuples(ANYWHERE, ANYWHERE)).map(tuple), SCORES), max_size=5))
    def test_whatever_a_model_says_the_prediction_is_valid(self, outlines: list[Polygon]):
        for value in values(encode(OUTLINES, outlines)):
            assert len(value["points"]) >= 3
            assert all(0 <= number <= 100 for point in value["points"] for number in point)

    @pytest.mark.parametrize(
        "change",
        [
            {"points": []},
            {"points": None},
            {"points": [[0, 0], [50, 50]]},
            {"points": [[0, 0], [50, 50], [90]]},
            {"points": [[0, 0], [50, 50], [90, "x"]]},
            {"points": [[0, 0], [50, 50], [90, math.nan]]},
            {"points": [[150, 0], [150, 50], [190, 60]]},
            {"closed": False},
        ],
    )
    def test_outlines_that_make_no_sense_are_ignored(self, change: dict[str, Any]):
        value = {"points": [[0, 0], [50, 0], [50, 50]], "closed": True, "polygonlabels": ["Cat"], **change}

        assert decode([item(OUTLINES, value)], binding(OUTLINES)) == Answer(None, 1)


class TestKeyPoint:
    def test_a_point_has_a_size(self):
        """C-088: without a numeric width the editor does not draw it."""
        (value,) = values(encode(POINTS, [KeyPoint("Dog", 0.5, 0.25)]))

        assert value == {"x": 50.0, "y": 25.0, "width": 0.5, "keypointlabels": ["d"]}

    def test_what_was_encoded_is_decoded(self):
        point = KeyPoint("Cat", 0.125, 0.75)

        assert decode(list(encode(POINTS, [point]).result), binding(POINTS)) == Answer((point,))

    @ANY_SPEED
    @given(st.lists(st.builds(KeyPoint, NAMES, ANYWHERE, ANYWHERE, SCORES)))
    def test_points_outside_the_image_are_dropped(self, points: list[KeyPoint]):
        """C-102."""
        for value in values(encode(POINTS, points)):
            assert 0 <= min(value["x"], value["y"]) <= max(value["x"], value["y"]) <= 100

    @pytest.mark.parametrize("change", [{"x": 101}, {"y": -1}, {"x": None}, {"y": math.inf}])
    def test_points_that_make_no_sense_are_ignored(self, change: dict[str, Any]):
        value = {"x": 10, "y": 10, "width": 1, "keypointlabels": ["Cat"], **change}

        assert decode([item(POINTS, value)], binding(POINTS)) == Answer(None, 1)
