import json

import pytest

from models.labels import Label, LabelSchema, Objective


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
