"""A project that agents made, mirrored into Label Studio: what goes there, what comes back, what stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from builders import data_url, image_bytes
from doubles import Answer, FakeLabelStudio, InlineQueue, as_json
from flask.testing import FlaskClient
from mirrored_projects import World
from pydantic import SecretStr
from sqlalchemy import select

from adapters.label_studio.access import KIND, Access
from adapters.label_studio.label_config import parse
from adapters.mlp.mirroring import Mirroring
from backend.errors import Denied
from backend.projects.service import OWN_PARAMS, Origin
from backend.projects.tasks import Annotation
from backend.services import Services
from backend.settings import Settings
from backend.storage.columns import utc_now

BASE_URL = "http://127.0.0.1:9"


@pytest.fixture
def settings(settings: Settings, fake_label_studio: FakeLabelStudio) -> Settings:
    key = SecretStr(fake_label_studio.legacy_token)
    there = {"label_studio_url": fake_label_studio.url, "label_studio_api_key": key}
    return settings.model_copy(update={**there, "base_url": BASE_URL})


@pytest.fixture
def world(
    agent: Any,
    services: Services,
    queue: InlineQueue,
    settings: Settings,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("TANDEM_BASE_URL", BASE_URL)
    monkeypatch.setenv("LABEL_STUDIO_URL", fake_label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", fake_label_studio.legacy_token)
    return World(agent, services, queue, fake_label_studio)


def test_project_config_and_images_are_there(world: World) -> None:
    asked = world.ask()
    link = world.work()

    project = world.label_studio.projects[1]
    assert asked["labelStudio"] == {"projectId": None, "url": None, "error": None}
    assert link == {"projectId": 1, "url": f"{world.label_studio.url}/projects/1", "error": None}
    assert project["title"] == "Colours"
    assert parse(project["label_config"]).bindings[0].schema.names == ("red", "green")
    assert [task["data"]["tandem_id"] for task in world.there] == [image["id"] for image in world.images]
    assert [each["url"] for each in world.label_studio.connections] == [BASE_URL]
    assert (world.origin.kind, world.origin.uid) == (KIND, "1.1795203195")


def test_a_project_can_be_mirrored_as_it_is_made(world: World) -> None:
    made = world.agent.ok("POST", "/projects", json={"name": "ab", "labelStudio": {"create": True}})
    world.work()

    link = world.agent.ok("GET", f"/projects/{made['id']}")["labelStudio"]
    assert link["projectId"] == 1
    assert world.label_studio.projects[1]["title"] == "ab."


def test_anybody_with_the_address_of_a_task_gets_its_image(world: World, client: FlaskClient) -> None:
    world.ask()
    world.work()

    address = world.there[0]["data"]["image"]
    with client.get(address.removeprefix(BASE_URL)) as answer:
        assert answer.status_code == 200
        assert answer.data == image_bytes("red")


def test_our_own_address_is_never_asked_over_http(world: World, services: Services) -> None:
    world.ask()
    world.work()

    file = Access(services).media(world.origin).fetch(world.there[0]["data"]["image"], task_id=1)

    assert file.path.read_bytes() == image_bytes("red")
    assert file.sha256 == world.images[0]["sha256"]


def test_an_address_with_a_wrong_signature_is_a_strangers(world: World, services: Services) -> None:
    world.ask()
    world.work()
    address = world.there[0]["data"]["image"]

    with pytest.raises(Denied, match="private address"):
        Access(services).media(world.origin).fetch(address[:-2] + "xx", task_id=1)


def test_what_a_person_says_there_is_known_here(world: World) -> None:
    world.ask()
    world.work()

    world.annotate(world.there[1], "green")
    world.work()

    assert world.labels(world.images[1]) == ["green"]
    assert world.labels(world.images[0]) == []


def test_what_an_agent_said_before_goes_along_and_counts_once(world: World, services: Services) -> None:
    path = f"/label-sets/{world.label_set['id']}/images/{world.images[0]['id']}/annotations"
    before = world.agent.ok("PUT", path, json={"annotations": [{"label": "red"}]})["annotations"]
    world.ask()
    world.work()
    world.annotate(world.there[1], "green")
    world.work()

    [said] = world.there[0]["annotations"]
    with services.database.reading() as session:
        rows = set(session.execute(select(Annotation.source, Annotation.external_id)).all())
    assert said["result"][0]["value"] == {"choices": ["red"]}
    assert rows == {("agent", "101000"), ("human", "1020")}
    assert world.agent.ok("GET", path)["annotations"] == before


def test_what_an_agent_said_for_one_of_several_label_sets_stays_here(world: World) -> None:
    """In Label Studio an annotation is about all of them: it would say that there is nothing of the others."""
    box = {"name": "things", "taskType": "detection", "labels": ["cup"]}
    world.agent.ok("POST", f"{world.path}/labelsets", json=box)
    path = f"/label-sets/{world.label_set['id']}/images/{world.images[0]['id']}/annotations"
    world.agent.ok("PUT", path, json={"annotations": [{"label": "red"}]})

    world.ask()
    world.work()

    assert [task["annotations"] for task in world.there] == [[], []]
    assert world.labels(world.images[0]) == ["red"]


def test_an_annotation_of_somebody_who_was_quicker_is_not_taken_for_the_agents(world: World) -> None:
    box = {"name": "things", "taskType": "detection", "labels": ["cup"]}
    world.agent.ok("POST", f"{world.path}/labelsets", json=box)
    path = f"/label-sets/{world.label_set['id']}/images/{world.images[0]['id']}/annotations"
    before = world.agent.ok("PUT", path, json={"annotations": [{"label": "red"}]})["annotations"]
    take = world.label_studio.import_tasks

    def take_and_annotate(*sent: Any) -> Answer:
        answered = take(*sent)
        world.there[0]["annotations"].append({"id": 7, "result": [], "was_cancelled": False, "import_id": None})
        return answered

    world.label_studio.import_tasks = take_and_annotate  # type: ignore[method-assign]
    world.ask()
    world.work()

    assert world.agent.ok("GET", path)["annotations"] == before


def test_new_images_become_tasks(world: World) -> None:
    world.ask()
    world.work()

    [image] = world.upload("blue")
    world.work()

    assert [task["data"]["tandem_id"] for task in world.there][2:] == [image["id"]]


def test_a_new_label_set_and_new_labels_change_the_config(world: World) -> None:
    world.ask()
    world.work()

    box = {"name": "things", "taskType": "detection", "labels": ["cup"]}
    things = world.agent.ok("POST", f"{world.path}/labelsets", json=box)
    more = {"labels": [{"name": name} for name in ("red", "green", "blue")]}
    world.agent.ok("PATCH", f"/label-sets/{world.label_set['id']}", json=more)
    world.work()

    config = parse(world.label_studio.projects[1]["label_config"])
    assert {each.control_name: each.schema.names for each in config.bindings} == {
        "colour": ("red", "green", "blue"),
        "things": ("cup",),
    }
    label_sets = world.agent.ok("GET", world.path)["labelSets"]
    assert [each["id"] for each in label_sets] == [world.label_set["id"], things["id"]]


def test_set_up_by_label_studio_it_is_the_same_project_with_the_same_label_sets(
    world: World, client: FlaskClient, services: Services
) -> None:
    world.ask()
    world.work()
    document = world.label_studio.projects[1]["label_config"]

    body = {"project": world.origin.uid, "schema": document, "hostname": "http://localhost:8080", "extra_params": {}}
    assert client.post("/setup", json=body).status_code == 200

    assert len(services.projects.all()) == 1
    assert [each["id"] for each in world.agent.ok("GET", world.path)["labelSets"]] == [world.label_set["id"]]
    assert world.agent.ok("GET", world.path)["labelStudio"]["url"] == f"{world.label_studio.url}/projects/1"


def test_a_label_set_that_is_not_there_yet_survives_a_setup(world: World, client: FlaskClient) -> None:
    world.ask()
    world.work()
    box = {"name": "things", "taskType": "detection", "labels": ["cup"]}
    world.agent.ok("POST", f"{world.path}/labelsets", json=box)

    document = world.label_studio.projects[1]["label_config"]
    assert client.post("/setup", json={"project": world.origin.uid, "schema": document}).status_code == 200

    assert [each["name"] for each in world.agent.ok("GET", world.path)["labelSets"]] == ["colour", "things"]


def test_an_import_whose_answer_was_lost_leaves_no_second_task(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    take = world.label_studio.import_tasks

    def take_and_break(*sent: Any) -> Answer:
        take(*sent)
        return Answer(500)

    world.ask()
    with monkeypatch.context() as once:
        once.setattr(world.label_studio, "import_tasks", take_and_break)
        world.services.mirrors.advance()
        world.queue.run_all()
    link = world.work()

    assert link["error"] is None
    assert [task["data"]["tandem_id"] for task in world.there] == [image["id"] for image in world.images]


def test_a_project_that_was_made_by_a_killed_process_is_found_again(world: World) -> None:
    world.ask()
    world.services.mirrors.advance()
    [(_, (project_id, attempt))] = world.queue.jobs.values()
    world.queue.jobs.clear()
    mark = f"Mirrored from prj_{project_id} of Tandem."
    world.label_studio.projects[5] = {
        "id": 5,
        "title": "Colours",
        "description": mark,
        "label_config": "<View></View>",
        "created_at": "2026-11-20T19:33:15.123456Z",
    }
    world.label_studio.tasks[5] = []

    link = world.work()

    assert attempt == 1
    assert link["projectId"] == 5
    assert list(world.label_studio.projects) == [5]


def test_an_older_process_writes_nothing_more(world: World) -> None:
    world.ask()
    world.services.mirrors.advance()
    world.queue.jobs.clear()
    world.services.mirrors.advance()

    Mirroring(world.services, world.project_id, 1).work()

    assert world.label_studio.projects == {}


def test_a_process_that_is_silent_is_replaced(world: World) -> None:
    world.ask()
    world.services.mirrors.advance()
    world.queue.jobs.clear()
    world.services.mirrors.claim(world.project_id, 1)
    with world.services.database.transaction() as session:
        origin = session.get_one(Origin, world.project_id)
        long_ago = (utc_now() - timedelta(minutes=1)).isoformat()
        origin.params = {OWN_PARAMS: {**origin.params[OWN_PARAMS], "heartbeat_at": long_ago}}

    assert world.work()["projectId"] == 1


def test_what_label_studio_refuses_is_said_and_tried_again(world: World) -> None:
    world.ask()
    refusal = as_json({"detail": "The URL points to a blocked address"}, 403)
    world.label_studio.break_path("/api/ml/", refusal)
    world.services.mirrors.advance()
    world.queue.run_all()
    said = world.agent.ok("GET", world.path)["labelStudio"]["error"]

    link = world.work()

    assert said.startswith("Label Studio refused: The URL points to a blocked address")
    assert link["error"] is None
    assert len(world.label_studio.connections) == 1


def test_an_existing_project_is_linked_and_keeps_what_it_has(world: World) -> None:
    world.label_studio.projects[3] = {
        "id": 3,
        "title": "Theirs",
        "label_config": '<View><Image name="photo" value="$image"/><Choices name="day" toName="photo">'
        '<Choice value="yes"/><Choice value="no"/></Choices></View>',
        "created_at": "2026-11-20T19:33:15.123456Z",
    }
    world.label_studio.tasks[3] = [{"id": 50, "data": {"image": data_url(image_bytes("blue"))}, "annotations": []}]

    world.ask(projectId=3)
    link = world.work()

    config = parse(world.label_studio.projects[3]["label_config"])
    assert link["projectId"] == 3
    assert {each.control_name: each.object_name for each in config.bindings} == {"day": "photo", "colour": "photo"}
    assert [task["data"].get("tandem_id") for task in world.label_studio.tasks[3]][1:] == [
        image["id"] for image in world.images
    ]


def test_another_project_cannot_take_its_place(world: World) -> None:
    world.ask()
    world.work()

    status, code, details = world.agent.error("PATCH", world.path, json={"labelStudio": {"projectId": 9}})

    assert (status, code, details) == (409, "INVALID_STATE", {"projectId": 1})


def test_when_it_is_gone_there_it_stays_here_and_says_so(world: World) -> None:
    world.ask()
    world.work()
    del world.label_studio.projects[1]

    world.upload("blue")
    link = world.work()

    assert link["error"].startswith("Project 1 is gone from ")
    assert world.agent.ok("GET", world.path)["imageCount"] == 3


def test_a_labelled_image_whose_task_is_gone_keeps_its_labels(world: World) -> None:
    world.ask()
    world.work()
    world.annotate(world.there[0], "red")
    world.annotate(world.there[1], "green")
    world.work()

    del world.there[0]
    world.annotate(world.there[0], "green")
    link = world.work()

    assert link["error"] == "1 labelled images are gone from Label Studio; they stay here."
    assert [world.labels(image) for image in world.images] == [["red"], ["green"]]


def test_deleting_the_project_here_changes_nothing_there(world: World) -> None:
    world.ask()
    world.work()

    world.agent.ok("DELETE", world.path)
    world.services.mirrors.advance()
    world.queue.run_all()

    assert len(world.there) == 2
    assert list(world.label_studio.projects) == [1]


def test_without_a_label_studio_nothing_is_made(agent: Any, make_client: Callable[..., FlaskClient]) -> None:
    alone = type(agent)(make_client(), agent.user, agent.key)

    status, code, _ = alone.error("POST", "/projects", json={"name": "x", "labelStudio": {"create": True}})

    assert (status, code) == (400, "VALIDATION_ERROR")
    assert agent.ok("GET", "/projects")["items"] == []


def test_without_an_address_of_our_own_it_is_refused_whatever_the_request_says(
    agent: Any, make_client: Callable[..., FlaskClient], fake_label_studio: FakeLabelStudio
) -> None:
    """Our Basic auth is told to whatever is at that address."""
    key = fake_label_studio.legacy_token
    alone = type(agent)(
        make_client(label_studio_url=fake_label_studio.url, label_studio_api_key=key), agent.user, agent.key
    )

    wanted = {"name": "x", "labelStudio": {"create": True}}
    response = alone.ask("POST", "/projects", json=wanted, headers={"Host": "evil.example.org"})

    assert response.status_code == 400
    assert "TANDEM_BASE_URL" in response.get_json()["error"]["message"]


def test_a_strangers_project_cannot_be_mirrored(world: World, stranger: Any) -> None:
    assert stranger.error("PATCH", world.path, json={"labelStudio": {"create": True}})[0] == 404


def test_a_stranger_cannot_read_a_project_of_label_studio_by_linking_it(world: World, stranger: Any) -> None:
    path = f"/projects/{stranger.ok('POST', '/projects', json={'name': 'mine'})['id']}"

    assert stranger.error("PATCH", path, json={"labelStudio": {"projectId": 3}})[:2] == (403, "FORBIDDEN")
    assert stranger.ok("PATCH", path, json={"labelStudio": {"create": True}})["labelStudio"]["error"] is None


def test_a_wrong_number_is_said_and_can_be_corrected(world: World) -> None:
    world.ask(projectId=9)
    said = world.work()["error"]

    world.ask()

    assert said.startswith("Project 9 is gone from ")
    assert world.work() == {"projectId": 1, "url": f"{world.label_studio.url}/projects/1", "error": None}
