"""What operators rely on: stopping, replicas, connections that went, a database or queue that is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from builders import PROJECT, annotation, data_url, image_bytes, predict_body, setup_body, task, webhook_body
from doubles import Answer, Asked, FakeWeb
from flask.testing import FlaskClient
from processes import RunningServer, wait_for

from adapters.label_studio.access import KIND
from backend.services import Services
from backend.settings import Settings
from backend.versions.registry import ModelVersion

MakeClient = Callable[..., FlaskClient]
CREATED = webhook_body("ANNOTATION_CREATED", annotation=annotation(5, 41))
START = webhook_body("START_TRAINING")


# --- A real server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[RunningServer]:
    """`tandem web` on the home of `settings`, two processes, and no Redis."""
    running = RunningServer(tmp_path, {"TANDEM_WEB_WORKERS": "2", "ALLOW_LOCAL_FETCH": "true"})
    assert running.home == settings.home
    with (running.folder / "up.log").open("wb") as log:
        running.process = running.tandem("web", output=log)
    running.await_health()
    yield running
    if running.process.poll() is None:
        running.stop()


def test_a_server_told_to_stop_finishes_the_predictions_it_has_begun(
    server: RunningServer, version: ModelVersion, fake_web: FakeWeb
) -> None:
    """C-138, as far as web processes go; also the reason phrase through gunicorn (A.1)."""
    asked, released = threading.Event(), threading.Event()

    def hold(_: Asked) -> Answer:
        asked.set()
        released.wait(20)
        return Answer(body=image_bytes("green"))

    fake_web.answers["/a.png"] = hold
    refused = requests.post(f"{server.url}/a/b/setup/", json=setup_body(project="seven"), timeout=10)
    with ThreadPoolExecutor(2) as caller:
        body = predict_body(task(1, f"{fake_web.url}/a.png"))
        answer = caller.submit(requests.post, f"{server.url}/predict", json=body, timeout=30)
        assert asked.wait(20)
        stopped = caller.submit(server.stop)
        wait_for(lambda: not server.is_healthy(), "no new requests are taken")
        released.set()
        response = answer.result()

    assert (refused.status_code, refused.reason) == (400, refused.json()["detail"])
    assert response.json()["results"][0]["result"][0]["value"] == {"choices": ["green"]}
    assert stopped.result() == 0


# --- Replicas --------------------------------------------------------------------------------------------------------


def test_replicas_agree(make_client: MakeClient, version: ModelVersion) -> None:
    """C-139."""
    replicas = [make_client(), make_client()]
    replicas[0].post("/setup", json=setup_body(extra_params={"threshold": 0.9}))

    answers = [
        (
            replica.post("/setup", json=setup_body(extra_params={"threshold": 0.9})).get_data(),
            replica.get("/versions").get_data(),
            replica.post("/predict", json=predict_body(task(1), label_config=None)).get_data(),
            replica.get("/tandem/projects/7").get_json()["state"],
        )
        for replica in replicas
    ]

    assert answers[0] == answers[1]
    assert version.name.encode() in answers[0][0]


# --- What is gone ----------------------------------------------------------------------------------------------------


def test_events_of_a_removed_connection_are_answered(client: FlaskClient, version: ModelVersion) -> None:
    """C-140: Label Studio removes no webhook, so they keep coming."""
    client.post("/delete", json={"project": PROJECT})

    assert client.post("/webhook", json=CREATED).status_code == 200
    assert client.post("/webhook", json=webhook_body("TASKS_DELETED", tasks=[{"id": 41}])).status_code == 200


def test_without_redis_everything_but_training_goes_on(
    make_client: MakeClient, services: Services, version: ModelVersion
) -> None:
    """agent-surface 12.17: nothing is lost, and the run waits in the database for the queue."""
    client = make_client(redis_url="redis://127.0.0.1:1/0")

    assert client.post("/setup", json=setup_body()).get_json() == {"model_version": version.name}
    assert len(client.post("/predict", json=predict_body(task(1))).get_json()["results"][0]["result"]) == 1
    assert client.post("/webhook", json=CREATED).status_code == 200
    started = client.post("/webhook", json=START)
    assert started.status_code == 201
    assert client.post("/job_status", json={"job": started.get_json()["job"]}).get_json()["job_status"] == "queued"
    assert client.get("/versions").status_code == 200
    assert "tandem_queue_up 0.0" in client.get("/metrics").get_data(as_text=True)
    assert client.get("/tandem/status").get_json()["projects"][0]["num_changes_waiting"] == 1
    assert client.post(f"/tandem/runs/{started.get_json()['job']}/cancel").get_json()["state"] == "cancelled"


def test_a_database_that_cannot_be_opened_is_no_reason_to_be_disconnected(make_client: MakeClient) -> None:
    """The answer is an error of ours with a reason, and /health stays (C-011)."""
    client = make_client(database_url="sqlite:////proc/nowhere.sqlite3")

    response = client.post("/setup", json=setup_body())

    assert response.status_code >= 500
    assert response.mimetype == "application/json"
    assert client.get("/health").status_code == 200


# --- One request among others ----------------------------------------------------------------------------------------


def test_bad_requests_disturb_no_good_one(client: FlaskClient, services: Services, version: ModelVersion) -> None:
    """Issue 2: no other request is disturbed, and no event is lost, whatever else comes in at the same time."""
    bad: list[tuple[str, bytes]] = [
        ("/predict", b"{"),
        ("/predict", b"[" * 100_000),
        ("/setup", b'{"project": NaN}'),
        ("/webhook", b"\xff"),
        ("/validate", b'{"config": "<View>"}'),
    ]
    images = [data_url(image_bytes("green", size=(30 + number, 20))) for number in range(12)]

    def send(number: int) -> Any:
        caller = client.application.test_client()
        if number % 3 == 0:
            return caller.post("/predict", json=predict_body(task(number, images[number // 3])))
        if number % 3 == 1:
            return caller.post("/webhook", json=webhook_body("ANNOTATION_CREATED", annotation=annotation(number, 1)))
        path, body = bad[number % len(bad)]
        return caller.post(path, data=body)

    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(send, range(36)))

    assert {response.status_code for response in answers[2::3]} == {400}
    assert [response.get_json()["results"][0]["result"][0]["value"] for response in answers[::3]] == [
        {"choices": ["green"]}
    ] * 12
    mirror = services.projects.find(KIND, PROJECT)
    assert mirror is not None
    assert services.inbox.num_waiting(mirror.project.id) == 12


def test_what_was_promised_survives_a_restart(
    make_client: MakeClient, client: FlaskClient, version: ModelVersion, tmp_path: Path
) -> None:
    client.post("/webhook", json=CREATED)
    job = client.post("/webhook", json=START).get_json()["job"]
    before = client.get("/tandem/projects/7").get_json()

    restarted = make_client()

    after = restarted.get("/tandem/projects/7").get_json()
    assert after == before
    assert after["newest_run"]["id"] == job
    assert after["num_changes_waiting"] == 1
