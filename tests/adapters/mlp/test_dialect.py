from __future__ import annotations

import gzip
import json
import re

import pytest
from flask.testing import FlaskClient


def test_whoever_has_a_key_is_told_who_they_are(agent) -> None:
    """M-001."""
    response = agent.ask("GET", "/me")

    body = response.get_json()
    assert body["ok"] is True
    assert body["data"]["authSource"] == "apiKey"
    assert body["data"]["email"] == agent.user.email
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", body["requestId"])
    assert body["requestId"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "UNAUTHENTICATED"),
        ("Basic YTpi", "UNAUTHENTICATED"),
        ("Bearer something", "UNAUTHENTICATED"),
        ("Bearer mlp_live_" + "a" * 24, "API_KEY_INVALID"),
        ("Bearer mlp_live_short", "API_KEY_INVALID"),
    ],
)
def test_whoever_has_no_key_is_told_what_is_missing(client: FlaskClient, header: str | None, code: str) -> None:
    """M-002."""
    response = client.get("/me", headers={"Authorization": header} if header else {})

    assert response.status_code == 401
    assert response.get_json()["error"]["code"] == code
    assert "/.well-known/oauth-protected-resource" in response.headers["WWW-Authenticate"]


def test_a_slash_at_the_end_is_answered_directly(agent) -> None:
    assert agent.ask("GET", "/me/").status_code == 200


def test_a_method_that_a_path_does_not_have_is_worded_as_everything_else(agent) -> None:
    assert agent.error("POST", "/me")[:2] == (405, "METHOD_NOT_ALLOWED")


def test_the_secret_is_in_no_answer_and_in_no_log(agent, caplog: pytest.LogCaptureFixture) -> None:
    """M-005."""
    answers = [agent.ask("GET", "/me").get_data(as_text=True), agent.ask("GET", "/nothing").get_data(as_text=True)]

    assert agent.key not in "".join(answers) + caplog.text


def test_a_body_that_is_no_json_is_told_apart_from_one_that_is_called_otherwise(agent) -> None:
    broken = agent.error("POST", "/projects", data="{", content_type="application/json")
    text = agent.error("POST", "/projects", data="{}", content_type="text/plain")

    assert broken[:2] == (400, "INVALID_JSON")
    assert text[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_gzip_body_is_understood(agent) -> None:
    body = gzip.compress(json.dumps({"name": "packed"}).encode())

    made = agent.ok(
        "POST", "/projects", data=body, content_type="application/json", headers={"Content-Encoding": "gzip"}
    )

    assert made["name"] == "packed"


def test_a_field_that_does_not_fit_is_named(agent) -> None:
    status, code, details = agent.error("POST", "/projects", json={"name": 5})

    assert (status, code) == (400, "VALIDATION_ERROR")
    assert list(details["fields"]) == ["name"]


def test_a_request_id_of_the_caller_is_adopted(agent) -> None:
    """S-005."""
    mine = agent.ask("GET", "/me", headers={"X-Request-Id": "mine-1"})
    bad = agent.ask("GET", "/me", headers={"X-Request-Id": "no spaces allowed"})

    assert mine.headers["X-Request-Id"] == mine.get_json()["requestId"] == "mine-1"
    assert bad.headers["X-Request-Id"] == bad.get_json()["requestId"] != "no spaces allowed"


def test_a_key_without_the_scope_is_told_which_one_is_missing(make_agent) -> None:
    reader = make_agent(scopes=["projects:read"])

    status, code, details = reader.error("POST", "/projects", json={"name": "x"})

    assert (status, code) == (403, "INSUFFICIENT_SCOPE")
    assert details == {"requiredScopes": ["projects:write"]}
