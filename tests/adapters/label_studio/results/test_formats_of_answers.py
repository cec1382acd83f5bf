"""Tests of taxonomies, ratings and numbers, of answers for each region, and of parts of texts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_studio_results import IMAGE, TEXT, binding, encode, item, tool, values, view

from adapters.label_studio.results import Answer, decode
from models.regions import Box, Choice, Mask, Number, Polygon, Span, bounding_box

ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TREE = '<Choice value="Animal"><Choice value="Cat" alias="c"/><Choice value="Dog"/></Choice><Choice value="and/or"/>'
TAXONOMY = view(tool("Taxonomy", labels=TREE))
RATING = view(tool("Rating", labels="", attributes='maxRating="4"'))
NUMBER = view(tool("Number", labels="", attributes='min="0" max="10" step="0.5"'))
SPANS = view(tool("Labels", to_name="story"), shown=TEXT)


class TestTaxonomy:
    def test_a_place_is_written_as_its_path_from_the_root(self):
        """C-077."""
        prediction = encode(TAXONOMY, [Choice("Animal/c", 0.75), Choice("and\\/or", 0.25), Choice("Plant", 1)])

        assert values(prediction) == [{"taxonomy": [["Animal", "c"], ["and/or"]]}]
        assert (prediction.score, prediction.num_dropped) == (0.5, 1)

    def test_a_model_may_know_a_place_by_its_own_name(self):
        assert values(encode(TAXONOMY, [Choice("Dog", 0.5), Choice("Cat", 0.25)])) == [
            {"taxonomy": [["Animal", "Dog"], ["Animal", "c"]]}
        ]

    def test_what_was_encoded_is_decoded(self):
        said = (Choice("Animal"), Choice("Animal/Dog"), Choice("and\\/or"))

        assert decode(list(encode(TAXONOMY, said).result), binding(TAXONOMY)) == Answer(said)

    @pytest.mark.parametrize("paths", ["Animal", ["Animal"], [[]], [["Animal", 3]], [["Plant"]], [["c"]]])
    def test_paths_outside_the_config_are_ignored(self, paths: object):
        assert decode([item(TAXONOMY, {"taxonomy": paths})], binding(TAXONOMY)).regions == ()


class TestNumbers:
    def test_a_rating_is_a_whole_number_within_its_bounds(self):
        """C-078."""
        assert values(encode(RATING, [Number(3.4, 0.5)])) == [{"rating": 3}]
        assert values(encode(RATING, [Number(99)])) == [{"rating": 4}]
        assert values(encode(RATING, [Number(-99)])) == [{"rating": 1}]

    def test_a_number_is_on_its_scale(self):
        """C-079."""
        assert values(encode(NUMBER, [Number(2.6, 0.5)])) == [{"number": 2.5}]
        assert values(encode(NUMBER, [Number(1e9)])) == [{"number": 10}]
        assert encode(NUMBER, [Number(math.nan)]).num_dropped == 1

    @pytest.mark.parametrize(("xml", "key"), [(RATING, "rating"), (NUMBER, "number")])
    def test_what_was_encoded_is_decoded(self, xml: str, key: str):
        assert decode(list(encode(xml, [Number(2)]).result), binding(xml)) == Answer((Number(2),))

    @pytest.mark.parametrize("said", [None, "3", True, math.inf, 5000, -5, [3]])
    @pytest.mark.parametrize(("xml", "key"), [(RATING, "rating"), (NUMBER, "number")])
    def test_numbers_that_make_no_sense_are_no_answer(self, xml: str, key: str, said: object):
        assert decode([item(xml, {key: said})], binding(xml)).regions is None

    def test_two_numbers_contradict_each_other(self):
        items = [item(NUMBER, {"number": 3}), item(NUMBER, {"number": 4})]

        assert decode(items, binding(NUMBER)) == Answer(None)

    def test_on_a_text_there_is_no_size(self):
        xml = view(tool("Rating", labels="", to_name="story"), shown=TEXT)

        (written,) = encode(xml, [Number(3, 0.5)], text="A story.").result

        assert written.keys() == {"id", "from_name", "to_name", "type", "origin", "value", "score"}


class TestPerRegion:
    """What is asked for each region is written under its id, with its geometry."""

    XML = view(
        tool("RectangleLabels", "box"),
        tool("Choices", "state", '<Choice value="ill"/><Choice value="well"/>', 'perRegion="true"'),
        tool("Number", "age", "", 'perRegion="true" whenTagName="box" whenLabelValue="Cat"'),
    )
    CAT, DOG = Box("Cat", 0.25, 0.25, 0.5, 0.5, score=0.75), Box("Dog", 0.75, 0.5, 0.25, 0.5, score=0.5)

    def place(self, box: Box) -> Box:
        return Box("", box.x, box.y, box.width, box.height, box.rotation, box.aspect)

    def test_an_answer_shares_id_and_geometry_with_its_region(self):
        """C-100."""
        choices = [Choice("ill", 0.25, self.place(self.CAT)), Choice("well", 0.5, self.place(self.CAT))]

        drawn, _, answer = encode(self.XML, [self.CAT, self.DOG], choices, []).result

        assert (answer["id"], answer["from_name"], answer["type"]) == (drawn["id"], "state", "choices")
        geometry = {key: value for key, value in drawn["value"].items() if key != "rectanglelabels"}
        assert answer["value"] == {**geometry, "choices": ["well"]}
        assert (answer["original_width"], answer["score"]) == (1920, 0.5)

    def test_a_question_for_some_labels_is_answered_for_them_only(self):
        ages = [Number(3, 0.5, self.place(box)) for box in (self.CAT, self.DOG)]

        *_, answer = items = encode(self.XML, [self.CAT, self.DOG], [], ages).result

        assert len(items) == 3
        assert (answer["id"], answer["value"]["number"]) == (items[0]["id"], 3)

    def test_answers_about_nothing_that_was_drawn_are_left_out(self):
        elsewhere = Box("", 0.1, 0.1, 0.1, 0.1)

        assert encode(self.XML, [], [Choice("ill", 0.5, elsewhere), Choice("ill", 0.5)], []).result == ()

    def test_what_was_encoded_is_decoded(self):
        said = Choice("ill", None, self.place(self.CAT))

        items = list(encode(self.XML, [self.CAT], [said], []).result)

        assert decode(items, binding(self.XML, "state")) == Answer((said,))
        assert decode(items, binding(self.XML, "age")) == Answer(None)

    @pytest.mark.parametrize(
        "region",
        [
            Box("Cat", 0.5, 0.5, 0.25, 0.25, 30, 1920 / 1080),
            Polygon("Cat", ((0.25, 0.25), (0.5, 0.25), (0.5, 0.75))),
            Mask("Cat", 4, 2, (1, 2, 5)),
        ],
    )
    def test_the_geometry_is_that_of_the_region_or_its_own(self, region: Box | Polygon | Mask):
        tags = {Box: "RectangleLabels", Polygon: "PolygonLabels", Mask: "BrushLabels"}
        xml = view(tool(tags[type(region)], "drawn"), tool("Rating", "stars", "", 'perRegion="true"'))
        found = bounding_box(region)
        assert found is not None
        size = {"width_px": 4, "height_px": 2} if isinstance(region, Mask) else {}
        drawn, answer = encode(xml, [region], [Number(2, 0.5, found)], **size).result

        for items in ([drawn, answer], [answer]):
            (said,) = decode(items, binding(xml, "stars")).regions or [None]
            assert isinstance(said, Number)
            assert said.part is not None
            assert said.part.bounds == pytest.approx(found.bounds)

    def test_an_answer_without_a_region_is_ignored(self):
        answer = item(self.XML, {"choices": ["ill"]}, from_name="state", type="choices")

        assert decode([answer], binding(self.XML, "state")) == Answer(None, 1)

    def test_questions_about_the_whole_image_decide_what_is_asked_about_regions(self):
        xml = view(
            tool("Choices", "mood", '<Choice value="good"/><Choice value="bad"/>'),
            tool("RectangleLabels", "box"),
            tool(
                "Number",
                "age",
                "",
                'perRegion="true" visibleWhen="choice-selected" whenTagName="mood" whenChoiceValue="bad"',
            ),
        )
        age = [Number(3, 0.5, self.place(self.CAT))]

        assert len(encode(xml, [Choice("good", 0.5)], [self.CAT], age).result) == 2
        assert len(encode(xml, [Choice("bad", 0.5)], [self.CAT], age).result) == 3


class TestSpans:
    STORY = "😀 Alice sings"

    def test_offsets_count_code_points_and_the_text_goes_along(self):
        """C-093."""
        (written,) = encode(SPANS, [Span("Cat", 2, 7, 0.5)], text=self.STORY).result

        assert written["type"] == "labels"
        assert written["value"] == {"start": 2, "end": 7, "text": "Alice", "labels": ["Cat"]}
        assert "original_width" not in written

    def test_spans_may_overlap_and_are_decoded(self):
        spans = (Span("Cat", 0, 7), Span("d", 2, 7))

        assert decode(list(encode(SPANS, spans, text=self.STORY).result), binding(SPANS)) == Answer(spans)

    @ANY_SPEED
    @given(
        st.lists(
            st.builds(Span, st.sampled_from(["Cat", "Cow"]), st.integers(), st.integers(), st.none() | st.floats())
        )
    )
    def test_whatever_a_model_says_spans_are_in_the_text(self, spans: list[Span]):
        for value in values(encode(SPANS, spans, text=self.STORY)):
            assert 0 <= value["start"] < value["end"] <= len(self.STORY)
            assert value["text"] == self.STORY[value["start"] : value["end"]]

    @pytest.mark.parametrize(
        ("start", "end", "regions"),
        [
            (1, 3, (Span("Cat", 1, 3),)),
            ("1", "3", (Span("Cat", 1, 3),)),
            (3, 3, None),
            (3, 1, None),
            (-1, 3, None),
            (None, 3, None),
            (True, 3, None),
            (1.5, 3, None),
            ("/p[1]/text()[1]", "/p[1]/text()[1]", None),
        ],
    )
    def test_offsets_that_make_no_sense_are_ignored(self, start: Any, end: Any, regions: Any):
        written = item(SPANS, {"start": start, "end": end, "labels": ["Cat"]})

        assert decode([written], binding(SPANS)).regions == regions


def test_an_object_of_each_kind_can_be_in_one_config():
    """Several controls on several objects give one merged prediction."""
    xml = view(tool("RectangleLabels", "box"), tool("Labels", "who", to_name="story"), shown=IMAGE + TEXT)

    prediction = encode(xml, [Box("Cat", 0.5, 0.5, 0.5, 0.5, score=0.25)], [Span("Cat", 0, 3, 0.75)])

    assert [written["to_name"] for written in prediction.result] == ["photo", "story"]
    assert prediction.score == 0.5
