from __future__ import annotations

import pytest
from builders import CONFIG, PROJECT
from label_studio_sdk.label_interface import LabelInterface
from pictures import form, photo

from adapters.label_studio.label_config import parse
from backend.services import Services

BOXES = {"taskType": "detection", "labels": ["car", {"name": "bus", "color": "#FF8800"}]}
TWO_CONTROLS = """<View><Image name="photo" value="$picture"/>
  <RectangleLabels name="boxes" toName="photo"><Label value="car" background="#00ff00"/></RectangleLabels>
  <Choices name="weather" toName="photo"><Choice value="sun"/><Choice value="rain"/></Choices></View>"""


@pytest.fixture
def project(agent) -> str:
    return f"/projects/{agent.ok('POST', '/projects', json={'name': 'demo'})['id']}"


@pytest.mark.parametrize("path", ["labelsets", "label-sets"])
def test_a_label_set_is_made_under_both_spellings(agent, project: str, path: str) -> None:
    """M-013."""
    made = agent.ok("POST", f"{project}/{path}", json={"name": "vehicles", **BOXES})

    assert made["labels"] == [
        {"name": "car", "color": "#e6194b", "index": 0},
        {"name": "bus", "color": "#ff8800", "index": 1},
    ]
    assert (made["controlName"], made["objectName"], made["valueKey"]) == ("vehicles", "image", "image")
    assert (made["labeledImageCount"], made["annotationCount"], made["activeTrainingId"]) == (0, 0, None)
    assert agent.ok("GET", f"/label-sets/{made['id']}") == made
    assert agent.ok("GET", f"{project}/{path}")["items"] == [made]


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        ({"taskType": "detection"}, "RectangleLabels"),
        ({"taskType": "segmentation"}, "PolygonLabels"),
        ({"taskType": "segmentation", "mask": "rle"}, "BrushLabels"),
        ({"taskType": "keypoints"}, "KeyPointLabels"),
        ({"taskType": "classification"}, "Choices"),
        ({"taskType": "classification", "multiple": True}, "Choices"),
    ],
)
def test_what_is_written_is_what_label_studio_reads(agent, project: str, asked: dict[str, object], tag: str) -> None:
    """M-013."""
    labels = ["<\"cat\" & 'dog'>", "bus"]
    made = agent.ok("POST", f"{project}/labelsets", json={"name": "Was? 1", "labels": labels, **asked})

    control = LabelInterface(made["labelConfig"]).get_control(made["controlName"])
    assert (control.tag, control.to_name, list(control.labels)) == (tag, ["image"], labels)
    assert made["taskType"] == asked["taskType"]
    assert made["multiple"] is bool(asked.get("multiple"))
    [binding] = parse(made["labelConfig"]).bindings
    assert binding.schema.names == tuple(labels)


def test_a_config_is_read(agent, project: str) -> None:
    made = agent.ok("POST", f"{project}/labelsets", json={"name": "colours", "labelConfig": CONFIG})

    assert made["labelConfig"] == CONFIG
    assert (made["taskType"], made["controlName"], made["valueKey"]) == ("classification", "colour", "img")
    assert [label["name"] for label in made["labels"]] == ["red", "green"]


def test_a_config_with_two_controls_needs_to_be_told_which(agent, project: str) -> None:
    """M-014."""
    body = {"name": "one", "labelConfig": TWO_CONTROLS}

    status, code, details = agent.error("POST", f"{project}/labelsets", json=body)

    assert (status, code, details["controlNames"]) == (400, "LABEL_CONFIG_UNSUPPORTED", ["boxes", "weather"])
    assert {each["tag"] for each in details["tags"]} == {"rectanglelabels", "choices"}
    made = agent.ok("POST", f"{project}/labelsets", json={**body, "controlName": "boxes"})
    assert (made["controlName"], made["labels"][0]["color"]) == ("boxes", "#00ff00")
    assert list(parse(made["labelConfig"]).controls) == ["boxes"]


@pytest.mark.parametrize(
    "config",
    [
        "<View>",
        "no XML",
        "<View/>",
        '<View><Text name="t" value="$t"/><TextArea name="a" toName="t"/></View>',
        '<View><Text name="t" value="$t"/><Choices name="a" toName="t"><Choice value="x"/><Choice value="y"/></Choices>'
        "</View>",
    ],
)
def test_a_config_without_a_control_that_can_be_learnt_is_refused(agent, project: str, config: str) -> None:
    found = agent.error("POST", f"{project}/labelsets", json={"name": "one", "labelConfig": config})

    assert found[:2] == (400, "LABEL_CONFIG_UNSUPPORTED")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "one"},
        {"name": "", **BOXES},
        {"name": "one", "taskType": "detection", "labels": []},
        {"name": "one", "taskType": "detection", "labels": ["a", "a"]},
        {"name": "one", "taskType": "detection", "labels": ["a" * 101]},
        {"name": "one", "taskType": "detection", "labels": ["a\0"]},
        {"name": "one", "taskType": "detection", "labels": [{"name": "a", "color": "red"}]},
        {"name": "one", "taskType": "poems", "labels": ["a"]},
    ],
)
def test_a_body_that_makes_no_sense_is_refused(agent, project: str, body: dict[str, object]) -> None:
    assert agent.error("POST", f"{project}/labelsets", json=body)[:2] == (400, "VALIDATION_ERROR")


def test_names_are_unique_in_a_project_and_controls_get_a_number(agent, project: str) -> None:
    first = agent.ok("POST", f"{project}/labelsets", json={"name": "cars & buses", **BOXES})
    second = agent.ok("POST", f"{project}/labelsets", json={"name": "cars / buses", **BOXES})

    assert (first["controlName"], second["controlName"]) == ("cars-buses", "cars-buses-2")
    again = agent.error("POST", f"{project}/labelsets", json={"name": "cars & buses", **BOXES})
    assert again == (409, "CONFLICT", {"name": "cars & buses"})
    renamed = agent.error("PATCH", f"/label-sets/{second['id']}", json={"name": "cars & buses"})
    assert renamed[:2] == (409, "CONFLICT")


def test_labels_are_renamed_in_their_place_and_appended(agent, project: str) -> None:
    [image] = agent.ok("POST", f"{project}/images", **form(photo(1)))["images"]
    made = agent.ok("POST", f"{project}/labelsets", json={"name": "vehicles", **BOXES})
    path = f"/label-sets/{made['id']}"
    said = {"annotations": [{"label": "bus", "bbox": [1, 1, 9, 9]}, {"label": "car", "bbox": [1, 1, 5, 5]}]}
    agent.ok("PUT", f"{path}/images/{image['id']}/annotations", json=said)

    changed = agent.ok("PATCH", path, json={"labels": ["car", "coach", {"name": "tram", "color": "#000001"}]})

    assert [(each["name"], each["color"]) for each in changed["labels"]] == [
        ("car", "#e6194b"),
        ("coach", "#ff8800"),
        ("tram", "#000001"),
    ]
    assert list(LabelInterface(changed["labelConfig"]).get_control("vehicles").labels) == ["car", "coach", "tram"]
    kept = agent.ok("GET", f"{path}/images/{image['id']}/annotations")["annotations"]
    assert [each["label"] for each in kept] == ["coach", "car"]
    assert (changed["labeledImageCount"], changed["annotationCount"]) == (1, 2)


def test_labels_in_use_are_not_taken_away_and_others_are(agent, project: str) -> None:
    [image] = agent.ok("POST", f"{project}/images", **form(photo(1)))["images"]
    made = agent.ok("POST", f"{project}/labelsets", json={"name": "vehicles", **BOXES})
    path = f"/label-sets/{made['id']}"
    said = {"annotations": [{"label": "bus", "bbox": [1, 1, 9, 9]}]}
    agent.ok("PUT", f"{path}/images/{image['id']}/annotations", json=said)

    assert agent.error("PATCH", path, json={"labels": ["car"]}) == (409, "CONFLICT", {"labels": ["bus"]})
    assert agent.error("PATCH", path, json={"labels": ["bus", "car"]})[:2] == (400, "VALIDATION_ERROR")
    assert [each["name"] for each in agent.ok("PATCH", path, json={"labels": ["bus"]})["labels"]] == ["bus"]


def test_a_model_is_let_answer(agent, project: str) -> None:
    made = agent.ok("POST", f"{project}/labelsets", json={"name": "vehicles", **BOXES})
    other = agent.ok("POST", f"{project}/labelsets", json={"name": "others", **BOXES})
    training = agent.ok("POST", f"/label-sets/{made['id']}/training")["id"]

    pending = agent.error("PATCH", f"/label-sets/{made['id']}", json={"activeTrainingId": training})
    assert pending == (409, "MODEL_NOT_READY", {"status": "pending"})
    foreign = agent.error("PATCH", f"/label-sets/{other['id']}", json={"activeTrainingId": training})
    assert foreign[:2] == (404, "NOT_FOUND")
    assert agent.ok("PATCH", f"/label-sets/{made['id']}", json={"activeTrainingId": None})["activeTrainingId"] is None


def test_a_deleted_label_set_is_gone_and_its_images_stay(agent, project: str) -> None:
    [image] = agent.ok("POST", f"{project}/images", **form(photo(1)))["images"]
    made = agent.ok("POST", f"{project}/labelsets", json={"name": "vehicles", **BOXES})
    agent.ok("PUT", f"/label-sets/{made['id']}/images/{image['id']}/annotations", json={"annotations": []})

    assert agent.ok("DELETE", f"/label-sets/{made['id']}") is None

    assert agent.error("GET", f"/label-sets/{made['id']}")[:2] == (404, "NOT_FOUND")
    assert agent.ok("GET", f"/images/{image['id']}")["labeledIn"] == []
    agent.ok("POST", f"{project}/labelsets", json={"name": "vehicles", **BOXES})


def test_label_sets_of_label_studio_are_shown_and_changed_there(agent, services: Services) -> None:
    bindings = parse(CONFIG).bindings
    services.projects.mirror(
        "label_studio",
        PROJECT,
        document=CONFIG,
        schemas={each.control_name: each.schema for each in bindings},
        fields={each.control_name: each.data_key for each in bindings},
    )
    project = agent.ok("GET", "/projects")["items"][0]["id"]

    [shown] = agent.ok("GET", f"/projects/{project}/labelsets")["items"]

    assert (shown["name"], shown["labelConfig"], shown["objectName"]) == ("colour", CONFIG, "photo")
    path = f"/label-sets/{shown['id']}"
    for method, where, body in (
        ("DELETE", path, None),
        ("PATCH", path, {"labels": ["red", "green", "blue"]}),
        ("POST", f"/projects/{project}/labelsets", {"name": "x", **BOXES}),
    ):
        answer = agent.ask(method, where, **({"json": body} if body else {}))
        assert answer.get_json()["error"]["code"] == "CONFLICT"
        assert "Label Studio" in answer.get_json()["error"]["message"]
    assert agent.ok("PATCH", path, json={"name": "Colours"})["name"] == "Colours"
