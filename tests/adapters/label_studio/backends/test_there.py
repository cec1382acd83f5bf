"""Another server as the ML backend of a project, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from builders import CONFIG, PROJECT
from doubles import Answer, Asked, FakeWeb, as_json, redirect
from flask.testing import FlaskClient

from backend.services import Services

pytestmark = pytest.mark.usefixtures("mirror")


@pytest.fixture
def backend(fake_web: FakeWeb) -> FakeWeb:
    """A healthy ML backend that serves v1."""
    fake_web.answers |= {"/health": as_json({"status": "UP"}), "/setup": as_json({"model_version": "v1"})}
    return fake_web


def sent(fake: FakeWeb, path: str) -> list[Any]:
    """Return the bodies that were sent to a path."""
    return [json.loads(asked.body) for asked in fake.asked_for(path)]


def test_a_backend_is_asked_for_its_health_and_set_up(caller, backend: FakeWeb) -> None:
    """N-004."""
    made = caller.add(url=backend.url, extra_params={"a": 1})

    assert (made["state"], made["model_version"]) == ("CO", "v1")
    assert [(asked.method, asked.path) for asked in backend.asked] == [("GET", "/health"), ("POST", "/setup")]
    [body] = sent(backend, "/setup")
    assert (body["project"], body["schema"], body["extra_params"]) == (PROJECT, CONFIG, {"a": 1})
    assert set(body) == {"project", "schema", "hostname", "access_token", "extra_params"}


def test_a_path_before_the_backends_own_is_kept(caller, backend: FakeWeb) -> None:
    backend.answers |= {f"/sub{path}": answer for path, answer in backend.answers.items()}

    assert caller.add(url=f"{backend.url}/sub/")["state"] == "CO"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/health", Answer(500)),
        ("/health", Answer(delay_s=1.5)),
        ("/setup", Answer(500)),
        ("/setup", as_json(["v1"])),
        ("/setup", Answer(body=b"<html>")),
        ("/setup", redirect("http://169.254.169.254/")),
    ],
)
def test_a_backend_that_does_not_work_is_not_registered(caller, backend: FakeWeb, path: str, answer: Answer) -> None:
    """N-004."""
    backend.break_path(path, answer)

    assert list(caller.wrong("POST", "/api/ml", json={"project": 7, "url": backend.url})) == ["url"]
    assert caller.ok("GET", "/api/ml") == []


def test_a_backend_is_told_user_and_password_and_nobody_else_is(caller, backend: FakeWeb) -> None:
    """N-003."""
    secret = "correct horse"
    auth = {"auth_method": "BASIC_AUTH", "basic_auth_user": "ann", "basic_auth_pass": secret}

    made = caller.add(url=backend.url, **auth)
    answers = [caller.ask("GET", path).get_data(as_text=True) for path in ("/api/ml", f"/api/ml/{made['id']}")]

    assert {asked.authorization for asked in backend.asked} == {"Basic YW5uOmNvcnJlY3QgaG9yc2U="}
    assert (made["basic_auth_user"], made["basic_auth_pass_is_set"]) == ("ann", True)
    assert "basic_auth_pass" not in made
    assert secret not in "".join(answers)


def test_a_wrong_password_is_told_apart(caller, backend: FakeWeb) -> None:
    """N-004."""
    backend.answers["/health"] = Answer(401)

    errors = caller.wrong("POST", "/api/ml", json={"project": 7, "url": backend.url})

    assert "password" in errors["non_field_errors"][0]


def test_a_stored_password_is_kept_and_never_told_to_another_server(caller, backend: FakeWeb) -> None:
    auth = {"auth_method": "BASIC_AUTH", "basic_auth_user": "ann", "basic_auth_pass": "correct horse"}
    path = f"/api/ml/{caller.add(url=backend.url, **auth)['id']}"

    caller.ok("PATCH", path, json={"basic_auth_user": "bob", "basic_auth_pass": ""})
    told = backend.asked[-1].authorization
    with FakeWeb() as other:
        other.answers |= backend.answers
        errors = caller.wrong("PATCH", path, json={"url": other.url})
        caller.ok("PATCH", path, json={"url": other.url, "auth_method": "NONE"})

    assert told == "Basic Ym9iOmNvcnJlY3QgaG9yc2U="
    assert list(errors) == ["non_field_errors"]
    assert [asked.authorization for asked in other.asked if asked.authorization] == []
    assert caller.ok("GET", path)["basic_auth_pass_is_set"] is False


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]:80", "http://100.100.100.200"],
)
def test_metadata_addresses_are_always_refused(caller, url: str) -> None:
    """N-005."""
    assert list(caller.wrong("POST", "/api/ml", json={"project": 7, "url": url})) == ["url"]


def test_private_addresses_are_refused_only_where_that_is_wanted(
    caller, backend: FakeWeb, make_client: Callable[..., FlaskClient]
) -> None:
    """N-005."""
    caller.client = make_client(block_local_ip=True)

    errors = caller.wrong("POST", "/api/ml", json={"project": 7, "url": backend.url})

    assert "ML_BLOCK_LOCAL_IP" in errors["url"][0]
    assert backend.asked == []


def test_the_state_follows_the_backend(caller, backend: FakeWeb) -> None:
    """N-008."""
    path = f"/v1/api/ml/{caller.add(url=backend.url)['id']}"

    backend.break_path("/health", Answer(500))
    down = caller.ok("GET", path)
    backend.break_path("/setup", as_json({"detail": "no such label"}, 400))
    broken = caller.ok("GET", path)
    restored = caller.ok("GET", path)

    assert [each["state"] for each in (down, broken, restored)] == ["DI", "ER", "CO"]
    assert "no such label" in broken["error_message"]
    assert restored["error_message"] is None


def test_the_version_is_the_backends_unless_somebody_said_it(caller, backend: FakeWeb) -> None:
    path = f"/api/ml/{caller.add(url=backend.url)['id']}"

    fixed = caller.ok("PATCH", path, json={"auto_update": False, "model_version": "mine"})
    backend.answers["/setup"] = as_json({"model_version": 2})
    kept = caller.ok("GET", path)
    followed = caller.ok("PATCH", path, json={"auto_update": True})

    assert [each["model_version"] for each in (fixed, kept, followed)] == ["mine", "mine", "2"]


def test_a_backend_is_trained_as_label_studio_does(caller, backend: FakeWeb) -> None:
    """N-009."""
    status = {"job_status": "started"}
    backend.answers |= {"/webhook": as_json({"job": "j1"}, 201), "/job_status": lambda _: as_json(status)}
    path = f"/api/ml/{caller.add(url=backend.url)['id']}"

    started = caller.ok("POST", f"{path}/train", json={})
    during = caller.ok("GET", path)
    status |= {"job_status": "failed", "error": "out of memory"}
    failed = caller.ok("GET", path)

    assert started == {"job": "j1", "training_id": None, "status": "queued"}
    [body] = sent(backend, "/webhook")
    assert (body["action"], body["project"]["id"], body["project"]["label_config"]) == ("START_TRAINING", 7, CONFIG)
    assert (during["state"], failed["state"]) == ("TR", "ER")
    assert "out of memory" in failed["error_message"]


def test_a_training_that_a_backend_refuses_is_an_error(caller, backend: FakeWeb) -> None:
    """N-010."""
    backend.answers["/webhook"] = as_json({"error": "busy"}, 503)
    path = f"/api/ml/{caller.add(url=backend.url)['id']}"

    refused = caller.ask("POST", f"{path}/train", json={})

    assert (refused.status_code, "busy" in refused.get_json()) == (500, True)


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (as_json({"versions": ["v2", "v1"]}), 200, {"versions": ["v2", "v1"]}),
        (Answer(body=b"<html>"), 200, {"versions": []}),
        (Answer(502), 502, None),
    ],
)
def test_a_backends_versions_are_passed_on(
    caller, backend: FakeWeb, answer: Answer, status: int, body: dict[str, Any] | None
) -> None:
    """N-013."""
    backend.answers["/versions"] = answer

    response = caller.ask("GET", f"/api/ml/{caller.add(url=backend.url)['id']}/versions")

    assert response.status_code == status
    assert response.get_json() == body if body else list(response.get_json()) == ["error"]


def test_a_backend_without_versions_has_its_current_one(caller, backend: FakeWeb) -> None:
    """N-013."""
    listed = caller.ok("GET", f"/api/ml/{caller.add(url=backend.url)['id']}/versions")

    assert listed["versions"] == ["v1"]
    assert "upgrade" in listed["message"]


def test_a_backend_is_asked_what_somebody_points_at(caller, backend: FakeWeb, services: Services, known_task) -> None:
    """N-012."""

    def predict(asked: Asked) -> Answer:
        body = json.loads(asked.body)
        return as_json({"results": [{"result": body["params"]["context"]["result"], "score": 0.5}]})

    backend.answers["/predict"] = predict
    path = f"/api/ml/{caller.add(url=backend.url, is_interactive=True)['id']}/interactive-annotating"

    found = caller.ok("POST", path, json={"task": known_task, "context": {"result": [{"id": "k"}]}})

    assert found == {"data": {"result": [{"id": "k"}], "score": 0.5}}
    [body] = sent(backend, "/predict")
    assert (body["tasks"][0]["id"], body["project"], body["label_config"]) == (known_task, PROJECT, CONFIG)


@pytest.mark.parametrize("answer", [Answer(500), as_json({"results": []}), as_json([]), Answer(body=b"<html>")])
def test_a_backend_that_fails_to_suggest_is_quoted(caller, backend: FakeWeb, known_task: int, answer: Answer) -> None:
    """N-012."""
    backend.answers["/predict"] = answer
    path = f"/api/ml/{caller.add(url=backend.url, is_interactive=True)['id']}/interactive-annotating"

    assert list(caller.ok("POST", path, json={"task": known_task})) == ["errors"]


@pytest.fixture
def known_task(services: Services, mirror) -> int:
    """A task of the project that was seen here."""
    from backend.projects.tasks import GivenMedia, GivenTask

    services.tasks.replace(
        mirror.project.id, [GivenTask(external_id="41", media={"img": GivenMedia("/a.png", None)}, annotations=())]
    )
    return 41
