"""What a call comes to: results, refusals, images, and what is never told."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Callable

import numpy as np
import pytest
from agent_projects import add_images, id_of, make_label_set
from doubles import Answer, FakeLabelStudio, as_json
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from pictures import encode, photo
from PIL import Image

from adapters.identifiers import spell
from adapters.mcp.calling import MAX_IMAGE_BYTES
from backend.services import Services

NAMED = {"name": "demo"}


@pytest.fixture
def project(talker) -> str:
    made: str = talker.ok("create-project", **NAMED)["id"]
    return made


def upload(talker, project: str, file: bytes) -> str:
    encoded = base64.b64encode(file).decode()
    uploaded = talker.ok("upload-images", projectId=project, images=[{"base64": encoded, "filename": "cat.png"}])
    image: str = uploaded["images"][0]["id"]
    return image


def test_what_a_tool_returns_is_what_its_schema_says(talker, project: str) -> None:
    """N-018."""
    schemas = {tool["name"]: tool["outputSchema"] for tool in talker.tools()}
    image = upload(talker, project, photo(0))
    label_set = talker.ok("create-label-set", projectId=project, taskType="detection", labels=["car"], **NAMED)["id"]
    both = {"labelSetId": label_set, "imageId": image}
    calls = [
        ("get-me", {}),
        ("get-capabilities", {}),
        ("get-usage", {}),
        ("get-agent-guide", {}),
        ("list-projects", {}),
        ("get-project", {"projectId": project}),
        ("list-images", {"projectId": project, "limit": 5}),
        ("view-image", {"imageId": image}),
        ("set-splits", {"projectId": project}),
        ("list-label-sets", {"projectId": project}),
        ("set-annotations", {**both, "annotations": [{"label": "car", "bbox": [1, 1, 5, 5]}]}),
        ("get-annotations", both),
        ("export-annotations", {"labelSetId": label_set, "format": "coco"}),
        ("export-annotations", {"labelSetId": label_set, "format": "labelstudio"}),
        ("create-training", {"labelSetId": label_set}),
        ("list-trainings", {"labelSetId": label_set}),
        ("clear-annotations", both),
        ("delete-image", {"imageId": image}),
    ]

    for name, arguments in calls:
        Draft202012Validator(schemas[name]).validate(talker.ok(name, **arguments))


def test_the_tools_of_label_studio_return_what_its_api_returns(talker, project: str) -> None:
    """N-018: a list is wrapped, and what is gone is told."""
    schemas = {tool["name"]: tool["outputSchema"] for tool in talker.tools()}
    number = talker.ok("get-project", projectId=project)["number"]
    talker.ok("create-label-set", projectId=project, taskType="detection", labels=["car"], **NAMED)

    added = talker.ok("add-ml-backend", body={"project": number, "url": "self", "is_interactive": True})
    id = added["id"]
    said = {
        "add-ml-backend": added,
        "list-ml-backends": talker.ok("list-ml-backends", project=number),
        "get-ml-backend": talker.ok("get-ml-backend", id=id),
        "update-ml-backend": talker.ok("update-ml-backend", id=id, body={"title": "mine"}),
        "get-model-versions": talker.ok("get-model-versions", id=id),
    }

    for name, structured in said.items():
        Draft202012Validator(schemas[name]).validate(structured)
    assert talker.http("GET", f"/api/ml?project={number}") == talker.ok("list-ml-backends", project=number)["result"]
    assert said["update-ml-backend"]["title"] == "mine"
    assert said["get-model-versions"] == talker.http("GET", f"/api/ml/{id}/versions")


def test_a_backend_is_removed_once(talker, project: str) -> None:
    """N-021."""
    number = talker.ok("get-project", projectId=project)["number"]
    talker.ok("create-label-set", projectId=project, taskType="detection", labels=["car"], **NAMED)
    id = talker.ok("add-ml-backend", body={"project": number, "url": "self"})["id"]

    assert talker.ok("remove-ml-backend", id=id) == {"deleted": True, "id": id}
    assert talker.error("remove-ml-backend", id=id)[:2] == (404, "NOT_FOUND")


def test_a_backend_that_refuses_to_train_says_why(talker, project: str) -> None:
    number = talker.ok("get-project", projectId=project)["number"]
    talker.ok("create-label-set", projectId=project, taskType="detection", labels=["car"], **NAMED)
    id = talker.ok("add-ml-backend", body={"project": number, "url": "self"})["id"]

    status, code, _ = talker.error("train", id=id)

    assert (status, code) == (500, "INTERNAL")
    assert "raining" in talker.call("train", id=id)["content"][0]["text"]


def test_wrong_arguments_are_named(talker, project: str) -> None:
    assert talker.error("get-project") == (400, "VALIDATION_ERROR", {"fields": {"projectId": "Field required"}})
    assert talker.error("list-images", projectId=project, limit=0)[1] == "VALIDATION_ERROR"
    assert talker.error("set-splits", projectId=project, seed="x")[2]["fields"].keys() == {"seed"}
    assert talker.error("add-ml-backend", body={"project": 1})[1:] == (
        "VALIDATION_ERROR",
        {"fields": {"url": "Field required"}},
    )


def test_unknown_arguments_are_ignored(talker) -> None:
    assert talker.ok("get-me", colour="red")["email"] == "ann@example.com"


def test_a_creation_with_the_same_idempotency_key_is_done_once(talker) -> None:
    """S-011: on tools as over HTTP."""
    first, again = (talker.ok("create-project", idempotencyKey="k1", **NAMED) for _ in range(2))

    assert first == again
    assert talker.error("create-project", idempotencyKey="k1", **{"name": "other"})[:2] == (
        422,
        "IDEMPOTENCY_KEY_REUSED",
    )
    assert talker.error("create-project", idempotencyKey="ü", **NAMED)[:2] == (400, "VALIDATION_ERROR")


# Images, and what is no JSON.


def test_an_image_is_shown(talker, project: str) -> None:
    image = upload(talker, project, photo(0, width_px=1600, height_px=1200))

    shown = talker.call("view-image", imageId=image)

    text, picture = shown["content"]
    jpeg = base64.b64decode(picture["data"])
    assert (text["type"], picture["type"], picture["mimeType"]) == ("text", "image", "image/jpeg")
    assert Image.open(io.BytesIO(jpeg)).size == (1024, 768)
    assert shown["structuredContent"] == {
        "mimeType": "image/jpeg",
        "bytes": len(jpeg),
        "width": 1024,
        "height": 768,
    }


def test_an_image_is_never_shown_with_more_than_a_mebibyte(talker, project: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    file = encode(Image.fromarray(noise), "PNG")
    assert len(file) > MAX_IMAGE_BYTES
    image = upload(talker, project, file)

    shown = talker.ok("view-image", imageId=image, maxSize=2048)

    assert shown["bytes"] <= MAX_IMAGE_BYTES
    assert (shown["width"], shown["height"]) == (512, 512)
    assert talker.error("view-image", imageId=spell("image_id", "0" * 26))[:2] == (404, "NOT_FOUND")


@pytest.mark.parametrize("format", ["csv", "labelstudio"])
def test_labels_that_are_no_object_are_wrapped(talker, services: Services, format: str) -> None:
    workspace = talker.http("GET", "/workspaces")["items"][0]["id"].removeprefix("ws_")
    label_set = make_label_set(services, workspace)
    add_images(services, label_set, ["red", "green"])

    exported = talker.ok("export-annotations", labelSetId=id_of(label_set), format=format, raw=True)
    again = talker.ok("import-annotations", labelSetId=id_of(label_set), format=format, data=exported["result"])

    assert exported["result"] == talker.http(
        "GET", f"/label-sets/{id_of(label_set)}/annotations/export?format={format}"
    )
    assert (again["matchedImages"], again["errors"]) == (2, [])


def test_the_guide_is_read_as_it_is(talker) -> None:
    result = talker.call("get-agent-guide")

    assert result["content"][0]["text"] == talker.client.get("/agents.md").get_data(as_text=True)
    assert result["structuredContent"] == {"result": result["content"][0]["text"]}


# Whose key.


def test_a_key_among_the_arguments_counts_for_that_call(make_talker, caplog: pytest.LogCaptureFixture) -> None:
    """N-020: it is neither told nor logged."""
    caplog.set_level(logging.DEBUG)
    ann, bob = make_talker(), make_talker("bob@example.com")

    as_bob = ann.call("get-me", Authorization=f"Bearer {bob.key}")
    over_label_studio = ann.call("list-ml-backends", Authorization=f"Token {bob.key}")
    refused = ann.call("get-me", Authorization="Bearer mlp_live_not_a_key_but_secret")
    broken = ann.call("get-me", Authorization="Bearer secret\nX-Evil: 1")

    assert as_bob["structuredContent"]["email"] == "bob@example.com"
    assert ann.ok("get-me")["email"] == "ann@example.com"
    assert over_label_studio["structuredContent"] == {"result": []}
    assert refused["structuredContent"]["error"]["code"] == "API_KEY_INVALID"
    assert broken["structuredContent"]["error"]["code"] == "VALIDATION_ERROR"
    told = json.dumps([as_bob, over_label_studio, refused, broken]) + caplog.text
    for secret in (bob.key, ann.key, "secret"):
        assert secret not in told


def test_a_stranger_sees_nothing(make_talker, project: str) -> None:
    """S-013."""
    unknown = make_talker("bob@example.com").call("get-project", projectId=project)
    foreign = make_talker("bob@example.com").call("get-project", projectId=spell("project_id", "0" * 26))

    for result in (unknown, foreign):
        result["structuredContent"].pop("requestId")
    assert unknown["structuredContent"] == foreign["structuredContent"]


# In front of Label Studio.


def test_what_label_studio_says_is_passed_on(
    talker, fake_label_studio: FakeLabelStudio, make_client: Callable[..., FlaskClient]
) -> None:
    """N-018: as an object, even where it says nothing."""
    backend = {"id": 3, "project": 7, "url": "http://elsewhere", "state": "CO"}
    fake_label_studio.connections.append(backend)
    fake_label_studio.answers |= {
        "/api/ml/3": as_json(backend),
        "/api/ml/3/train": Answer(200),
        "/api/ml/9": Answer(404, b"<html>Not found</html>", {"Content-Type": "text/html"}),
    }
    talker.client = make_client(
        label_studio_url=fake_label_studio.url, label_studio_api_key=fake_label_studio.legacy_token
    )
    schemas = {tool["name"]: tool["outputSchema"] for tool in talker.tools()}

    assert talker.ok("list-ml-backends", project=7) == {"result": [backend]}
    assert talker.ok("get-ml-backend", id=3) == backend
    assert talker.ok("train", id=3) == {"done": True}
    assert talker.error("get-ml-backend", id=9)[:2] == (404, "NOT_FOUND")
    for name, said in (("list-ml-backends", {"result": [backend]}), ("train", {"done": True})):
        Draft202012Validator(schemas[name]).validate(said)
