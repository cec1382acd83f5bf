import json

import pytest

from models.labels import Label, LabelSchema, Medium, Objective, Scale


@pytest.fixture
def schema() -> LabelSchema:
    return LabelSchema(Objective.CLASSIFICATION, (Label("Cat", ("tabby", "Dog")), Label("Dog"), Label("Löwe")))


def test_names_keep_the_order_in_which_people_see_them(schema: LabelSchema) -> None:
    assert schema.names == ("Cat", "Dog", "Löwe")


@pytest.mark.parametrize(
    ("name", "matched"),
    [("tabby", "Cat"), ("TABBY", "Cat"), ("cat", "Cat"), ("LÖWE", "Löwe"), ("fish", None), ("", None)],
)
def test_a_model_label_is_matched_by_synonym_or_name_in_any_case(
    schema: LabelSchema, name: str, matched: str | None
) -> None:
    assert schema.match(name) == matched


def test_a_synonym_goes_before_the_name_of_another_label(schema: LabelSchema) -> None:
    assert schema.match("Dog") == "Cat"


def test_a_schema_survives_its_stored_form(schema: LabelSchema) -> None:
    stored = json.loads(json.dumps(schema.to_json()))

    assert LabelSchema.from_json(stored) == schema


def test_a_schema_of_numbers_in_texts_survives_its_stored_form() -> None:
    schema = LabelSchema(Objective.REGRESSION, (), Medium.TEXT, Scale(1.0, 5.0, 1.0))

    assert LabelSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize(
    ("scale", "value", "nearest"),
    [
        (Scale(1, 5, 1), 3.4, 3.0),
        (Scale(1, 5, 1), -2.0, 1.0),
        (Scale(0.5, None, 0.5), 1.3, 1.5),
        (Scale(None, 10), 12.5, 10.0),
        (Scale(), 0.125, 0.125),
    ],
)
def test_an_answer_is_the_nearest_number_of_the_scale(scale: Scale, value: float, nearest: float) -> None:
    assert scale.nearest(value) == nearest
