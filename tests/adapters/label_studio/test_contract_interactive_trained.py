"""Section A.6 of the contract where the project's own trained models answer: parts of texts, names of labels."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from builders import PROJECT, predict_body, setup_body, task
from flask.testing import FlaskClient
from label_studio_sdk.label_interface import LabelInterface

from adapters.label_studio.access import KIND
from backend.projects.tasks import Predicted
from backend.services import Services
from backend.versions.registry import ModelVersion
from models.regions import Box, Region, Span

TEXT = "Ada met Alan in Paris 🙂 and Ada left"
TEXT_CONFIG = """<View><Text name="text" value="$text"/><Labels name="who" toName="text">
  <Label value="Person"/><Label value="Place"/></Labels></View>"""
IMAGE_CONFIG = """<View><Image name="photo" value="$img"/><RectangleLabels name="box" toName="photo">
  <Label value="Nut"/><Label value="Bolt"/></RectangleLabels><TextArea name="ask" toName="photo"/></View>"""
PEOPLE = (Span("Person", 0, 3, 0.9), Span("Person", 8, 12, 0.8), Span("Place", 16, 21, 0.7))


def train(client: FlaskClient, services: Services, xml: str, found: dict[str, tuple[Region, ...]]) -> ModelVersion:
    """Set a project up with a version in use that finds these regions, by SHA-256 of the item."""
    assert client.post("/setup", json=setup_body(schema=xml)).status_code == 200
    mirror = services.projects.find(KIND, PROJECT)
    assert mirror is not None
    [label_set] = mirror.label_sets
    version = ModelVersion(
        project_id=mirror.project.id,
        label_set_id=label_set.id,
        number=1,
        name=f"{label_set.name}-v1",
        run_id="01run",
        family="test",
        labels=label_set.labels,
        settings={},
        libraries={},
        weights_source="none",
        snapshot="0" * 64,
        files={},
        metrics={},
    )
    with services.database.transaction() as session:
        session.add(version)
    services.versions.promote(version, reason="test")
    predicted = {media: Predicted(regions, 32, 24) for media, regions in found.items()}
    services.tasks.keep_predictions(version.id, predicted)
    return version


def ask(client: FlaskClient, xml: str, context: Any, **fields: Any) -> dict[str, Any]:
    data = fields.pop("data", {"text": TEXT})
    body = predict_body({**task(1), "data": data, **fields}, label_config=xml, context=context)
    response = client.post("/predict", data=json.dumps(body))
    assert response.status_code == 200
    found: dict[str, Any] = response.get_json()
    result = found["results"][0]["result"]
    assert not LabelInterface(xml).validate_prediction({"result": result}, return_errors=True)
    return found


def span(start: int, end: int, label: str = "Person", name: str = "s1") -> dict[str, Any]:
    value = {"start": start, "end": end, "text": TEXT[start:end], "labels": [label]}
    return {"id": name, "from_name": "who", "to_name": "text", "type": "labels", "origin": "manual", "value": value}


def places(answer: dict[str, Any]) -> list[tuple[int, int]]:
    return [(item["value"]["start"], item["value"]["end"]) for item in answer["results"][0]["result"]]


@pytest.fixture
def text_version(client: FlaskClient, services: Services) -> ModelVersion:
    return train(client, services, TEXT_CONFIG, {hashlib.sha256(TEXT.encode()).hexdigest(): PEOPLE})


def test_a_part_of_a_text_brings_the_others_with_its_label(client: FlaskClient, text_version: ModelVersion) -> None:
    """The drawn one is not returned again (C-056), nor is what has another label (F-24)."""
    found = ask(client, TEXT_CONFIG, {"result": [span(0, 3)]})

    [item] = found["results"][0]["result"]
    assert item["value"] == {"start": 8, "end": 12, "text": "Alan", "labels": ["Person"]}
    assert found["results"][0]["model_version"] == text_version.name


def test_what_is_in_a_draft_is_not_returned_again(client: FlaskClient, text_version: ModelVersion) -> None:
    """C-056 by geometry."""
    drafts = [{"id": 1, "user": "a@example.com", "result": [span(8, 12, name="other")]}]

    found = ask(client, TEXT_CONFIG, {"result": [span(24, 27)]}, drafts=drafts)

    assert places(found) == [(0, 3)]


def test_what_was_accepted_is_not_returned_again(client: FlaskClient, text_version: ModelVersion) -> None:
    """C-056 by id, and F-21."""
    [first, second] = ask(client, TEXT_CONFIG, {"result": [span(24, 27)]})["results"][0]["result"]
    moved = {**first, "value": {**first["value"], "end": first["value"]["end"] + 1}}

    found = ask(client, TEXT_CONFIG, {"result": [span(24, 27)]}, drafts=[{"id": 1, "result": [moved]}])

    assert [item["id"] for item in found["results"][0]["result"]] == [second["id"]]


def test_the_same_part_has_the_same_id_whenever_it_is_asked_for(
    client: FlaskClient, text_version: ModelVersion
) -> None:
    """C-053."""
    both = ask(client, TEXT_CONFIG, {"result": [span(24, 27)]})["results"][0]["result"]
    one = ask(client, TEXT_CONFIG, {"result": [span(0, 3)]})["results"][0]["result"]

    assert one[0]["id"] == both[1]["id"]
    assert both[0]["id"] != both[1]["id"]


def test_where_all_is_drawn_the_answer_says_so(client: FlaskClient, text_version: ModelVersion) -> None:
    found = ask(client, TEXT_CONFIG, {"result": [span(16, 21, "Place")]})

    assert places(found) == []
    assert "nothing more" in found["detail"]


@pytest.mark.parametrize("drafts", [None, 5, "x", [1], [{"result": 5}], [{"result": [None, {"type": "labels"}]}]])
def test_drafts_of_any_kind_are_read(client: FlaskClient, text_version: ModelVersion, drafts: Any) -> None:
    assert places(ask(client, TEXT_CONFIG, {"result": [span(0, 3)]}, drafts=drafts)) == [(8, 12)]


def test_before_the_first_training_the_answer_says_so(client: FlaskClient) -> None:
    found = ask(client, TEXT_CONFIG, {"result": [span(0, 3)]})

    assert places(found) == []
    assert "not trained yet" in found["detail"]


def test_a_text_that_cannot_be_had_says_so(client: FlaskClient, text_version: ModelVersion) -> None:
    found = ask(client, TEXT_CONFIG, {"result": [span(0, 3)]}, data={"other": 5})

    assert places(found) == []
    assert "'text'" in found["detail"]


@pytest.mark.parametrize("kind", ["timeserieslabels", "videorectangle", "vectorlabels", "choices"])
def test_what_no_model_answers_is_answered_with_nothing(client: FlaskClient, kind: str) -> None:
    item = {**span(0, 3), "type": kind}

    assert places(ask(client, TEXT_CONFIG, {"result": [item]})) == []


# What is written.


def written(*lines: str) -> dict[str, Any]:
    value = {"text": list(lines)}
    return {"id": "t1", "from_name": "ask", "to_name": "photo", "type": "textarea", "origin": "manual", "value": value}


@pytest.fixture
def image_version(client: FlaskClient, services: Services) -> ModelVersion:
    boxes = (
        Box.from_bounds("Nut", 0.1, 0.1, 0.3, 0.3, score=0.9),
        Box.from_bounds("Bolt", 0.5, 0.5, 0.75, 1, score=0.8),
    )
    return train(client, services, IMAGE_CONFIG, {hashlib.sha256(b"a photo").hexdigest(): boxes})


PHOTO = {"img": "data:image/png;base64,YSBwaG90bw=="}


@pytest.mark.parametrize(
    ("lines", "label"),
    [(["Nut"], "Nut"), (["Nut", "Bolt"], "Bolt"), (["Bolt", " nut "], "Nut"), (["?", "Bolt"], "Bolt")],
)
def test_the_newest_line_names_what_is_looked_for(
    client: FlaskClient, image_version: ModelVersion, lines: list[str], label: str
) -> None:
    """C-054: the last item is the newest input."""
    found = ask(client, IMAGE_CONFIG, {"result": [written(*lines)]}, data=PHOTO)

    [item] = found["results"][0]["result"]
    assert item["value"]["rectanglelabels"] == [label]


@pytest.mark.parametrize("lines", [[], ["find all nuts, please"], ["Nut", "and something else"]])
def test_other_text_is_answered_with_nothing(
    client: FlaskClient, image_version: ModelVersion, lines: list[str]
) -> None:
    found = ask(client, IMAGE_CONFIG, {"result": [written(*lines)]}, data=PHOTO)

    assert found["results"][0]["result"] == []
    assert found["detail"]
