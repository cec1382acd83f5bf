"""Section A.6 of the contract: POST /predict with a context. This release has no model that answers prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from builders import predict_body, task
from flask.testing import FlaskClient

from backend.services import Services
from backend.versions import ModelVersion

KEY_POINT: dict[str, Any] = {
    "id": "kA1",
    "from_name": "pt",
    "to_name": "photo",
    "type": "keypointlabels",
    "origin": "manual",
    "original_width": 1920,
    "original_height": 1080,
    "image_rotation": 0,
    "is_positive": True,
    "value": {"x": 41.2, "y": 55.0, "width": 0.3, "keypointlabels": ["Crack"], "labels": ["Crack"]},
}


def answer(client: FlaskClient, context: object, *tasks: dict[str, Any]) -> dict[str, Any]:
    body = predict_body(*(tasks or (task(1),)), params={"login": None, "password": None, "context": context})
    response = client.post("/predict", data=json.dumps(body))
    assert response.status_code == 200
    found: dict[str, Any] = response.get_json()
    return found


@pytest.mark.parametrize(
    "context",
    [
        {"result": []},
        {},
        {"result": None},
        {"result": "x"},
        {"result": [None, 1, [], {}]},
        {"result": [KEY_POINT]},
        [],
        [1],
        "text",
        "",
        5,
        0,
        False,
        {"event": "no such event"},
        {"event": 5, "\ud800": "\0"},
        {"event": "track", "result": [KEY_POINT], "direction": "both"},
    ],
)
def test_where_no_model_fits_there_is_one_entry_without_regions(
    client: FlaskClient, version: ModelVersion, context: object
) -> None:
    """C-046, C-047, C-048 and, for unknown events, C-057: an empty `results` would be logged as an error."""
    [entry] = answer(client, context)["results"]

    assert entry == {"result": [], "score": 0, "model_version": version.name}


def test_the_answer_says_why_it_is_empty(client: FlaskClient, version: ModelVersion) -> None:
    detail = answer(client, {"result": [KEY_POINT]})["detail"]

    assert "no model that answers clicks or boxes" in detail
    assert "colour" in detail


def test_only_one_entry_is_given(client: FlaskClient, version: ModelVersion) -> None:
    """C-049."""
    assert len(answer(client, {"result": []}, task(1), task(2))["results"]) == 1


@pytest.mark.parametrize(
    ("event", "kind", "value"),
    [
        ("capabilities", "capabilities", {"prompts": [], "targets": []}),
        ("prewarm", "prewarm_ack", {"status": "unsupported", "cached": [], "pending": [], "frame_count": 0}),
        ("track_cancel", "track_cancel_ack", {"status": "not_found"}),
        ("release", "release_ack", {"status": "released"}),
    ],
)
def test_the_extended_events_are_acknowledged(
    client: FlaskClient, version: ModelVersion, event: str, kind: str, value: dict[str, Any]
) -> None:
    """C-057."""
    [entry] = answer(client, {"event": event, "session_id": "s", "frame": 3})["results"]

    [region] = entry["result"]
    assert region["type"] == kind
    assert region["value"].items() >= value.items()


def test_no_image_is_fetched_and_no_model_loaded(
    client: FlaskClient, services: Services, version: ModelVersion
) -> None:
    answer(client, {"result": [KEY_POINT]}, task(1, "http://127.0.0.1:1/x.png"))

    assert not services.engine.is_loaded(version.id)


def test_null_is_no_context(client: FlaskClient, version: ModelVersion) -> None:
    [entry] = answer(client, None)["results"]

    assert entry["result"][0]["value"] == {"choices": ["red"]}
