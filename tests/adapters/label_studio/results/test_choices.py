"""Tests of adapters/label_studio/results: each prediction is judged by the validator of Label Studio's SDK."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from adapters.label_studio import results
from adapters.label_studio.label_config import Binding, parse
from adapters.label_studio.results import Answer, EncodedPrediction, Found
from models.regions import Choice

ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SINGLE = (
    '<View><Image name="photo" value="$img"/><Choices name="pet" toName="photo">'
    '<Choice value="Cat" predicted_values="tabby"/><Choice value="Dog"/></Choices></View>'
)
MULTIPLE = SINGLE.replace('toName="photo"', 'toName="photo" choice="multiple"')
ALIASES = SINGLE.replace('value="Cat"', 'value="Cat" alias="c"')
TWO = SINGLE.replace(
    "</View>",
    '<View visibleWhen="choice-selected" whenTagName="pet" whenChoiceValue="Cat"><Choices name="fur" toName="photo">'
    '<Choice value="Long"/><Choice value="Short"/></Choices></View></View>',
)
TWO_OPPOSITE = TWO.replace("choice-selected", "choice-unselected")


def encode(xml: str, *regions: list[Choice], task_id: object = 41) -> EncodedPrediction:
    """Encode the regions of each control, and let the SDK judge."""
    config = parse(xml)
    found = [Found(each, some, 1920, 1080) for each, some in zip(config.bindings, regions, strict=True)]
    prediction = results.encode(found, config=config, task_id=task_id)
    body = prediction.to_json("pets-1")
    assert LabelInterface(xml).validate_prediction(body, return_errors=True) == []
    ids = [item["id"] for item in body["result"]]
    assert len(set(ids)) == len(ids)  # C-103
    assert all(isinstance(each, str) for each in ids)
    return prediction


def answers(prediction: EncodedPrediction) -> dict[str, list[str]]:
    return {item["from_name"]: item["value"]["choices"] for item in prediction.result}


def binding(xml: str) -> Binding:
    return parse(xml).bindings[0]


def item(*labels: Any, **changes: Any) -> dict[str, Any]:
    return {"from_name": "pet", "to_name": "photo", "type": "choices", "value": {"choices": list(labels)}, **changes}


class TestEncode:
    def test_one_choice(self):
        """C-028, C-035, C-036, C-076 (single)."""
        prediction = encode(SINGLE, [Choice("Cat", 0.75)])

        (written,) = prediction.result
        identity = written.pop("id")
        assert len(identity) == 12
        assert written == {
            "from_name": "pet",
            "to_name": "photo",
            "type": "choices",
            "origin": "prediction",
            "original_width": 1920,
            "original_height": 1080,
            "image_rotation": 0,
            "value": {"choices": ["Cat"]},
            "score": 0.75,
        }
        assert prediction.score == 0.75
        assert prediction.to_json("pets-1").keys() == {"result", "score", "model_version"}

    def test_of_several_regions_a_single_choice_takes_the_best(self):
        prediction = encode(SINGLE, [Choice("Cat", 0.25), Choice("Dog", 0.5)])

        assert answers(prediction) == {"pet": ["Dog"]}

    def test_several_choices_are_one_item_best_first(self):
        """C-076 (multiple)."""
        prediction = encode(MULTIPLE, [Choice("Dog", 0.5), Choice("Cat", 0.75)])

        assert answers(prediction) == {"pet": ["Cat", "Dog"]}
        assert prediction.score == 0.625

    def test_nothing_found_is_an_empty_result(self):
        assert encode(MULTIPLE, []) == EncodedPrediction((), 0.5, 0)
        assert EncodedPrediction().to_json("v") == {"result": [], "score": 0.0, "model_version": "v"}

    def test_an_alias_is_written_in_place_of_the_value(self):
        """C-076 (alias)."""
        assert answers(encode(ALIASES, [Choice("Cat", 0.75)])) == {"pet": ["c"]}

    def test_labels_of_an_older_config_are_translated_or_dropped(self):
        """C-035, labels."""
        prediction = encode(MULTIPLE, [Choice("tabby", 0.75), Choice("cat", 0.5), Choice("Cow", 0.5)])

        assert answers(prediction) == {"pet": ["Cat"]}
        assert prediction.score == 0.75
        assert prediction.num_dropped == 1

    def test_answers_below_the_threshold_are_not_given(self):
        sure = MULTIPLE.replace('choice="multiple"', 'choice="multiple" model_score_threshold="0.5"')

        assert answers(encode(sure, [Choice("Cat", 0.5), Choice("Dog", 0.4999)])) == {"pet": ["Cat"]}

    def test_identical_requests_get_identical_answers(self):
        """C-033."""
        regions = [[Choice("Cat", 0.75)], [Choice("Long", 0.5)]]

        assert encode(TWO, *regions) == encode(TWO, *regions)

    def test_tasks_and_controls_have_ids_of_their_own(self):
        regions = [[Choice("Cat", 0.75)], [Choice("Long", 0.5)]]

        ids = [each["id"] for task_id in (41, 42, None) for each in encode(TWO, *regions, task_id=task_id).result]

        assert len(set(ids)) == 6

    @pytest.mark.parametrize(
        ("xml", "pet", "shown"),
        [
            (TWO, "Cat", {"pet": ["Cat"], "fur": ["Long"]}),
            (TWO, "Dog", {"pet": ["Dog"]}),
            (TWO_OPPOSITE, "Cat", {"pet": ["Cat"]}),
            (TWO_OPPOSITE, "Dog", {"pet": ["Dog"], "fur": ["Long"]}),
        ],
    )
    def test_a_question_that_label_studio_would_not_ask_is_not_answered(
        self, xml: str, pet: str, shown: dict[str, list[str]]
    ):
        assert answers(encode(xml, [Choice(pet, 0.75)], [Choice("Long", 0.5)])) == shown

    def test_the_answer_of_a_hidden_question_decides_nothing(self):
        third = '<Choices name="care" toName="photo" visibleWhen="choice-selected" whenTagName="fur">'
        xml = TWO.replace(
            "</View></View>", f'{third}<Choice value="Brush"/><Choice value="Cut"/></Choices></View></View>'
        )

        prediction = encode(xml, [Choice("Dog", 0.75)], [Choice("Long", 0.5)], [Choice("Brush", 0.5)])

        assert answers(prediction) == {"pet": ["Dog"]}

    def test_a_score_that_is_no_number_is_dropped_and_others_are_kept_in_range(self):
        """C-005 and C-028, scores; NumPy's numbers become plain ones."""
        assert encode(SINGLE, [Choice("Cat", math.nan)]).num_dropped == 1
        assert encode(SINGLE, [Choice("Cat", 1.0000001)]).score == 1
        assert type(encode(SINGLE, [Choice("Cat", float(np.float32(0.5)))]).result[0]["score"]) is float
        assert type(encode(SINGLE, [Choice("Cat", np.float32(0.5))]).result[0]["score"]) is float  # type: ignore[arg-type]

    @ANY_SPEED
    @given(
        st.sampled_from([SINGLE, MULTIPLE, ALIASES]),
        st.lists(st.builds(Choice, st.sampled_from(["Cat", "Dog", "c", "tabby", "Cow"]), st.none() | st.floats())),
    )
    def test_whatever_a_model_says_the_prediction_is_valid(self, xml: str, regions: list[Choice]):
        """C-028, C-035."""
        prediction = encode(xml, regions)

        assert 0 <= prediction.score <= 1


class TestDecode:
    def test_a_choice(self):
        assert results.decode([item("Cat")], binding(SINGLE)) == Answer((Choice("Cat"),))

    def test_several_choices(self):
        assert results.decode([item("Cat", "Dog")], binding(MULTIPLE)) == Answer((Choice("Cat"), Choice("Dog")))

    def test_what_was_encoded_is_decoded(self):
        prediction = encode(MULTIPLE, [Choice("Cat", 0.75), Choice("Dog", 0.5)])

        answer = results.decode(list(prediction.result), binding(MULTIPLE))

        assert answer == Answer((Choice("Cat"), Choice("Dog")))

    @pytest.mark.parametrize(
        "result",
        [
            [],
            None,
            {"choices": ["Cat"]},
            [None, "Cat", 3],
            [item("Cat", from_name="mood")],
            [item("Cat", type="labels")],
            [item("Cat", value=None)],
        ],
    )
    def test_a_control_may_be_unanswered(self, result: object):
        assert results.decode(result, binding(MULTIPLE)) == Answer(None)

    def test_an_answer_with_nothing_chosen_says_that_no_label_applies(self):
        assert results.decode([item()], binding(MULTIPLE)) == Answer(())
        assert results.decode([item()], binding(SINGLE)) == Answer(None)

    def test_labels_outside_the_config_are_ignored_and_counted(self):
        assert results.decode([item("Cow", "Cat")], binding(SINGLE)) == Answer((Choice("Cat"),), 1)
        assert results.decode([item("Cow")], binding(SINGLE)) == Answer(None, 1)
        assert results.decode([item("Cow")], binding(MULTIPLE)) == Answer((), 1)

    def test_two_labels_contradict_a_single_choice(self):
        assert results.decode([item("Cat", "Dog")], binding(SINGLE)) == Answer(None)
        assert results.decode([item("Cat"), item("Cat")], binding(SINGLE)) == Answer((Choice("Cat"),))

    def test_with_an_alias_only_the_alias_is_an_answer(self):
        assert results.decode([item("c")], binding(ALIASES)) == Answer((Choice("c"),))
        assert results.decode([item("Cat")], binding(ALIASES)) == Answer(None, 1)

    @pytest.mark.parametrize("value", [{}, {"choices": None}, {"choices": [["Pet", "Cat"], 3]}, {"choices": {}}])
    def test_a_value_of_another_shape_has_no_labels(self, value: dict[str, Any]):
        assert results.decode([item(value=value)], binding(SINGLE)) == Answer(None)

    def test_a_bare_label_counts_like_a_list_of_one(self):
        assert results.decode([item(value={"choices": "Cat"})], binding(SINGLE)) == Answer((Choice("Cat"),))
