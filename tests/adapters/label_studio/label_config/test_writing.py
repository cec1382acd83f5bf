from __future__ import annotations

from label_studio_sdk.label_interface import LabelInterface

from adapters.label_studio.label_config import parse
from adapters.label_studio.label_config.writing import colors_in, extract, relabel, write
from models.labels import Label, LabelSchema, Objective

CARS = LabelSchema(Objective.DETECTION, (Label("car"), Label("bus")))
SPLIT_FORM = """<View><Image name="photo" value="$img"/><Header value="Draw"/>
  <Labels name="kinds" toName="photo"><Label alias="c" value="Car" hotkey="1"/><Label value="bus"/></Labels>
  <Rectangle name="boxes" toName="photo"/><TextArea name="notes" toName="photo"/></View>"""


def test_what_is_written_is_read_back() -> None:
    [binding] = parse(write(CARS, "cars", colors={"car": "#112233"})).bindings

    assert (binding.control_name, binding.data_key, binding.schema) == ("cars", "image", CARS)
    assert colors_in(write(CARS, "cars", colors={"car": "#112233"})) == {"car": "#112233"}


def test_a_control_is_extracted_with_what_names_its_regions() -> None:
    extracted = extract(SPLIT_FORM, "boxes", labels_name="kinds")

    assert list(parse(extracted).controls) == ["kinds", "boxes"]
    assert '<Header value="Draw"' in extracted


def test_labels_are_renamed_removed_and_added_and_the_rest_stays() -> None:
    changed = relabel(SPLIT_FORM, "kinds", ["auto", "tram"], renamed={"c": "auto"}, colors={"tram": "#000001"})

    assert [label.name for label in parse(changed).bindings[0].schema.labels] == ["auto", "tram"]
    assert 'hotkey="1"' in changed
    assert '<Label value="tram" background="#000001"' in changed
    assert list(LabelInterface(changed).get_control("kinds").labels) == ["auto", "tram"]
