"""Tests of adapters/label_studio/label_config.py; the SDK of Label Studio is the second opinion on names and labels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from adapters.label_studio import label_config
from adapters.label_studio.label_config import Binding, Condition, LabelConfig, learnable, parse
from adapters.label_studio.results.formats import ANSWERS, SHAPES
from backend.errors import Invalid
from models.labels import Label, Objective

PETS = '<Choice value="Cat"/><Choice value="Dog"/>'


def view(*tags: str) -> str:
    return f'<View><Image name="photo" value="$img"/>{"".join(tags)}</View>'


def choices(attributes: str = "", labels: str = PETS, name: str = "pet") -> str:
    return f'<Choices name="{name}" toName="photo" {attributes}>{labels}</Choices>'


ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TAGS = st.sampled_from(["View", "Image", "Text", "Choices", "Choice", "Repeater", "Labels", "Filter"])
ATTRIBUTES = st.sampled_from(
    ["name", "toName", "value", "valueList", "alias", "choice", "perRegion", "allowNested", "predicted_values"]
) | st.sampled_from(["visibleWhen", "whenTagName", "whenChoiceValue", "model_skip", "model_score_threshold"])
VALUES = st.sampled_from(["a", "b", "$a", "$a.b[0]", "true", "0.5", "x", "", ",", "choice-selected", "a,b"])


def write_tag(tag: str, attributes: dict[str, str], children: list[str]) -> str:
    written = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return f"<{tag} {written}>{''.join(children)}</{tag}>"


def only(xml: str) -> Binding:
    config = parse(xml)
    assert not config.unlearnable
    (binding,) = config.bindings
    return binding


def reason(xml: str) -> str:
    config = parse(xml)
    assert not config.bindings
    (unlearnable,) = config.unlearnable
    return unlearnable.reason


def refusal(xml: str) -> str:
    with pytest.raises(Invalid) as caught:
        parse(xml)
    assert caught.value.code == "label_config_invalid"
    assert_fits_a_reason_phrase(caught.value.message)
    return caught.value.message


def assert_fits_a_reason_phrase(message: str) -> None:
    assert len(message) <= 150
    assert message.isprintable()
    message.encode("latin-1")


class TestBindings:
    def test_choices_on_an_image_ask_for_one_label(self):
        binding = only(view(choices()))

        assert (binding.control_name, binding.control_tag) == ("pet", "choices")
        assert (binding.object_name, binding.object_tag, binding.data_key) == ("photo", "image", "img")
        assert binding.schema.objective is Objective.CLASSIFICATION
        assert binding.schema.labels == (Label("Cat"), Label("Dog"))
        assert binding.score_threshold == 0
        assert binding.conditions == ()

    @pytest.mark.parametrize(
        ("choice", "objective"),
        [
            ("single", Objective.CLASSIFICATION),
            ("single-radio", Objective.CLASSIFICATION),
            ("multiple", Objective.MULTI_LABEL),
        ],
    )
    def test_the_choice_attribute_decides_the_objective(self, choice: str, objective: Objective):
        assert only(view(choices(f'choice="{choice}"'))).schema.objective is objective

    def test_an_alias_takes_the_place_of_the_value_which_becomes_a_synonym(self):
        """C-076, alias; B.2: with an alias, only the alias is valid."""
        labels = '<Choice value="Cat" alias="c" predicted_values="tabby, lynx ,"/><Choice value="Dog"/>'

        schema = only(view(choices(labels=labels))).schema

        assert schema.labels == (Label("c", ("tabby", "lynx", "Cat")), Label("Dog"))
        assert schema.match("Cat") == "c"

    def test_swapped_aliases_do_not_swap_what_a_model_says(self):
        schema = only(view(choices(labels='<Choice value="A" alias="B"/><Choice value="B" alias="A"/>'))).schema

        assert [schema.match(name) for name in "AB"] == ["A", "B"]

    def test_labels_may_be_laid_out_in_views_and_repeat(self):
        labels = '<View><Choice value="Cat"/></View><Choice value="Dog"/><Choice value="Cat"/><Choice/>'

        assert only(view(choices(labels=labels))).schema.names == ("Cat", "Dog")

    def test_the_object_may_come_after_the_control(self):
        assert only(f'<View>{choices()}<Image name="photo" value="$img"/></View>').data_key == "img"

    def test_the_case_of_tags_and_attributes_does_not_matter_as_in_the_editor(self):
        xml = '<view><image Name="photo" Value="$img"/><choices name="pet" toname="photo">' + PETS + "</choices></view>"

        assert only(xml).schema.names == ("Cat", "Dog")

    def test_several_controls_keep_their_order(self):
        config = parse(view(choices(name="b"), choices(name="a")))

        assert [binding.control_name for binding in config.bindings] == ["b", "a"]

    def test_a_threshold_is_read(self):
        assert only(view(choices('model_score_threshold="0.25"'))).score_threshold == 0.25

    def test_an_encoding_declaration_and_a_byte_order_mark_are_no_obstacle(self):
        assert parse('\ufeff<?xml version="1.0" encoding="utf-16"?>\n' + view(choices())).bindings
        assert parse("\n " + view(choices())).bindings

    @pytest.mark.parametrize("when", ['visibleWhen="choice-selected"', ""])
    def test_conditions_are_read_from_the_control_and_the_views_around_it(self, when: str):
        inner = choices('visibleWhen="choice-unselected" whenTagName="mood"', name="breed")
        xml = view(choices(), f'<View {when} whenTagName="pet" whenChoiceValue="Cat,Dog">{inner}</View>')

        breed = parse(xml).bindings[1]

        assert breed.conditions == (Condition("mood", (), True), Condition("pet", ("Cat", "Dog"), False))

    @ANY_SPEED
    @given(st.lists(st.text("abcé<&\"'$ ,日", min_size=1), min_size=2, unique=True), st.booleans())
    def test_names_and_labels_are_those_of_the_sdk(self, names: list[str], has_alias: bool):
        aliases = [f"alias={quoteattr(name + '!')}" if has_alias else "" for name in names]
        pairs = zip(names, aliases, strict=True)
        labels = "".join(f"<Choice value={quoteattr(name)} {alias}/>" for name, alias in pairs)
        xml = view(choices(labels=labels))
        control = LabelInterface(xml).get_control("pet")

        config = parse(xml)

        if config.bindings:
            assert list(config.bindings[0].schema.names) == control.labels
            assert [config.bindings[0].object_name] == control.to_name
            assert config.bindings[0].data_key == control.objects[0].value_name
        else:
            assert "refers to a field of the task" in config.unlearnable[0].reason


class TestData:
    @pytest.mark.parametrize(
        ("value", "data", "found"),
        [
            ("$img", {"img": "/a.jpg"}, "/a.jpg"),
            ("$a.b", {"a": {"b": "/a.jpg"}}, "/a.jpg"),
            ("$a.b", {"a": {"b": "/a.jpg"}, "a.b": "/b.jpg"}, "/b.jpg"),
            ("$pages[1].url", {"pages": [{}, {"url": "/p1.jpg"}]}, "/p1.jpg"),
            ("$pages[9]", {"pages": []}, None),
            ("$img", {"image": "/a.jpg"}, None),
            ("$a.b", {"a": "text"}, None),
            ("$a.b", {"a": {}}, None),
        ],
    )
    def test_a_data_key_names_a_field_or_a_nested_value(self, value: str, data: dict[str, object], found: object):
        xml = f'<View><Image name="photo" value="{value}"/>{choices()}</View>'

        assert only(xml).find_data(data) == found


class TestUnlearnable:
    @pytest.mark.parametrize(
        ("tags", "words"),
        [
            (choices('model_skip="true"'), "model_skip"),
            (choices('visibleWhen="region-selected"'), "while a region is selected"),
            (choices('value="$options"', labels=""), "from each task"),
            (choices('apiUrl="https://example.org/labels"', labels=""), "from each task"),
            (choices(labels='<Choice value="$first"/><Choice value="Dog"/>'), "refers to a field"),
            (choices(labels='<Choice value="Pet"><Choice value="Cat"/></Choice>'), "labels inside labels"),
            (choices('allowNested="true"'), "labels inside labels"),
            (choices(labels=""), "no labels"),
            (choices(labels='<Choice value="Cat"/>'), "only one label"),
            ('<Choices name="pet" toName="photo,other"/>', "exactly one object"),
            ('<Choices name="pet" toName=" , "/>', "exactly one object"),
            ('<Choices name="pet" toName="other"/>', '"other", which the config does not define'),
            ('<Image name="many" valueList="$urls"/><Choices name="pet" toName="many"/>', "several images"),
            ('<Image name="fixed" value="https://e.org/$a"/><Choices name="pet" toName="fixed"/>', "one field"),
            ('<Repeater on="$urls">' + choices(name="pet_{{idx}}") + "</Repeater>", "Repeater"),
            ('<TextArea name="note" toName="photo"/>', "TextArea"),
        ],
    )
    def test_a_control_that_cannot_be_learnt_comes_with_a_reason(self, tags: str, words: str):
        """C-037: no error, whatever the tags."""
        assert words in reason(view(tags))

    def test_a_second_control_of_the_same_name_is_left_out(self):
        config = parse(view(choices(), choices()))

        assert len(config.bindings) == 1
        assert "name of another" in config.unlearnable[0].reason

    def test_what_can_be_learnt_is_kept_beside_what_cannot(self):
        config = parse(view('<TextArea name="note" toName="photo"/>', choices()))

        assert [binding.control_name for binding in config.bindings] == ["pet"]
        assert [(each.control_name, each.tag) for each in config.unlearnable] == [("note", "TextArea")]

    def test_filters_and_headers_are_no_controls(self):
        config = parse(view('<Header value="Pets"/><Filter name="find" toName="pet"/>'))

        assert config == LabelConfig((), ())


class TestRefusals:
    """C-022: an unusable config is refused with a reason that fits where Label Studio shows it."""

    @pytest.mark.parametrize(
        ("xml", "words"),
        [
            ("", "no element found"),
            ("not XML", "syntax error at line 1, column 1"),
            ("<View>", "no element found at line 1, column 7"),
            ("<View></Views>", "mismatched tag"),
            ("<View/><View/>", "junk after document element"),
            ('<View a="1" a="2"/>', "duplicate attribute"),
            ("<View>&evil;</View>", "undefined entity"),
            ("<View>\x00</View>", "not well-formed"),
            ("<View>\ud800</View>", "character that XML cannot hold"),
            ("<Choices/>", "its outermost tag is <Choices>, not <View>"),
            ("<" + "日" * 300 + "/>", "????"),
            ("<View>" + "<a>" * 1000 + "</a>" * 1000 + "</View>", "nested more than 200 deep"),
            ("<View>" + " " * label_config.MAX_BYTES + "</View>", "longer than 1,048,576 bytes"),
            ("<View>" + "日" * (label_config.MAX_BYTES // 2) + "</View>", "longer than 1,048,576 bytes"),
            ('<!DOCTYPE v [<!ENTITY a "b">]><View>&a;</View>', "DOCTYPE"),
            ('<!DOCTYPE v SYSTEM "file:///etc/passwd"><View/>', "DOCTYPE"),
        ],
    )
    def test_what_cannot_be_read_is_refused_in_one_short_line(self, xml: str, words: str):
        assert words in refusal(xml)

    @pytest.mark.parametrize("threshold", ["high", "1.5", "-1", "nan", "1e999"])
    def test_a_threshold_must_be_a_score(self, threshold: str):
        name = "ö" * 100

        message = refusal(view(choices(f'model_score_threshold="{threshold}"', name=name)))

        assert "must be a number from 0 to 1" in message

    @ANY_SPEED
    @given(st.text())
    def test_any_text_is_read_or_refused(self, xml: str):
        self.read_or_refuse(xml)

    @ANY_SPEED
    @given(
        st.recursive(
            st.just(""),
            lambda inside: st.builds(
                write_tag, TAGS, st.dictionaries(ATTRIBUTES, VALUES, max_size=4), st.lists(inside)
            ),
            max_leaves=20,
        )
    )
    def test_any_tags_are_read_or_refused(self, tags: str):
        self.read_or_refuse(f'<View><Image name="a" value="$a"/>{tags}</View>')

    def read_or_refuse(self, xml: str) -> None:
        try:
            config = parse(xml)
        except Invalid as error:
            assert_fits_a_reason_phrase(error.message)
        else:
            assert config.content_key
            for binding in config.bindings:
                binding.find_data({"a": [{"b": []}]})


class TestIdentity:
    def test_equal_texts_are_parsed_once(self):
        xml = view(choices(name="cached"))

        with ThreadPoolExecutor(4) as pool:
            configs = list(pool.map(parse, [xml] * 20))

        assert all(config == configs[0] for config in configs)
        assert parse(xml) is parse("".join(xml))

    def test_the_content_key_follows_what_there_is_to_learn(self):
        """C-067: this is how a changed config is told from a changed setting."""
        key = parse(view(choices())).content_key

        assert parse(view('<Header value="Pets"/>', choices('layout="select"'))).content_key == key
        assert parse(view(choices('choice="multiple"'))).content_key != key
        assert parse(view(choices(labels=PETS + '<Choice value="Cow"/>'))).content_key != key
        assert parse(view(choices()).replace("$img", "$image")).content_key != key

    def test_every_control_that_is_bound_can_be_written(self):
        assert set(learnable.KINDS) == set(ANSWERS) | set(SHAPES)
