"""What all agents' APIs have in common (agent-surface.md §12)."""

from __future__ import annotations

import io
import logging
from uuid import UUID

import pytest
from builders import setup_body
from flask.testing import FlaskClient

from adapters.web import create_app
from backend.services import Services
from backend.settings import Settings

UNKNOWN = "01jd3z6t9q4m8w2v5x7b1c0n3k"


def test_a_body_that_is_declared_too_large_is_refused_unread(agent) -> None:
    """M-008: nothing is read, so nothing is held."""

    class Unreadable(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("it was read")

    told = agent.ask(
        "POST",
        "/projects",
        input_stream=Unreadable(),
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "104857601"},
    )

    assert told.status_code == 413
    assert told.get_json()["error"]["code"] == "PAYLOAD_TOO_LARGE"
    assert told.get_json()["error"]["details"] == {"limitBytes": 104857600}


def test_the_same_failure_has_the_same_code_in_every_dialect(agent) -> None:
    """S-004."""
    status, code, _ = agent.error("GET", f"/training/trn_{UNKNOWN}")
    of_label_studio = agent.ask("GET", "/api/ml/999999")

    assert (status, code) == (404, "NOT_FOUND")
    assert (of_label_studio.status_code, of_label_studio.get_json()["code"]) == (404, "NOT_FOUND")
    assert of_label_studio.get_json()["status_code"] == 404


def test_label_studio_needs_no_key_and_is_not_counted(client: FlaskClient) -> None:
    """S-007."""
    for _ in range(130):
        answers = [client.get("/health"), client.post("/setup", json=setup_body())]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert all("RateLimit" not in answer.headers for answer in answers)


def test_an_id_may_be_spelt_as_a_uuid(agent) -> None:
    """S-010: the same 128 bits."""
    project = agent.ok("POST", "/projects", json={"name": "spelt"})
    bare = project["id"].removeprefix("prj_")
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    as_uuid = UUID(int=sum(digits.index(c) << 5 * n for n, c in enumerate(reversed(bare))))

    for spelt in (str(as_uuid), as_uuid.hex, bare, bare.upper(), project["id"]):
        assert agent.ok("GET", f"/projects/{spelt}")["id"] == project["id"]


def test_no_secret_is_in_a_log_line_or_an_error(
    settings: Settings, services: Services, agent, caplog: pytest.LogCaptureFixture
) -> None:
    """S-015."""
    caplog.set_level(logging.DEBUG)
    secrets = {"basic_auth_pass": "hush-hush", "webhook_token": "whisper", "label_studio_api_key": "mumble"}
    locked = create_app(Settings(home=settings.home, device="cpu", **secrets), services).test_client()

    said = [
        locked.get("/health", headers={"Authorization": "Basic aHVzaC1odXNo"}),
        locked.post("/webhook?token=whisper", json={}),
        locked.get("/me", headers={"Authorization": f"Bearer {agent.key}"}),
        locked.get("/projects", headers={"Authorization": f"Bearer {agent.key}x"}),
        locked.post("/projects", data="{", headers={"Authorization": f"Bearer {agent.key}"}),
    ]

    everything = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    everything += "".join(answer.get_data(as_text=True) for answer in said)
    assert not [secret for secret in (*secrets.values(), agent.key) if secret in everything]


def test_the_server_needs_no_setting_but_where_things_are(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-016: PORT, DATABASE_URL and REDIS_URL, nothing else; no network and no GPU."""
    monkeypatch.setenv("PORT", "9090")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{settings.home / 'tandem.sqlite3'}")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("XDG_DATA_HOME", str(settings.home))

    client = create_app().test_client()

    for path in ("/health", "/agents.md", "/openapi.json", "/llms.txt"):
        assert client.get(path).status_code == 200
    assert client.get("/me").status_code == 401
