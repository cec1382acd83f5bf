"""Section A.7 of the contract: POST /webhook, and WEBHOOK_AUTH of agent-surface 3.1."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from builders import CONFIG, PROJECT, annotation, basic, predict_body, setup_body, task, webhook_body
from doubles import FakeLabelStudio, InlineQueue
from flask.testing import FlaskClient
from sqlalchemy import func, select

from adapters.label_studio.access import KIND
from backend.connections.inbox import Event
from backend.projects.service import Mirror, Origin
from backend.services import Services
from backend.settings import Settings
from backend.training.run import RunState, TrainingRun

MakeClient = Callable[..., FlaskClient]
TASK = {**task(41, "/data/upload/7/a.png"), "allow_skip": True}
CREATED = webhook_body("ANNOTATION_CREATED", annotation=annotation(5, 41), task=TASK)
START = webhook_body("START_TRAINING")
UNKNOWN = "999.1795203195"
USER = {"basic_auth_user": "ls", "basic_auth_pass": "secret"}
GOOD, WRONG, BEARER = basic("ls", "secret"), basic("ls", "wrong"), {"Authorization": "Bearer secret"}
TOKEN, WRONG_TOKEN = {"X-Webhook-Token": "tökén"}, {"X-Webhook-Token": "wrong"}


def events(services: Services) -> list[Event]:
    with services.database.reading() as session:
        return list(session.scalars(select(Event).order_by(Event.id)))


def runs(services: Services) -> list[TrainingRun]:
    with services.database.reading() as session:
        return list(session.scalars(select(TrainingRun)))


# --- Events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "num_changes"),
    [
        (CREATED, 1),
        ({**CREATED, "action": "ANNOTATION_UPDATED"}, 1),
        (
            webhook_body("ANNOTATIONS_CREATED", annotation=[annotation(5, 41), annotation(6, 42)], task=[TASK, TASK]),
            2,
        ),
        (webhook_body("ANNOTATIONS_DELETED", annotations=[{"id": 5}, {"id": 6}, {"id": 7}]), 3),
        (webhook_body("ANNOTATION_DELETED", annotations=[{"id": 5}]), 1),
        (webhook_body("ANNOTATION_CREATED", annotation={**annotation(5, 41), "was_cancelled": True, "result": []}), 1),
        (webhook_body("ANNOTATION_CREATED"), 1),
        (webhook_body("TASKS_CREATED", tasks=[TASK]), 0),
        (webhook_body("TASKS_DELETED", tasks=[{"id": 41}]), 0),
        (webhook_body("PROJECT_UPDATED"), 0),
        (webhook_body("LABEL_LINK_CREATED", label_link={"id": 1}, label={"id": 2}), 0),
        (webhook_body("PROJECT_CREATED"), 0),
        ({"action": "PROJECT_DELETED", "project": {"id": 7}}, 0),
        (webhook_body("REVIEW_CREATED", review={"id": 3}), 0),
    ],
    ids=lambda value: str(value.get("action")) if isinstance(value, dict) else "",
)
def test_each_event_is_taken_in_as_what_it_is(
    client: FlaskClient, services: Services, mirror: Mirror, body: dict[str, Any], num_changes: int
) -> None:
    """C-060, C-063."""
    response = client.post("/webhook", json=body)

    assert response.status_code == 200
    assert isinstance(response.get_json(), dict)
    assert services.inbox.num_waiting(mirror.project.id) == num_changes
    assert runs(services) == []


def test_an_event_is_stored_when_it_is_acknowledged(client: FlaskClient, settings: Settings, mirror: Mirror) -> None:
    client.post("/webhook", json=CREATED)

    other = Services.build(settings)
    [event] = events(other)
    other.close()
    assert (event.action, event.annotation_ids, event.is_trusted) == ("ANNOTATION_CREATED", ["5"], True)


@pytest.mark.parametrize("body", [{"action": "X"}, {"action": "X", "project": {"id": 7}}, {**CREATED, "action": "NEW"}])
def test_an_unknown_action_is_200(client: FlaskClient, mirror: Mirror, body: dict[str, Any]) -> None:
    """C-061."""
    response = client.post("/webhook", json=body)

    assert (response.status_code, response.mimetype) == (200, "application/json")


@pytest.mark.parametrize("action", ["ANNOTATION_CREATED", "START_TRAINING", "PROJECT_UPDATED"])
def test_a_webhook_without_payload_is_200(client: FlaskClient, services: Services, mirror: Mirror, action: str) -> None:
    """C-061: a user may switch the payload off, and then nothing says which project it was."""
    assert client.post("/webhook", json={"action": action}).status_code == 200
    assert (events(services), runs(services)) == ([], [])


@pytest.mark.parametrize("action", [None, "", 5, [], {}, True])
def test_an_event_without_an_action_is_400(client: FlaskClient, action: object) -> None:
    """C-062."""
    response = client.post("/webhook", json={**CREATED, "action": action})

    assert response.status_code == 400
    assert response.status.startswith("400 action: ")


@pytest.mark.parametrize(
    "project",
    [None, 7, "7", [], {}, {"id": "7"}, {"id": 2**64}, {"id": -1}, {"id": True}, {"id": 7, "created_at": "\ud800"}],
)
def test_a_project_that_cannot_be_read_is_no_project_of_ours(
    client: FlaskClient, services: Services, mirror: Mirror, project: object
) -> None:
    response = client.post("/webhook", data=json.dumps({**CREATED, "project": project}))

    assert response.status_code == 200
    assert events(services) == []


def test_events_of_an_unknown_project_leave_nothing_behind(client: FlaskClient, services: Services) -> None:
    """C-068, and C-140: a webhook that has outlived its connection."""
    for body in (webhook_body("ANNOTATION_CREATED", project=UNKNOWN), webhook_body("START_TRAINING", project=UNKNOWN)):
        assert client.post("/webhook", json=body).status_code == 200

    with services.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Origin)) == 0
    assert (events(services), runs(services)) == ([], [])


def test_a_20_mib_event_is_taken_in(client: FlaskClient, services: Services, mirror: Mirror) -> None:
    """C-069, as far as it is not about speed: only ids are kept."""
    result = [{"type": "brushlabels", "value": {"rle": "1," * (10 * 2**20)}}]
    body = json.dumps(webhook_body("ANNOTATION_UPDATED", annotation={**annotation(5, 41), "result": result}))
    assert len(body) > 20 * 2**20

    assert client.post("/webhook", data=body).status_code == 200
    assert [event.annotation_ids for event in events(services)] == [["5"]]


def test_events_side_by_side_are_all_kept(client: FlaskClient, services: Services, mirror: Mirror) -> None:
    def send(number: int) -> int:
        body = webhook_body("ANNOTATION_CREATED", annotation=annotation(number, 41))
        return client.application.test_client().post("/webhook", json=body).status_code

    with ThreadPoolExecutor(8) as senders:
        statuses = set(senders.map(send, range(40)))

    assert statuses == {200}
    assert sorted(int(event.annotation_ids[0]) for event in events(services)) == list(range(40))


def test_a_changed_config_is_in_use_at_once(client: FlaskClient, services: Services, mirror: Mirror) -> None:
    """C-067."""
    body = webhook_body("PROJECT_UPDATED")
    body["project"]["label_config"] = CONFIG.replace("green", "blue")

    client.post("/webhook", json=body)

    found = services.projects.find(KIND, PROJECT)
    assert found is not None
    assert found.label_sets[0].schema.names == ("red", "blue")


def test_a_changed_config_that_cannot_be_used_changes_nothing(
    client: FlaskClient, services: Services, mirror: Mirror
) -> None:
    body = webhook_body("PROJECT_UPDATED")
    body["project"]["label_config"] = "<View>"

    response = client.post("/webhook", json=body)
    assert (response.status_code, response.json["status"]) == (200, "ignored")

    found = services.projects.find(KIND, PROJECT)
    assert found is not None
    assert found.origin.document == CONFIG


# --- START_TRAINING --------------------------------------------------------------------------------------------------


def test_start_training_answers_with_a_job(client: FlaskClient, services: Services, mirror: Mirror) -> None:
    """C-059: the queue is not touched, the row is the promise."""
    response = client.post("/webhook", json=START)

    assert 200 <= response.status_code < 300
    job = response.get_json()["job"]
    assert [run.id for run in runs(services)] == [job]
    assert client.post("/job_status", json={"job": job}).get_json()["job_status"] == "queued"
    assert client.get("/tandem/projects/7").get_json()["state"] == "TR"


def test_ten_starts_are_one_job_waiting_and_one_working(
    client: FlaskClient, services: Services, queue: InlineQueue, mirror: Mirror
) -> None:
    """C-064."""

    def start(_: int) -> Any:
        return client.application.test_client().post("/webhook", json=START).get_json()["job"]

    with ThreadPoolExecutor(5) as senders:
        first = set(senders.map(start, range(10)))
        services.training.advance()
        second = set(senders.map(start, range(10)))
    services.training.advance()

    assert (len(first), len(second)) == (1, 1)
    assert sorted(run.state for run in runs(services)) == [RunState.PENDING, RunState.QUEUED]
    assert len(queue.jobs) == 1


def test_a_config_without_anything_to_learn_cannot_be_trained(client: FlaskClient, services: Services) -> None:
    config = '<View><Text name="t" value="$t"/><TextArea name="note" toName="t"/></View>'
    client.post("/setup", json=setup_body(schema=config))

    response = client.post("/webhook", json=START)

    assert response.status_code == 400
    assert response.get_json()["code"] == "nothing_to_learn"
    assert "note is a <TextArea>" in response.status
    assert runs(services) == []


def test_labels_are_collected_from_label_studio_whatever_the_event_says(
    client: FlaskClient,
    services: Services,
    queue: InlineQueue,
    mirror: Mirror,
    settings: Settings,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """agent-surface 3.1: nothing but ids is taken from the payload."""
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("LABEL_STUDIO_URL", fake_label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", fake_label_studio.pat)
    fake_label_studio.projects[7] = {
        "id": 7,
        "title": "Colours",
        "label_config": CONFIG,
        "created_at": START["project"]["created_at"],
    }
    fake_label_studio.tasks[7] = [{**task(number), "annotations": [annotation(number, number)]} for number in (41, 42)]

    client.post("/webhook", json={**CREATED, "annotation": annotation(5, 41, "green")})
    job = client.post("/webhook", json=START).get_json()["job"]
    services.training.advance()
    queue.run_all()

    items = services.tasks.labelled_items(mirror.label_sets[0])
    assert [(item.key, item.regions[0].label) for item in items] == [("41", "red"), ("42", "red")]
    assert services.training.get(job).snapshot is not None


# --- WEBHOOK_AUTH ----------------------------------------------------------------------------------------------------

NO_USER: dict[str, str] = {}
WITH_TOKEN = {"webhook_token": "tökén"}
# Settings, headers → status of an event of a project set up with our user, of an unknown one, and of START_TRAINING.
# NOTE: where no user is set, every set-up is by somebody unknown, and the project counts as known all the same.
RULES: list[tuple[str, dict[str, str], dict[str, str], tuple[int, int, int]]] = [
    ("auto", NO_USER, {}, (200, 200, 201)),
    ("auto", NO_USER, BEARER, (200, 200, 201)),
    ("auto", USER, {}, (200, 403, 401)),
    ("auto", USER, GOOD, (200, 200, 201)),
    ("auto", USER, WRONG, (401, 401, 401)),
    ("auto", USER, BEARER, (401, 401, 401)),
    ("auto", USER, {"Authorization": "Basic gIE="}, (401, 401, 401)),
    ("auto", {**USER, **WITH_TOKEN}, {}, (401, 401, 401)),
    ("auto", {**USER, **WITH_TOKEN}, GOOD, (200, 200, 201)),
    ("auto", {**USER, **WITH_TOKEN}, TOKEN, (200, 200, 201)),
    ("auto", {**USER, **WITH_TOKEN}, WRONG_TOKEN, (401, 401, 401)),
    ("auto", WITH_TOKEN, {}, (401, 401, 401)),
    ("auto", WITH_TOKEN, TOKEN, (200, 200, 201)),
    ("basic", USER, {}, (401, 401, 401)),
    ("basic", USER, GOOD, (200, 200, 201)),
    ("basic", {**USER, **WITH_TOKEN}, TOKEN, (401, 401, 401)),
    ("token", {**USER, **WITH_TOKEN}, {}, (401, 401, 401)),
    ("token", {**USER, **WITH_TOKEN}, TOKEN, (200, 200, 201)),
    ("token", {**USER, **WITH_TOKEN}, WRONG_TOKEN, (401, 401, 401)),
    ("token", {**USER, **WITH_TOKEN}, GOOD, (401, 401, 201)),  # the connection has the password and no token
    ("token", USER, {"X-Webhook-Token": ""}, (401, 401, 401)),
    ("off", NO_USER, {}, (200, 200, 201)),
    ("off", USER, {}, (200, 200, 401)),
    ("off", USER, GOOD, (200, 200, 201)),
]


@pytest.mark.parametrize(("mode", "secrets", "headers", "statuses"), RULES)
def test_who_may_send_events(
    make_client: MakeClient,
    mode: str,
    secrets: dict[str, str],
    headers: dict[str, str],
    statuses: tuple[int, int, int],
) -> None:
    """C-066, S-008."""
    client = make_client(webhook_auth=mode, **secrets)
    assert client.post("/setup", json=setup_body(), headers=GOOD).status_code == 200
    bodies = (CREATED, webhook_body("ANNOTATION_CREATED", project=UNKNOWN), START)

    answers = [client.post("/webhook", json=body, headers=headers) for body in bodies]

    assert tuple(response.status_code for response in answers) == statuses
    for response in answers:
        assert response.mimetype == "application/json"
        assert ("WWW-Authenticate" in response.headers) == (response.status_code == 401)


def test_the_token_may_be_in_the_query(make_client: MakeClient, services: Services) -> None:
    client = make_client(webhook_auth="token", webhook_token="tökén", **USER)
    client.post("/setup", json=setup_body(), headers=GOOD)

    assert client.post("/webhook?token=t%C3%B6k%C3%A9n", json=CREATED).status_code == 200
    assert client.post("/webhook?token=wrong", json=CREATED).status_code == 401
    assert len(events(services)) == 1


def test_what_is_refused_leaves_nothing_behind(make_client: MakeClient, services: Services) -> None:
    client = make_client(**USER)
    client.post("/setup", json=setup_body(), headers=GOOD)

    for body in (CREATED, START):
        client.post("/webhook", json=body, headers=WRONG)
    client.post("/webhook", json=START)

    assert (events(services), runs(services)) == ([], [])


def test_a_project_that_became_known_without_our_user_is_refused(make_client: MakeClient, services: Services) -> None:
    """It was set up before there was a user; once it is set up again with the user, its events count."""
    make_client().post("/setup", json=setup_body())
    client = make_client(**USER)

    before = client.post("/webhook", json=CREATED).status_code
    client.post("/setup", json=setup_body(), headers=GOOD)
    after = client.post("/webhook", json=CREATED).status_code

    assert (before, after) == (403, 200)


def test_an_unproven_event_changes_no_config_and_is_marked(make_client: MakeClient, services: Services) -> None:
    """Its sender may be anybody: it counts, at the pace that the inbox allows, and says nothing."""
    client = make_client(**USER)
    client.post("/setup", json=setup_body(), headers=GOOD)
    forged = webhook_body("PROJECT_UPDATED")
    forged["project"]["label_config"] = CONFIG.replace("green", "blue")

    client.post("/webhook", json=forged)
    client.post("/webhook", json=CREATED)
    client.post("/webhook", json=CREATED, headers=GOOD)

    found = services.projects.find(KIND, PROJECT)
    assert found is not None
    assert found.origin.document == CONFIG
    assert [event.is_trusted for event in events(services)] == [False, True]


def test_events_without_credentials_start_at_most_one_run_a_minute(
    make_client: MakeClient, settings: Settings, queue: InlineQueue
) -> None:
    """agent-surface 3.1."""
    client = make_client(**USER)
    client.post("/setup", json=setup_body(), headers=GOOD)
    impatient = Settings(home=settings.home, device="cpu", train_every=1, train_quiet_s=0)
    services = Services.build(impatient, queue=queue)

    client.post("/webhook", json=CREATED)
    services.inbox.coalesce()
    [run] = runs(services)
    services.training.cancel(run.id)
    client.post("/webhook", json=CREATED)
    services.inbox.coalesce()

    assert len(runs(services)) == 1
    client.post("/webhook", json=START, headers=GOOD)
    assert len(runs(services)) == 2
    services.close()


@pytest.mark.parametrize("path", ["predict", "setup", "train", "validate", "delete", "duplicate_model", "job_status"])
def test_the_other_routes_always_need_the_user(make_client: MakeClient, path: str) -> None:
    """S-008."""
    client = make_client(webhook_auth="off", webhook_token="secret", **USER)

    for headers in ({}, WRONG, BEARER, {"X-Webhook-Token": "secret"}):
        assert client.post(f"/{path}?token=secret", json=predict_body(task(1)), headers=headers).status_code == 401
