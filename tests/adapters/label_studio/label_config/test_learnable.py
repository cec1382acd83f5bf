"""Tests of adapters/label_studio/label_config/learnable.py: which control becomes what."""

from __future__ import annotations

import time

import pytest
from label_studio_results import IMAGE, LABELS, TEXT, binding, tool, view
from label_studio_sdk.label_interface import LabelInterface

from adapters.label_studio.label_config import Condition, parse
from models.labels import Label, LabelSchema, Medium, Objective, Scale

CHOICES = '<Choice value="Cat"/><Choice value="Dog"/>'
TWO = (Label("Cat", ("tabby",)), Label("d", ("Dog",)))
PLAIN = (Label("Cat"), Label("Dog"))
HYPERTEXT, DIALOGUE = '<HyperText name="story" value="$text"/>', '<Paragraphs name="story" value="$text"/>'


def reason(xml: str, name: str = "tool") -> str:
    (found,) = [each.reason for each in parse(xml).unlearnable if each.control_name == name]
    return found


class TestImages:
    @pytest.mark.parametrize(
        ("tag", "objective"),
        [
            ("Rectangle", Objective.DETECTION),
            ("Ellipse", Objective.DETECTION),
            ("Polygon", Objective.INSTANCE_SEGMENTATION),
            ("Brush", Objective.SEMANTIC_SEGMENTATION),
            ("Bitmask", Objective.SEMANTIC_SEGMENTATION),
            ("KeyPoint", Objective.KEY_POINTS),
        ],
    )
    def test_what_is_drawn_is_found(self, tag: str, objective: Objective):
        """With labels of its own, with a <Labels> beside it (C-085), and without any."""
        own = binding(view(tool(f"{tag}Labels")))
        split = binding(view(tool(tag, labels=""), tool("Labels", "kind")))
        nameless = binding(view(tool(tag, labels="")))

        assert (own.control_tag, own.labels_name) == (f"{tag.lower()}labels", None)
        assert (split.control_tag, split.labels_name) == (tag.lower(), "kind")
        assert own.schema == split.schema == LabelSchema(objective, TWO)
        assert nameless.schema == LabelSchema(objective, (Label("tool"),))
        assert (own.has_names, split.has_names, nameless.has_names) == (True, True, False)

    def test_one_label_is_something_to_find(self):
        assert binding(view(tool("RectangleLabels", labels='<Label value="Crack"/>'))).schema.names == ("Crack",)

    def test_one_labels_control_may_name_what_several_controls_draw(self):
        config = parse(view(tool("Labels", "kind"), tool("Rectangle", "box", ""), tool("Brush", "mask", "")))

        assert [(each.control_name, each.labels_name) for each in config.bindings] == [
            ("box", "kind"),
            ("mask", "kind"),
        ]
        assert config.unlearnable == ()

    def test_a_labels_control_without_anything_that_draws_cannot_be_learnt(self):
        assert "no <Rectangle>" in reason(view(tool("Labels")))
        two = view(tool("Labels", "kind"), tool("Labels"), tool("Rectangle", "box", ""))
        assert "no <Rectangle>" in reason(two)

    def test_the_number_of_stars_is_a_scale(self):
        assert binding(view(tool("Rating", labels=""))).schema == LabelSchema(
            Objective.REGRESSION, (), Medium.IMAGE, Scale(1, 5, 1)
        )
        assert binding(view(tool("Rating", labels="", attributes='maxRating="3"'))).schema.scale == Scale(1, 3, 1)

    @pytest.mark.parametrize(
        ("attributes", "scale"),
        [
            ("", Scale()),
            ('min="0" max="1.5" step="0.25"', Scale(0, 1.5, 0.25)),
            ('min="low" max="inf" step="-1"', Scale()),
        ],
    )
    def test_a_number_has_the_scale_of_its_attributes(self, attributes: str, scale: Scale):
        assert binding(view(tool("Number", labels="", attributes=attributes))).schema.scale == scale

    def test_a_scale_without_numbers_cannot_be_learnt(self):
        assert "min greater than its max" in reason(view(tool("Number", labels="", attributes='min="5" max="1"')))

    def test_the_places_of_a_taxonomy_are_paths_of_aliases(self):
        animals = '<Choice value="Animal"><Choice value="Cat" alias="c"/><Choice value="Other"/></Choice>'
        tree = animals + '<Choice value="Other"/>'

        schema = binding(view(tool("Taxonomy", labels=tree))).schema

        assert schema.objective is Objective.MULTI_LABEL
        assert schema.labels == (
            Label("Animal"),
            Label("Animal/c", ("c", "Cat")),
            Label("Animal/Other"),
            Label("Other"),
        )

    def test_the_attributes_of_a_taxonomy_are_honoured(self):
        tree = '<Choice value="A"><Choice value="B"/><Choice value="C"/></Choice>'

        schema = binding(view(tool("Taxonomy", labels=tree, attributes='maxUsages="1" leafsOnly="true"'))).schema

        assert (schema.objective, schema.names) == (Objective.CLASSIFICATION, ("A/B", "A/C"))


class TestTexts:
    @pytest.mark.parametrize("shown", [TEXT, HYPERTEXT, DIALOGUE])
    def test_questions_about_texts_are_learnt(self, shown: str):
        xml = view(
            tool("Choices", "a", CHOICES, to_name="story"),
            tool("Taxonomy", "b", CHOICES, to_name="story"),
            tool("Rating", "c", "", to_name="story"),
            tool("Number", "d", "", to_name="story"),
            shown=shown,
        )

        assert [binding(xml, name).schema for name in "abcd"] == [
            LabelSchema(Objective.CLASSIFICATION, PLAIN, Medium.TEXT),
            LabelSchema(Objective.MULTI_LABEL, PLAIN, Medium.TEXT),
            LabelSchema(Objective.REGRESSION, (), Medium.TEXT, Scale(1, 5, 1)),
            LabelSchema(Objective.REGRESSION, (), Medium.TEXT, Scale()),
        ]

    def test_labels_on_a_text_are_its_parts(self):
        schema = binding(view(tool("Labels", to_name="story"), shown=TEXT)).schema

        assert schema == LabelSchema(Objective.SPANS, TWO, Medium.TEXT)

    def test_how_a_text_is_held_is_known(self):
        url = '<Text name="story" value="$text" valueType="URL"/>'
        dialogue = '<Paragraphs name="story" value="$text" nameKey="who" textKey="what"/>'

        found = [
            binding(view(tool("Rating", labels="", to_name="story"), shown=shown)) for shown in (TEXT, url, dialogue)
        ]

        assert [each.is_address for each in found] == [False, True, False]
        assert [(each.author_key, each.phrase_key) for each in found[1:]] == [("author", "text"), ("who", "what")]


class TestPerRegion:
    @pytest.mark.parametrize("tag", ["Choices", "Taxonomy", "Rating", "Number"])
    def test_a_question_may_be_asked_for_each_region(self, tag: str):
        found = binding(view(tool(tag, labels=CHOICES, attributes='perRegion="true"')))

        assert found.is_per_region
        assert found.conditions == ()

    @pytest.mark.parametrize(
        ("attributes", "conditions"),
        [
            ('visibleWhen="region-selected"', [Condition(None, (), False)]),
            ('whenTagName="box"', [Condition("box", (), False)]),
            ('whenTagName="box" whenLabelValue="Cat,d"', [Condition("box", ("Cat", "d"), False)]),
            ('whenTagName="mood" whenChoiceValue="bad"', [Condition("mood", ("bad",), False)]),
        ],
    )
    def test_it_may_be_asked_for_some_regions_only(self, attributes: str, conditions: list[Condition]):
        xml = view(tool("Rating", labels="", attributes=f'perRegion="true" {attributes}'))

        assert list(binding(xml).conditions) == conditions

    def test_views_around_it_count_too(self):
        inside = tool("Rating", labels="", attributes='perRegion="true"')
        xml = view(f'<View visibleWhen="region-selected" whenTagName="box" whenLabelValue="Cat">{inside}</View>')

        assert binding(xml).conditions == (Condition("box", ("Cat",), False),)

    def test_parts_of_texts_are_not_asked_about(self):
        xml = view(tool("Rating", labels="", to_name="story", attributes='perRegion="true"'), shown=TEXT)

        assert "for each region" in reason(xml)


class TestUnlearnable:
    """Whatever is not learnt has a reason, and leaves the rest alone."""

    @pytest.mark.parametrize(
        ("shown", "tag", "labels", "words"),
        [
            (IMAGE, "TextArea", "", "free text"),
            (IMAGE, "DateTime", "", "a date"),
            (IMAGE, "MagicWand", "", "<BrushLabels>"),
            (IMAGE, "VectorLabels", LABELS, "lines"),
            (IMAGE, "Unheard", "", "is a <Unheard>, which this release does not learn"),
            (HYPERTEXT, "HyperTextLabels", LABELS, "formatted text"),
            (DIALOGUE, "ParagraphLabels", LABELS, "dialogues"),
            (HYPERTEXT, "Labels", LABELS, "on <Text> only"),
            (TEXT, "RectangleLabels", LABELS, "on <Image> only"),
            ('<Audio name="story" value="$wav"/>', "Labels", LABELS, "sound"),
            ('<Audio name="story" value="$wav"/>', "Choices", CHOICES, "sound"),
            ('<Video name="story" value="$mp4"/>', "Choices", CHOICES, "video"),
            ('<Video name="story" value="$mp4"/>', "VideoRectangle", "", "video"),
            ('<TimeSeries name="story" value="$csv"/>', "TimeSeriesLabels", LABELS, "time series"),
            ('<TimeSeries name="story" value="$csv"/>', "Choices", CHOICES, "time series"),
            ('<List name="story" value="$list"/>', "Ranker", "", "in order"),
            ('<Pdf name="story" value="$pdf"/>', "Choices", CHOICES, "on <Image> and <Text> and"),
        ],
    )
    def test_a_control_that_cannot_be_learnt_says_why(self, shown: str, tag: str, labels: str, words: str):
        to_name = "photo" if shown == IMAGE else "story"
        xml = view(tool(tag, labels=labels, to_name=to_name), tool("RectangleLabels", "box"), shown=IMAGE + shown)
        xml = xml.replace(IMAGE + IMAGE, IMAGE)

        assert words in reason(xml)
        assert [each.control_name for each in parse(xml).bindings] == ["box"]

    def test_pairs_are_not_compared(self):
        assert "compares" in reason(view(tool("Pairwise", labels="", to_name="photo,other")))

    @pytest.mark.parametrize("tag", ["RectangleLabels", "Rating", "Taxonomy", "BrushLabels"])
    def test_model_skip_and_the_threshold_are_honoured_by_all(self, tag: str):
        labels = CHOICES if tag == "Taxonomy" else LABELS

        assert "model_skip" in reason(view(tool(tag, labels=labels, attributes='model_skip="true"')))
        assert binding(view(tool(tag, labels=labels, attributes='model_score_threshold="0.5"'))).score_threshold == 0.5

    def test_labels_that_are_skipped_leave_regions_nameless(self):
        xml = view(tool("Rectangle", "box", ""), tool("Labels", attributes='model_skip="true"'))

        assert binding(xml, "box").labels_name is None


class TestControls:
    def test_every_control_is_known_with_the_labels_that_the_sdk_knows(self):
        tree = '<Choice value="Animal"><Choice value="Cat" alias="c"/></Choice>'
        xml = view(
            tool("RectangleLabels", "box"),
            tool("Taxonomy", "kind", tree),
            tool("TextArea", "note", ""),
            tool("Choices", "dynamic", "", 'value="$options"'),
        )
        sdk = LabelInterface(xml)

        controls = parse(xml).controls

        assert list(controls) == ["box", "kind", "note", "dynamic"]
        assert [set(controls[name].labels or ()) for name in ("box", "kind")] == [
            set(sdk.get_control(name).labels) for name in ("box", "kind")
        ]
        assert controls["note"].labels is controls["dynamic"].labels is None
        assert (controls["box"].tag, controls["box"].object_names) == ("rectanglelabels", ("photo",))

    def test_the_content_key_follows_what_is_asked_for_each_region_and_of_what_kind_of_text(self):
        keys = {
            parse(xml).content_key
            for xml in (
                view(tool("Rating", labels="")),
                view(tool("Rating", labels="", attributes='perRegion="true"')),
                view(tool("Rating", labels="", to_name="story"), shown=TEXT),
                view(tool("Rating", labels="", to_name="story"), shown=HYPERTEXT),
            )
        }

        assert len(keys) == 4

    def test_a_config_of_many_controls_is_read_in_time(self):
        xml = view(*(tool("Rectangle", f"box{number}", "") for number in range(8000)), tool("Labels", "kind"))

        started = time.process_time()
        assert len(parse(xml).bindings) == 8000
        assert time.process_time() - started < 3
