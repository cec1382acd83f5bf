"""One config of several."""

from __future__ import annotations

import pytest

from adapters.label_studio.label_config import parse
from adapters.label_studio.label_config.merging import EMPTY, merge
from backend.errors import Invalid

PET = (
    '<View><Image name="image" value="$image"/>'
    '<Choices name="pet" toName="image"><Choice value="Cat"/><Choice value="Dog"/></Choices></View>'
)
BOX = (
    '<View><Image name="image" value="$image"/>'
    '<RectangleLabels name="box" toName="image"><Label value="Car" background="#ff0000"/></RectangleLabels></View>'
)


def controls(document: str) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    found = parse(document).bindings
    return {each.control_name: (each.object_name, each.data_key, each.schema.names) for each in found}


def test_what_two_configs_show_is_shown_once() -> None:
    merged = merge(EMPTY, {"pet": PET, "box": BOX})

    assert controls(merged) == {"pet": ("image", "image", ("Cat", "Dog")), "box": ("image", "image", ("Car",))}
    assert merged.count("<Image") == 1
    assert 'background="#ff0000"' in merged


def test_a_control_that_is_there_is_replaced_where_it_stands() -> None:
    changed = PET.replace("</Choices>", '<Choice value="Cow"/></Choices>')

    merged = merge(merge(EMPTY, {"pet": PET, "box": BOX}), {"pet": changed})

    assert list(controls(merged)) == ["pet", "box"]
    assert controls(merged)["pet"] == ("image", "image", ("Cat", "Dog", "Cow"))


def test_merging_again_changes_nothing() -> None:
    merged = merge(EMPTY, {"pet": PET, "box": BOX})

    assert merge(merged, {"pet": PET, "box": BOX}) == merged


def test_an_object_of_another_name_that_shows_the_same_is_used() -> None:
    there = '<View><Image name="photo" value="$image"/></View>'

    assert controls(merge(there, {"pet": PET}))["pet"] == ("photo", "image", ("Cat", "Dog"))


def test_an_object_of_the_same_name_that_shows_something_else_gets_another_name() -> None:
    there = '<View><Image name="image" value="$picture"/></View>'

    assert controls(merge(there, {"pet": PET}))["pet"] == ("image_2", "image", ("Cat", "Dog"))


def test_a_config_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(Invalid):
        merge(EMPTY, {"pet": "<View><Image"})
