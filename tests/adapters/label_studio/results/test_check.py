"""Tests of adapters/label_studio/results/check.py: what passes also passes the validator of Label Studio's SDK."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_studio_results import LABELS, judge, tool, view

from adapters.label_studio.results import check_result, rle
from backend.errors import Invalid

ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
CHOICES = '<Choice value="Cat"/><Choice value="Dog"/>'
OBJECTS = """<Image name="photo" value="$img"/><Image name="other" value="$img2"/><Text name="story" value="$text"/>
<HyperText name="page" value="$html"/><Paragraphs name="talk" value="$talk"/><Audio name="sound" value="$wav"/>
<Video name="film" value="$mp4"/><TimeSeries name="series" value="$csv"/><List name="list" value="$items"/>"""
TAGS = {
    "Choices": ("photo", CHOICES),
    "Taxonomy": ("photo", '<Choice value="Animal"><Choice value="Cat"/></Choice>'),
    "Rating": ("photo", ""),
    "Number": ("photo", ""),
    "DateTime": ("photo", ""),
    "TextArea": ("photo", ""),
    "Pairwise": ("photo,other", ""),
    "Ranker": ("list", ""),
    **{
        f"{shape}Labels": ("photo", LABELS)
        for shape in ("Rectangle", "Ellipse", "Polygon", "KeyPoint", "Vector", "Brush")
    },
    "BitmaskLabels": ("photo", LABELS),
    "MagicWand": ("photo", ""),
    "Labels": ("story", LABELS),
    "HyperTextLabels": ("page", LABELS),
    "ParagraphLabels": ("talk", LABELS),
    "TimeSeriesLabels": ("series", LABELS),
    "TimelineLabels": ("film", LABELS),
    "VideoRectangle": ("film", ""),
}
EVERYTHING = view(
    *(tool(tag, tag.lower(), labels, to_name=shown) for tag, (shown, labels) in TAGS.items()),
    tool("Labels", "soundlabels", to_name="sound"),
    tool("TextArea", "ocr", "", 'perRegion="true"'),
    shown=OBJECTS,
)
BOX = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
KEY = {"frame": 1, "enabled": True, "x": 1, "y": 1, "width": 5, "height": 5, "rotation": 0, "time": 0.04}
RLE = rle.encode((0, 4))


def item(tag: str, value: Any, **changes: Any) -> dict[str, Any]:
    shown = TAGS.get(tag, ("photo", ""))[0].split(",")[0]
    return {"id": "a", "from_name": tag.lower(), "to_name": shown, "type": tag.lower(), "value": value, **changes}


def kept(*items: object) -> list[dict[str, Any]]:
    checked = check_result(EVERYTHING, items)
    judge(EVERYTHING, checked.items)
    return checked.items


def reason(*items: object) -> str:
    """Return why the last of some items is left out."""
    checked = check_result(EVERYTHING, items)
    judge(EVERYTHING, checked.items)
    assert len(checked.items) == len(items) - 1
    return checked.reasons[-1]


GOOD = [
    ("Choices", {"choices": ["Cat"]}),  # C-076
    ("Taxonomy", {"taxonomy": [["Animal", "Cat"]]}),  # C-077
    ("Rating", {"rating": 5}),  # C-078
    ("Number", {"number": 2.5}),  # C-079
    ("DateTime", {"datetime": "2026-11-20"}),  # C-080
    ("TextArea", {"text": ["line one", "line two"]}),  # C-081
    ("Pairwise", {"selected": "left"}),  # C-082
    ("Ranker", {"ranker": {"rank": ["id3", "id1"]}}),  # C-083
    ("RectangleLabels", {**BOX, "rotation": 30, "rectanglelabels": ["Cat"]}),  # C-084
    ("EllipseLabels", {"x": 5, "y": 5, "radiusX": 3, "radiusY": 4, "rotation": 0, "ellipselabels": ["d"]}),  # C-086
    ("PolygonLabels", {"points": [[0, 0], [41.2, 0], [50, 55.0]], "closed": True, "polygonlabels": ["d"]}),  # C-087
    ("KeyPointLabels", {"x": 41.2, "y": 55, "width": 0.3, "keypointlabels": ["Cat"]}),  # C-088
    (
        "VectorLabels",  # C-089
        {
            "vertices": [{"id": "v", "x": 1, "y": 2, "prevPointId": None, "isBezier": False}],
            "closed": False,
            "vectorlabels": ["Cat"],
        },
    ),
    ("BrushLabels", {"format": "rle", "rle": RLE, "brushlabels": ["Cat"]}),  # C-090
    ("MagicWand", {"format": "rle", "rle": RLE}),
    ("BitmaskLabels", {"imageDataURL": "data:image/png;base64,aaaa", "bitmasklabels": ["Cat"]}),  # C-092
    ("Labels", {"start": 0, "end": 5, "text": "Alice", "labels": ["Cat"]}),  # C-093
    (
        "HyperTextLabels",  # C-094
        {
            "start": "/p[1]/text()[1]",
            "end": "/p[1]/text()[1]",
            "startOffset": 0,
            "endOffset": 4,
            "globalOffsets": {"start": 0, "end": 4},
            "hypertextlabels": ["Cat"],
        },
    ),
    (
        "ParagraphLabels",  # C-095
        {"start": "2", "end": "2", "startOffset": 0, "endOffset": 14, "text": "Hi", "paragraphlabels": ["Cat"]},
    ),
    ("TimeSeriesLabels", {"start": 1, "end": 2, "instant": False, "timeserieslabels": ["Cat"]}),  # C-097
    ("VideoRectangle", {"framesCount": 250, "duration": 10.0, "sequence": [KEY], "labels": ["Car"]}),  # C-098
    ("TimelineLabels", {"ranges": [{"start": 10, "end": 42}], "timelinelabels": ["Cat"]}),  # C-099
]


@pytest.mark.parametrize(("tag", "value"), GOOD)
def test_a_valid_item_passes_unchanged(tag: str, value: dict[str, Any]):
    written = item(tag, value, score=0.5)

    assert kept(written) == [written]


def test_seconds_of_a_sound_pass():
    """C-096."""
    value = {"start": 1.2, "end": 3.75, "channel": 0, "labels": ["Cat"]}
    written = item("Labels", value, from_name="soundlabels", to_name="sound", original_length=9.5)

    assert kept(written) == [written]


def test_answers_about_a_region_share_its_id():
    """C-100."""
    drawn = item("RectangleLabels", {**BOX, "rectanglelabels": ["Cat"]})
    text = item("TextArea", {**BOX, "text": ["STOP"]}, from_name="ocr")

    assert kept(text, drawn) == [text, drawn]


class TestRelations:
    """C-101."""

    DRAWN = [item("RectangleLabels", {**BOX, "rectanglelabels": ["Cat"]}, id=name) for name in "ab"]  # noqa: RUF012
    RELATION = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right", "labels": ["owns"]}  # noqa: RUF012

    def test_a_relation_between_regions_survives(self):
        assert kept(*self.DRAWN, self.RELATION) == [*self.DRAWN, self.RELATION]

    def test_a_nested_list_of_relations_becomes_flat(self):
        assert kept(*self.DRAWN, [self.RELATION]) == [*self.DRAWN, self.RELATION]

    def test_a_relation_follows_the_ids_of_its_regions(self):
        odd = [{**drawn, "id": f"#{drawn['id']}"} for drawn in self.DRAWN]

        *_, relation = kept(*odd, {**self.RELATION, "from_id": "#a", "to_id": "#b"})

        assert (relation["from_id"], relation["to_id"]) == ("-a", "-b")

    def test_a_relation_to_what_is_left_out_is_left_out(self):
        outside = item("RectangleLabels", {**BOX, "x": 200, "rectanglelabels": ["Cat"]}, id="b")

        assert kept(self.DRAWN[0], outside, self.RELATION) == [self.DRAWN[0]]

    @pytest.mark.parametrize("change", [{"from_id": "z"}, {"to_id": None}, {"to_id": []}, {"direction": "up"}])
    def test_a_relation_that_makes_no_sense_is_left_out(self, change: dict[str, Any]):
        assert "relat" in reason(*self.DRAWN, {**self.RELATION, **change})

    def test_without_a_direction_it_goes_to_the_right(self):
        del (relation := dict(self.RELATION))["direction"]

        assert kept(*self.DRAWN, relation)[-1]["direction"] == "right"


class TestRepairs:
    @pytest.mark.parametrize(
        ("tag", "value", "repaired"),
        [
            ("Choices", {"choices": "Cat"}, {"choices": ["Cat"]}),
            ("Choices", {"choices": ["Cow", "Cat"]}, {"choices": ["Cat"]}),
            ("Taxonomy", {"taxonomy": [["Plant"], ["Animal"]]}, {"taxonomy": [["Animal"]]}),
            ("Rating", {"rating": 4.0}, {"rating": 4}),
            ("DateTime", {"datetime": ["2026-11-20"]}, {"datetime": "2026-11-20"}),
            ("TextArea", {"text": "one"}, {"text": ["one"]}),
            (
                "KeyPointLabels",
                {"x": 5, "y": 5, "keypointlabels": ["Cat"]},
                {"x": 5, "y": 5, "width": 0.5, "keypointlabels": ["Cat"]},
            ),
            (
                "TimeSeriesLabels",
                {"start": 5, "end": 5, "timeserieslabels": ["Cat"]},
                {"start": 5, "end": 5, "instant": True, "timeserieslabels": ["Cat"]},
            ),
        ],
    )
    def test_a_value_with_one_possible_repair_is_repaired(
        self, tag: str, value: dict[str, Any], repaired: dict[str, Any]
    ):
        assert [each["value"] for each in kept(item(tag, value))] == [repaired]

    def test_boxes_and_outlines_are_cut_at_the_edge(self):
        """C-102."""
        box = item("RectangleLabels", {**BOX, "x": -10, "rectanglelabels": ["Cat"]})
        outline = item("PolygonLabels", {"points": [[50, 50], [150, 50], [50, 150]], "polygonlabels": ["Cat"]})

        cut_box, cut_outline = (each["value"] for each in kept(box, outline))

        assert [cut_box[key] for key in ("x", "y", "width", "height")] == pytest.approx([0, 20, 20, 40])
        assert sorted(cut_outline["points"]) == [[50, 50], [50, 100], [100, 50], [100, 100]]
        assert cut_outline["closed"] is True

    def test_times_of_key_frames_follow_from_their_frames(self):
        key = {name: value for name, value in KEY.items() if name != "time"}
        value = {"framesCount": 250, "duration": 10.0, "sequence": [{**key, "frame": 25}]}

        assert kept(item("VideoRectangle", value))[0]["value"]["sequence"][0]["time"] == 1.0

    def test_a_pairwise_answer_is_attached_to_the_first_object(self):
        """C-082: the editor writes the control's own name, which the validator refuses."""
        assert kept(item("Pairwise", {"selected": "right"}, to_name="pairwise"))[0]["to_name"] == "photo"

    @pytest.mark.parametrize("score", [math.nan, math.inf, "high", None, True])
    def test_a_score_that_is_no_number_is_dropped(self, score: object):
        assert "score" not in kept(item("Rating", {"rating": 3}, score=score))[0]

    def test_ids_are_text_and_tell_regions_of_a_control_apart(self):
        """C-103."""
        same = [
            item("RectangleLabels", {**BOX, "rectanglelabels": ["Cat"]}, id=name) for name in ("a", "a", 7, None, "7")
        ]

        ids = [each["id"] for each in kept(*same)]

        assert len(set(ids)) == 5
        assert (ids[0], ids[2]) == ("a", "7")

    def test_the_geometry_repeated_with_labels_and_answers_is_that_of_the_region(self):
        xml = view(
            tool("Rectangle", "box", ""), tool("Labels", "kind"), tool("Rating", "stars", "", 'perRegion="true"')
        )
        common = {"id": "a", "to_name": "photo"}
        items = [
            {**common, "from_name": "box", "type": "rectangle", "value": {**BOX, "x": -10}},
            {**common, "from_name": "kind", "type": "labels", "value": {**BOX, "x": -10, "labels": ["Cat"]}},
            {**common, "from_name": "stars", "type": "rating", "value": {"rating": 3}},
        ]

        checked = check_result(xml, items)

        judge(xml, checked.items)
        box, named, answer = (each["value"] for each in checked.items)
        assert (box["x"], box["width"]) == pytest.approx((0, 20))
        assert (named, answer) == ({**box, "labels": ["Cat"]}, {**box, "rating": 3})

    def test_what_is_said_about_a_region_that_is_left_out_is_left_out(self):
        drawn = item("RectangleLabels", {**BOX, "width": 0, "rectanglelabels": ["Cat"]})
        text = item("TextArea", {**BOX, "text": ["STOP"]}, from_name="ocr")

        assert kept(drawn, text) == []


class TestReasons:
    @pytest.mark.parametrize(
        ("tag", "value", "words"),
        [
            ("Choices", {"choices": ["Cow"]}, "'Cow', which the config lacks"),
            ("Choices", {"choices": [["Cat"]]}, "no list of labels"),
            ("Choices", {}, "no list of labels"),
            ("Choices", None, "no value"),
            ("Taxonomy", {"taxonomy": ["Animal"]}, "no list of paths"),
            ("Taxonomy", {"taxonomy": [["Plant"]]}, "the config lacks"),
            ("Rating", {"rating": 6}, "from 0 to 5"),
            ("Rating", {"rating": 2.5}, "whole number"),
            ("Number", {"number": "3"}, "not a number"),
            ("Number", {"number": math.nan}, "not a number"),
            ("DateTime", {"datetime": 5}, "no datetime"),
            ("TextArea", {"text": [5]}, "no list of texts"),
            ("Pairwise", {"selected": "both"}, "neither left nor right"),
            ("Ranker", {"ranker": ["a"]}, "no lists of ids"),
            ("RectangleLabels", {**BOX, "width": 0, "rectanglelabels": ["Cat"]}, "no area"),
            ("RectangleLabels", {**BOX, "x": 200, "rectanglelabels": ["Cat"]}, "outside"),
            ("RectangleLabels", BOX, "no list of labels"),
            ("RectangleLabels", {"rectanglelabels": ["Cat"]}, "x is not a number"),
            ("EllipseLabels", {"x": 5, "y": 5, "radiusX": 0, "radiusY": 4, "ellipselabels": ["d"]}, "no area"),
            ("PolygonLabels", {"points": [[0, 0], [5, 5]], "polygonlabels": ["d"]}, "no area"),
            ("KeyPointLabels", {"x": 500, "y": 5, "width": 1, "keypointlabels": ["d"]}, "outside"),
            ("VectorLabels", {"vertices": [], "vectorlabels": ["d"]}, "no vertices"),
            ("VectorLabels", {"vertices": [5], "vectorlabels": ["d"]}, "no object"),
            ("BrushLabels", {"format": "rle", "rle": [], "brushlabels": ["d"]}, "no rle"),
            ("BrushLabels", {"format": "rle", "rle": [300] * 9, "brushlabels": ["d"]}, "list of bytes"),
            ("BrushLabels", {"maskDataURL": "data:image/png;base64,aa", "brushlabels": ["d"]}, "no rle"),
            ("BitmaskLabels", {"imageDataURL": 5, "bitmasklabels": ["d"]}, "no imageDataURL"),
            ("Labels", {"start": 5, "end": 5, "labels": ["d"]}, "empty"),
            ("Labels", {"labels": ["d"]}, "not there"),
            ("HyperTextLabels", {"start": "/p", "end": "/p", "startOffset": -1, "hypertextlabels": ["d"]}, "no offset"),
            ("ParagraphLabels", {"start": 3, "end": 1, "paragraphlabels": ["d"]}, "before it starts"),
            ("TimeSeriesLabels", {"end": 1, "timeserieslabels": ["d"]}, "start and end"),
            ("TimelineLabels", {"ranges": [], "timelinelabels": ["d"]}, "no ranges"),
            ("VideoRectangle", {"sequence": [KEY]}, "needs framesCount"),
            (
                "VideoRectangle",
                {"framesCount": 9, "duration": 1, "sequence": [{**KEY, "frame": None}]},
                "without a frame",
            ),
        ],
    )
    def test_what_cannot_be_repaired_is_left_out_with_a_reason(self, tag: str, value: Any, words: str):
        said = reason(item(tag, value))

        assert words in said
        assert said.startswith(f"item 0 ({tag.lower()})")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"from_name": "nobody"}, "does not define"),
            ({"from_name": None}, "does not define"),
            ({"from_name": []}, "does not define"),
            ({"to_name": "story"}, "its control is not"),
            ({"type": "rating"}, "its control is a"),
            ({"type": None}, "no type"),
        ],
    )
    def test_an_item_for_another_config_is_left_out(self, change: dict[str, Any], words: str):
        assert words in reason({**item("Choices", {"choices": ["Cat"]}), **change})

    def test_bytes_for_another_size_than_the_image_are_left_out(self):
        value = {"format": "rle", "rle": RLE, "brushlabels": ["Cat"]}

        assert kept(item("BrushLabels", value, original_width=2, original_height=2))
        assert "another size" in reason(item("BrushLabels", value, original_width=2, original_height=3))

    @pytest.mark.parametrize("odd", [None, "x", 5, [5]])
    def test_what_is_no_object_is_left_out(self, odd: object):
        assert "no object" in reason(odd)

    def test_a_number_that_json_cannot_hold_is_left_out_wherever_it_is(self):
        value = {"start": 0, "end": 5, "labels": ["Cat"], "more": [{"deep": math.nan}]}

        assert "not finite" in reason(item("Labels", value))

    def test_a_config_that_cannot_be_read_is_refused(self):
        with pytest.raises(Invalid):
            check_result("<View>", [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 105) | st.floats() | st.sampled_from(["Cat", "left", "a", ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "y", "start", "frame"]), inner),
    max_leaves=4,
)
VALUES = st.fixed_dictionaries({}, optional={key: JSON for _, value in GOOD for key in value})


@ANY_SPEED
@given(
    st.lists(
        st.builds(
            lambda good, extra, change: item(good[0], {**good[1], **extra}, **change),
            st.sampled_from(GOOD),
            VALUES,
            st.fixed_dictionaries({}, optional={"id": JSON, "score": JSON, "original_width": JSON, "to_name": JSON}),
        )
        | JSON
        | st.fixed_dictionaries({"type": st.just("relation"), "from_id": JSON, "to_id": JSON}),
        max_size=5,
    )
)
def test_whatever_is_sent_what_is_left_is_valid(items: list[Any]):
    left = kept(*items)

    json.dumps(left, allow_nan=False)
    assert len(left) <= sum(len(each) if isinstance(each, list) else 1 for each in items)
