"""The registry of ML backends, as Label Studio's own clients use it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import add_version
from doubles import FakeWeb
from flask.testing import FlaskClient
from label_studio_sdk.core.api_error import ApiError

from backend.projects.service import Mirror
from backend.services import Services
from backend.training.run import RunState

pytestmark = pytest.mark.usefixtures("mirror")
FIELDS = {
    "id",
    "state",
    "readable_state",
    "is_interactive",
    "url",
    "error_message",
    "title",
    "auth_method",
    "basic_auth_user",
    "basic_auth_pass_is_set",
    "description",
    "extra_params",
    "model_version",
    "timeout",
    "created_at",
    "updated_at",
    "auto_update",
    "project",
}


def test_label_studios_own_client_registers_lists_and_removes(caller) -> None:
    made = caller.sdk.ml.create(project=7, url="self", title="Tandem")
    listed = caller.sdk.ml.list(project=7)
    caller.sdk.ml.delete(made.id)

    assert [(each.id, each.title, each.project) for each in listed] == [(made.id, "Tandem", 7)]
    with pytest.raises(ApiError) as gone:
        caller.sdk.ml.get(made.id)
    assert gone.value.status_code == 404


def test_label_studios_own_client_updates_trains_and_lists_versions(caller) -> None:
    made = caller.sdk.ml.create(project=7, url="self")

    updated = caller.sdk.ml.update(made.id, title="Renamed", project=7, url="self")
    caller.sdk.ml.train(made.id)
    versions = caller.sdk.ml.list_model_versions(made.id)

    assert updated.title == "Renamed"
    assert caller.sdk.ml.get(made.id).state == "TR"
    assert versions.versions == []


def test_both_prefixes_answer_alike_with_and_without_a_slash(caller) -> None:
    """N-001."""
    backend_id = caller.add(is_interactive=True)["id"]
    reads = ["?project=7", f"/{backend_id}", f"/{backend_id}/versions"]
    writes = [
        ("POST", "", {"project": 7, "url": "self"}),
        ("PATCH", f"/{backend_id}", {"title": "x"}),
        ("POST", f"/{backend_id}/interactive-annotating", {"task": 99}),
        ("POST", f"/{backend_id}/predict", None),
        ("POST", f"/{backend_id}/train", {}),
        ("DELETE", "/99", None),
    ]

    for path in reads:
        slashed = path.replace("?", "/?") if "?" in path else f"{path}/"
        answers = [caller.ask("GET", f"{root}{each}") for root in ("/api/ml", "/v1/api/ml") for each in (path, slashed)]
        assert {answer.status_code for answer in answers} == {200}
        assert all(answer.get_json() == answers[0].get_json() for answer in answers)
    for method, path, body in writes:
        answers = [
            caller.ask(method, f"{root}{path}{slash}", json=body)
            for root in ("/api/ml", "/v1/api/ml")
            for slash in ("", "/")
        ]
        assert len({answer.status_code for answer in answers}) == 1, path
        assert answers[0].status_code not in range(300, 400)


@pytest.mark.parametrize("scheme", ["Token ", "Token  ", "Bearer ", "bearer "])
def test_a_key_is_told_as_a_token_or_as_a_bearer(caller, client: FlaskClient, scheme: str) -> None:
    """N-002, S-009."""
    response = client.get("/api/ml", headers={"Authorization": scheme + caller.key})

    assert response.status_code == 200


@pytest.mark.parametrize("header", [None, "Token", "Token 0123456789abcdef0123456789abcdef01234567", "Basic YTpi"])
def test_without_a_key_the_error_has_label_studios_form(client: FlaskClient, header: str | None) -> None:
    """N-002."""
    response = client.get("/v1/api/ml", headers={"Authorization": header} if header else {})

    body = response.get_json()
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Token"
    assert re.fullmatch(r"[0-9a-f-]{36}", body.pop("id"))
    assert body.pop("request_id") == response.headers["X-Request-Id"]
    assert set(body) == {"status_code", "version", "detail", "exc_info", "code"}
    assert (body["status_code"], body["exc_info"], body["code"]) == (401, None, "UNAUTHENTICATED")


def test_what_is_made_has_every_field_and_the_defaults(caller) -> None:
    """N-003."""
    response = caller.ask("POST", "/v1/api/ml", json={"project": 1 + 6, "url": "self", "title": "x"})

    made = response.get_json()
    assert response.status_code == 201
    assert set(made) == FIELDS
    assert (made["state"], made["readable_state"], made["error_message"]) == ("CO", "Connected", None)
    assert (made["title"], made["description"], made["auth_method"], made["basic_auth_user"]) == ("x", "", "NONE", "")
    assert (made["is_interactive"], made["auto_update"], made["extra_params"], made["timeout"]) == (
        False,
        True,
        None,
        100.0,
    )
    assert made["basic_auth_pass_is_set"] is False
    assert made["model_version"] == "untrained"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", made["created_at"])


def test_a_project_has_a_backend_once(caller) -> None:
    caller.add()

    assert "url" in caller.wrong("POST", "/api/ml", json={"project": 7, "url": "self"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"project": 7}, "url"),
        ({"url": "self"}, "project"),
        ({"project": 8, "url": "self"}, "project"),
        ({"project": 7, "url": "self", "auth_method": "OTHER"}, "auth_method"),
        ({"project": 7, "url": "self", "title": "a\0b"}, "title"),
        ({"project": 7, "url": "self", "auth_method": "BASIC_AUTH"}, "non_field_errors"),
        ({"project": 7, "url": "self", "auth_method": "BASIC_AUTH", "basic_auth_user": "a"}, "non_field_errors"),
        ({"project": 7, "url": "ftp://gpu-box"}, "url"),
        ({"project": 7, "url": "http://"}, "url"),
        ({"project": 7, "url": "http://a:b@gpu-box"}, "url"),
        ({"project": 7, "url": "http://127.0.0.1:1"}, "url"),
    ],
)
def test_what_cannot_be_registered_is_named(caller, body: dict[str, object], field: str) -> None:
    """N-004."""
    assert list(caller.wrong("POST", "/api/ml", json=body)) == [field]


def test_a_form_is_as_good_as_json_but_leaves_boxes_unchecked(caller) -> None:
    made = caller.ok("POST", "/api/ml/", data={"project": "7", "url": "self", "extra_params": '{"a": 1}'})

    assert (made["auto_update"], made["is_interactive"], made["extra_params"]) == (False, False, {"a": 1})


def test_a_multipart_form_is_understood(caller) -> None:
    made = caller.ok(
        "POST", "/api/ml/", data={"project": "7", "url": "self", "title": "é"}, content_type="multipart/form-data"
    )

    assert made["title"] == "é"


def test_a_change_leaves_other_fields_as_they_are(caller) -> None:
    """N-006."""
    made = caller.add(title="first", description="kept")

    changed = caller.ok("PATCH", f"/api/ml/{made['id']}", json={"title": "second"})

    different = {name for name in FIELDS if made[name] != changed[name]}
    assert different == {"title", "updated_at"}


def test_a_version_that_is_said_answers_until_newer_ones_are_wanted_again(
    caller, services: Services, mirror: Mirror, tmp_path: Path
) -> None:
    """N-006."""
    old, new = (add_version(services, mirror.label_sets[0], tmp_path, sharpness=each) for each in (10.0, 20.0))
    backend_id = caller.add()["id"]

    pinned = caller.ok("PATCH", f"/api/ml/{backend_id}", json={"auto_update": False, "model_version": old.name})
    fixed = services.projects.get_label_set(mirror.label_sets[0].id)
    caller.ok("PATCH", f"/api/ml/{backend_id}", json={"auto_update": True})
    free = services.projects.get_label_set(mirror.label_sets[0].id)

    assert pinned["model_version"] == old.name
    assert (fixed.version_id, fixed.is_pinned) == (old.id, True)
    assert (free.version_id, free.is_pinned) == (old.id, False)
    assert new.id != old.id


def test_a_version_that_does_not_exist_cannot_be_pinned(caller) -> None:
    backend_id = caller.add()["id"]

    errors = caller.wrong("PATCH", f"/api/ml/{backend_id}", json={"auto_update": False, "model_version": "nothing"})

    assert list(errors) == ["model_version"]


def test_what_is_removed_is_gone(caller) -> None:
    """N-007."""
    path = f"/api/ml/{caller.add()['id']}"

    first, second = caller.ask("DELETE", path), caller.ask("DELETE", path)

    assert (first.status_code, first.data) == (204, b"")
    assert second.status_code == 404


def test_whoever_does_not_see_a_project_sees_none_of_its_backends(caller, stranger) -> None:
    backend_id = caller.add()["id"]

    assert stranger.ok("GET", "/api/ml") == []
    assert stranger.ask("GET", "/api/ml?project=7").status_code == 404
    assert list(stranger.wrong("POST", "/api/ml", json={"project": 7, "url": "self"})) == ["project"]
    for method, path in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/train"), ("GET", "/versions")]:
        assert stranger.ask(method, f"/api/ml/{backend_id}{path}", json={}).status_code == 404


def test_all_backends_are_listed_and_filtered(caller, fake_web: FakeWeb) -> None:
    caller.add(is_interactive=True)

    assert [each["is_interactive"] for each in caller.ok("GET", "/api/ml")] == [True]
    assert caller.ok("GET", "/api/ml?is_interactive=false") == []
    assert len(caller.ok("GET", "/api/ml?project=&is_interactive=true")) == 1


@pytest.mark.parametrize(
    "path", ["/api/ml/99", "/api/ml/x", "/v1/api/ml/x/versions", "/api/ml/1/nothing", "/api/ml/-1/versions"]
)
def test_what_is_not_there_is_said_in_json(caller, path: str) -> None:
    response = caller.ask("GET", path)

    assert (response.status_code, response.get_json()["code"]) == (404, "NOT_FOUND")


def test_put_is_no_method(caller) -> None:
    response = caller.ask("PUT", f"/api/ml/{caller.add()['id']}", json={})

    assert (response.status_code, response.get_json()["code"]) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("scopes", "method", "path", "needed"),
    [
        (["projects:read"], "GET", "", "backends:read"),
        (["backends:read"], "POST", "", "backends:write"),
        (["backends:write"], "POST", "/1/train", "training:write"),
        (["backends:write"], "POST", "/1/predict", "inference:run"),
        (["backends:write"], "POST", "/1/interactive-annotating", "inference:run"),
    ],
)
def test_a_key_does_what_its_scopes_say(make_caller: Callable, scopes, method: str, path: str, needed: str) -> None:
    response = make_caller(scopes=scopes).ask(method, f"/api/ml{path}", json={})

    assert response.status_code == 403
    assert needed in response.get_json()["detail"]


def test_every_answer_says_who_keeps_the_registry(caller, client: FlaskClient) -> None:
    answers = [
        caller.ask("GET", "/api/ml"),
        caller.ask("GET", "/api/ml/9"),
        caller.ask("PUT", "/v1/api/ml"),
        client.get("/api/ml/1/2"),
    ]

    assert {answer.headers["X-Backend-Mode"] for answer in answers} == {"native"}


# Training.


def test_a_training_shows_until_it_ends(caller, services: Services, mirror: Mirror) -> None:
    """N-009."""
    backend_id = caller.add()["id"]

    started = caller.ok("POST", f"/api/ml/{backend_id}/train", json={"use_ground_truth": False})
    during = caller.ok("GET", f"/api/ml/{backend_id}")
    services.training.advance()
    run = services.training.claim(started["job"], 1, state=RunState.RUNNING)
    services.training.end(run, RunState.COMPLETED)
    after = caller.ok("GET", f"/api/ml/{backend_id}")

    assert started == {"job": run.id, "training_id": f"trn_{run.id}", "status": "queued"}
    assert (during["state"], after["state"]) == ("TR", "CO")


def test_a_training_that_fails_is_an_error_until_the_next_one(caller, services: Services) -> None:
    """N-009."""
    backend_id = caller.add()["id"]
    run_id = caller.ok("POST", f"/api/ml/{backend_id}/train")["job"]
    services.training.advance()
    run = services.training.claim(run_id, 1, state=RunState.RUNNING)
    services.training.end(run, RunState.FAILED, error="the disk is full")

    failed = caller.ok("GET", f"/api/ml/{backend_id}")
    caller.ok("POST", f"/api/ml/{backend_id}/train")

    assert (failed["state"], failed["error_message"]) == ("ER", "the disk is full")
    assert caller.ok("GET", f"/api/ml/{backend_id}")["state"] == "TR"


def test_training_twice_is_training_once(caller) -> None:
    path = f"/api/ml/{caller.add()['id']}/train"

    assert caller.ok("POST", path) == caller.ok("POST", path)


# Versions.


def test_versions_are_listed_newest_first(caller, services: Services, mirror: Mirror, tmp_path: Path) -> None:
    """N-013."""
    made = [add_version(services, mirror.label_sets[0], tmp_path, sharpness=each) for each in (10.0, 20.0)]

    listed = caller.ok("GET", f"/api/ml/{caller.add()['id']}/versions")

    assert listed == {"versions": [made[1].name, made[0].name]}
