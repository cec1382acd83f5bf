"""Section A.1 of the contract: what holds for every route, whatever is sent."""

from __future__ import annotations

import http.client
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from builders import (
    POSTS,
    PROJECT,
    TRAIN_BODY,
    basic,
    data_url,
    image_bytes,
    predict_body,
    setup_body,
    task,
    webhook_body,
)
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from adapters.web import create_app
from backend.projects.service import Mirror
from backend.services import Services
from backend.settings import Settings
from backend.versions.registry import ModelVersion

MakeClient = Callable[..., FlaskClient]
GETS = ("health", "versions", "is_training?project=" + PROJECT, "metrics")
ROUTES = [("GET", path) for path in GETS] + [("POST", path) for path in POSTS]


def call(client: FlaskClient, method: str, path: str, **options: Any) -> Any:
    body = POSTS.get(path.strip("/").split("/")[-1]) if method == "POST" else None
    return client.open(path, method=method, json=body, **options)


# --- Routes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "name"), ROUTES)
def test_every_route_answers_under_any_prefix_and_with_a_slash_at_its_end(
    client: FlaskClient, mirror: Mirror, method: str, name: str
) -> None:
    """C-001."""
    path, _, query = name.partition("?")
    direct = call(client, method, f"/{path}", query_string=query)

    for shape in ("/{}/", "/a/{}", "/a/{}/", "/a/b.c/%20d/{}", "/a/b/c/{}/", "/tandem/{}"):
        prefixed = call(client, method, shape.format(path), query_string=query)
        assert prefixed.status_code == direct.status_code < 411, shape  # 410: there is no such job
        assert prefixed.mimetype == direct.mimetype


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/nothing/here", 404),
        ("GET", "/predict", 405),
        ("DELETE", "/health", 405),
        ("OPTIONS", "/health", 405),
        ("TRACE", "/setup", 405),
        ("GET", "/tandem/runs/none", 404),
        ("POST", "/predict", 400),
        ("GET", "/tandem/runs/%00", 400),
        ("GET", "/is_training", 400),
        ("GET", "/tandem/projects/%ff%fe%e2%80%a8", 404),
    ],
)
def test_every_answer_is_json(client: FlaskClient, method: str, path: str, status: int) -> None:
    """C-002."""
    response = client.open(path, method=method)

    assert response.status_code == status
    assert response.mimetype == "application/json"
    assert isinstance(response.get_json(), dict)


def test_the_answer_to_a_method_that_is_not_allowed_names_those_that_are(client: FlaskClient) -> None:
    assert client.get("/predict").headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/health", "/nothing", "/predict", "/tandem/status"])
def test_every_answer_has_a_request_id(client: FlaskClient, path: str) -> None:
    """agent-surface 12.5: a valid id is adopted, any other replaced."""
    adopted = client.get(path, headers={"X-Request-Id": "abc-1.2:3"}).headers["X-Request-Id"]
    replaced = client.get(path, headers={"X-Request-Id": "no spaces"}).headers["X-Request-Id"]

    assert adopted == "abc-1.2:3"
    assert re.fullmatch("[0-9A-Z]{26}", replaced)


def test_unknown_headers_and_fields_are_ignored(client: FlaskClient, version: ModelVersion) -> None:
    """C-003."""
    headers = {"Sentry-Trace": "0-0-0", "Baggage": "sentry-release=1", "User-Agent": "heartex/9.9"}
    body = {**predict_body(task(1)), "force_reload": True, "model_version": "x", "new": [None]}

    response = client.post("/predict", json=body, headers=headers)

    assert response.get_json() == client.post("/predict", json=predict_body(task(1))).get_json()


def test_the_ml_backend_calls_need_no_bearer_key_and_are_never_limited(
    client: FlaskClient, version: ModelVersion
) -> None:
    """agent-surface 12.7."""
    statuses = {client.post("/predict", json=predict_body(task(1))).status_code for _ in range(30)}

    assert statuses == {200}


# --- Reasons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("setup", {}),
        ("setup", setup_body(schema="<View>")),
        ("setup", setup_body(schema="<View><Müll/>")),
        ("setup", setup_body(project="7.x\r\nSet-Cookie: a=b")),
        ("predict", predict_body(tasks="none")),
        ("train", {**TRAIN_BODY, "annotations": []}),
        ("webhook", {"project": {}}),
        ("job_status", {"job": "none"}),
        ("versions", {"project": "999"}),
        ("validate", {"config": '<View><Text name="t" value="$t"/><Labels name="Größe→\r\n" toName="t"/></View>'}),
    ],
)
def test_the_reason_phrase_is_the_sentence_of_the_body(client: FlaskClient, path: str, body: dict[str, Any]) -> None:
    """Label Studio shows status and reason phrase, and nothing else (A.1)."""
    response = client.post(f"/{path}", data=json.dumps(body))
    status, _, reason = response.status.partition(" ")
    detail = response.get_json()["detail"]

    assert 400 <= int(status) < 500
    assert reason not in {"", HTTPStatus(int(status)).phrase}
    assert len(reason) <= 180
    assert re.fullmatch(r"[\x20-\x7e\xa0-\xff]+", reason)
    assert reason.removesuffix("...") in " ".join(detail.encode("latin-1", "replace").decode("latin-1").split())


# --- On the wire -----------------------------------------------------------------------------------------------------


@pytest.fixture
def address(settings: Settings, services: Services) -> Iterator[tuple[str, int]]:
    """A server with sockets, for what Flask's test client cannot do."""
    server = make_server("127.0.0.1", 0, create_app(settings, services), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield "127.0.0.1", server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_reason_phrase_arrives(address: tuple[str, int]) -> None:
    connection = http.client.HTTPConnection(*address, timeout=10)

    connection.request("POST", "/setup", json.dumps(setup_body(project="seven")))
    response = connection.getresponse()

    assert (response.status, response.reason) == (400, 'project: should be like "7.1795203195", id and creation time.')
    connection.close()


def test_a_client_that_hangs_up_leaves_its_results_to_the_next(
    address: tuple[str, int], services: Services, version: ModelVersion
) -> None:
    """C-006."""
    body = json.dumps(predict_body(*(task(number, "green") for number in range(20))))
    impatient = http.client.HTTPConnection(*address, timeout=10)
    impatient.request("POST", "/predict", body)
    impatient.close()

    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.request("POST", "/predict", body)
    results = json.loads(connection.getresponse().read())["results"]

    assert len(results) == 20
    connection.close()


def test_a_body_that_breaks_off_disturbs_nobody(address: tuple[str, int]) -> None:
    broken = http.client.HTTPConnection(*address, timeout=10)
    broken.putrequest("POST", "/webhook")
    broken.putheader("Content-Length", "1000")
    broken.endheaders(b'{"action"')
    broken.close()

    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", "/health")

    assert connection.getresponse().status == 200
    connection.close()


# --- Secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_is_ever_logged(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """C-008 and agent-surface 12.15: at DEBUG, with answers good and bad, messages and fields and tracebacks."""
    caplog.set_level(logging.DEBUG)
    client = make_client(
        basic_auth_user="ls",
        basic_auth_pass="hush-basic",
        webhook_token="hush-webhook",
        label_studio_url="http://127.0.0.1:1",
        label_studio_api_key="hush-api-key",
    )
    known = basic("ls", "hush-basic")
    wrong = basic("ls", "hush-wrong-password")
    secrets = {"login": "viewer", "password": "hush-media", "context": {"project_credentials_password": "hush-context"}}
    no_context = {"login": "viewer", "password": "hush-media"}
    with_token = task(3, "http://viewer:hush-url@127.0.0.1:1/x.png?X-Amz-Signature=hush-signature")
    hidden = webhook_body("PROJECT_UPDATED")
    answers: list[str] = []
    for path, body in [
        ("setup", setup_body(access_token="hush-access", extra_params={"api_key": "hush-extra"})),
        ("setup", setup_body(access_token="hush-access", schema="<View>hush-access")),
        ("setup", setup_body(access_token=["hush-access"], hostname=5)),
        ("predict", {**predict_body(task(1), with_token), "params": secrets}),
        ("predict", {**predict_body(task(1), with_token, task(4, "/data/upload/7/x.png")), "params": no_context}),
        ("predict", {**predict_body(task(1)), "params": {"login": "viewer", "password": {"hush-media": 1}}}),
        ("webhook", hidden),
        ("webhook", {**hidden, "action": "START_TRAINING"}),
        ("webhook", {**hidden, "action": 5}),
        ("train", {**TRAIN_BODY, "params": no_context}),
    ]:
        for headers in (known, wrong, {}, {"Authorization": "Bearer hush-bearer"}, {"X-Webhook-Token": "hush-webhook"}):
            response = client.post(f"/{path}?token=hush-webhook", data=json.dumps(body), headers=headers)
            answers.append(f"{response.status} {response.headers} {response.get_data(as_text=True)}")

    written = capfd.readouterr()
    logged = [repr(vars(record)) + (record.exc_text or "") for record in caplog.records]
    assert len(logged) > 50
    leaks = [line for line in (*logged, *answers, written.out, written.err) if "hush" in line]
    assert leaks == []
    assert encoded_secrets(known) not in "".join(logged + answers)


def encoded_secrets(headers: dict[str, str]) -> str:
    return headers["Authorization"].split()[1]


def test_an_image_address_is_logged_without_its_password(
    client: FlaskClient, version: ModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = ["http://ann:hush@a..b/x.png", "http://ann:hush@[::1/x.png", "http://ann:hush@" + "a" * 300 + "/"]

    response = client.post("/predict", json=predict_body(*(task(n, uri) for n, uri in enumerate(addresses))))

    assert [entry["result"] for entry in response.get_json()["results"]] == [[], [], []]
    assert "hush" not in "".join(repr(vars(record)) + str(record.exc_text) for record in caplog.records)


def test_numbers_leave_as_plain_json(client: FlaskClient, version: ModelVersion) -> None:
    """C-005."""
    text = client.post("/predict", json=predict_body(task(1, data_url(image_bytes("green"))))).get_data(as_text=True)

    assert "NaN" not in text
    assert "Infinity" not in text
    assert isinstance(json.loads(text)["results"][0]["score"], float)
