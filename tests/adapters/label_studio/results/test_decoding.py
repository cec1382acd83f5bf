"""Tests of adapters/label_studio/results/decoding.py: what does an annotation say that draws nothing?"""

from __future__ import annotations

import pytest
from label_studio_results import TEXT, binding, item, tool, view

from adapters.label_studio.results import Answer, decode

SPANS = view(tool("Labels", to_name="story"), shown=TEXT)


class TestSilence:
    """An annotation without a region: nothing is there, or nothing was said?"""

    BOXES = view(tool("RectangleLabels", "box"), tool("Choices", "mood", '<Choice value="good"/><Choice value="bad"/>'))

    @pytest.mark.parametrize("xml", [SPANS, *(view(tool(f"{tag}Labels")) for tag in ("Rectangle", "Polygon", "Brush"))])
    def test_an_annotation_without_regions_says_that_nothing_is_there(self, xml: str):
        assert decode([], binding(xml)) == Answer(())

    def test_an_annotation_that_only_answers_another_question_does_so_too(self):
        mood = item(self.BOXES, {"choices": ["bad"]}, from_name="mood", type="choices")

        assert decode([mood], binding(self.BOXES, "box")) == Answer(())

    def test_a_question_that_was_not_answered_is_not_an_answer(self):
        assert decode([], binding(self.BOXES, "mood")) == Answer(None)

    def test_no_list_is_no_annotation(self):
        assert decode(None, binding(self.BOXES, "box")) == Answer(None)

    def test_where_only_unknown_labels_are_drawn_nothing_of_the_known_ones_is_there(self):
        value = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["Cow"]}
        written = item(self.BOXES, value)

        assert decode([written], binding(self.BOXES, "box")) == Answer((), 1)

    def test_a_control_that_label_studio_did_not_show_says_nothing(self):
        shown = 'visibleWhen="choice-selected" whenTagName="mood" whenChoiceValue="bad"'
        xml = view(
            tool("Choices", "mood", '<Choice value="good"/><Choice value="bad"/>'),
            tool("BrushLabels", "mask", attributes=shown),
        )

        said = [decode([item(xml, {"choices": [mood]})], binding(xml, "mask")).regions for mood in ("good", "bad")]

        assert said == [None, ()]

    def test_who_draws_outlines_does_not_deny_that_there_are_boxes_of_the_same_labels(self):
        xml = view(tool("RectangleLabels", "box"), tool("PolygonLabels", "outline"))
        other = view(tool("RectangleLabels", "box", '<Label value="Tree"/>'), tool("PolygonLabels", "outline"))
        outline = item(
            xml,
            {"points": [[0, 0], [50, 0], [50, 50]], "polygonlabels": ["Cat"]},
            from_name="outline",
            type="polygonlabels",
        )

        def said(config: str) -> object:
            bindings = [binding(config, "box"), binding(config, "outline")]
            return decode([outline], bindings[0], bindings).regions

        assert said(xml) is None
        assert said(other) == ()
