"""That a model can be fetched by whoever was handed its address, for as long as the one who asked for it may see it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from belongings import make_belongings
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.accounts.service import ApiKey
from backend.projects.service import Project
from backend.runs import links
from backend.services import Services
from backend.storage.columns import utc_now


@pytest.fixture
def ids(services: Services, agent: Any, tmp_path: Path) -> dict[str, str]:
    return make_belongings(services, agent.user, tmp_path)


@pytest.fixture
def training(ids: dict[str, str]) -> str:
    return f"/training/{ids['training_id']}"


@pytest.fixture
def fetch(client: FlaskClient) -> Callable[..., TestResponse]:
    """Download without a key, and close the file."""

    def do(url: str, **headers: str) -> TestResponse:
        return client.get(url.removeprefix("http://localhost"), headers=headers, buffered=True)

    return do


@pytest.mark.parametrize("form", ["onnx", "pth"])
def test_a_link_leads_to_the_file_that_it_describes(
    agent: Any, training: str, fetch: Callable[..., TestResponse], form: str
) -> None:
    """Row 29 of agent-surface.md §9: a signed URL, size and digest."""
    link = agent.ok("GET", f"{training}/download-link?format={form}")

    file = fetch(link["url"])

    assert file.status_code == 200
    assert link["url"].startswith(f"http://localhost{training}/download?format={form}&sig=")
    assert link["format"] == form
    assert link["bytes"] == len(file.data)
    assert link["sha256"] == hashlib.sha256(file.data).hexdigest()
    assert file.headers["Content-Disposition"] == f"attachment; filename={link['filename']}"
    assert file.data == agent.ask("GET", f"{training}/download?format={form}", buffered=True).data


def test_a_broken_download_by_link_is_continued(agent: Any, training: str, fetch: Callable[..., TestResponse]) -> None:
    url = agent.ok("GET", f"{training}/download-link")["url"]
    whole = fetch(url).data

    rest = fetch(url, Range="bytes=100-")

    assert (rest.status_code, rest.data) == (206, whole[100:])


def test_an_altered_link_opens_nothing(
    agent: Any, ids: dict[str, str], training: str, fetch: Callable[..., TestResponse]
) -> None:
    url = agent.ok("GET", f"{training}/download-link?format=onnx")["url"]
    path, _, signature = url.partition("&sig=")
    expiry, rest = signature.split(".", 1)

    wrong = [
        f"{path}&sig={int(expiry) + 3600}.{rest}",
        f"{path}&sig={signature[:-1]}",
        f"{path}&sig=",
        f"{path}&sig=...",
        f"{path}&sig=é",
        url.replace("format=onnx", "format=pth"),
        url.replace(ids["training_id"], "trn_" + "0" * 26),
    ]

    assert [fetch(each).get_json()["error"]["code"] for each in wrong] == ["NOT_FOUND"] * len(wrong)


def test_a_link_expires(
    agent: Any, training: str, fetch: Callable[..., TestResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = agent.ok("GET", f"{training}/download-link")
    monkeypatch.setattr(links, "utc_now", lambda: utc_now() + links.LINK_LIFE)

    assert fetch(link["url"]).status_code == 404


def test_a_link_is_no_key_to_anything_else(agent: Any, training: str, fetch: Callable[..., TestResponse]) -> None:
    signature = agent.ok("GET", f"{training}/download-link")["url"].partition("&sig=")[2]

    assert fetch(f"{training}?sig={signature}").status_code == 401
    assert fetch(f"{training}/download-link?sig={signature}").status_code == 401


def test_a_link_ends_with_the_key_that_asked_for_it(
    agent: Any, services: Services, training: str, fetch: Callable[..., TestResponse]
) -> None:
    url = agent.ok("GET", f"{training}/download-link")["url"]
    key_id = agent.ok("GET", "/me")["keyId"].removeprefix("key_")

    services.accounts.revoke(services.accounts.local(agent.user), key_id)

    assert fetch(url).status_code == 404


def test_a_link_ends_when_its_key_expires(
    agent: Any, services: Services, training: str, fetch: Callable[..., TestResponse]
) -> None:
    url = agent.ok("GET", f"{training}/download-link")["url"]
    key_id = agent.ok("GET", "/me")["keyId"].removeprefix("key_")
    with services.database.transaction() as session:
        session.get_one(ApiKey, key_id).expires_at = utc_now() - timedelta(seconds=1)

    assert fetch(url).status_code == 404


def test_a_link_ends_when_its_owner_is_no_member_any_more(
    make_agent: Any, stranger: Any, ids: dict[str, str], training: str, fetch: Callable[..., TestResponse]
) -> None:
    agent = make_agent(scopes=["team:write"])
    member = f"/workspaces/{ids['workspace_id']}/members"
    agent.ok("POST", member, json={"email": stranger.user.email})
    url = stranger.ok("GET", f"{training}/download-link")["url"]
    before = fetch(url).status_code

    agent.ok("DELETE", f"{member}/u_{stranger.user.id}")

    assert (before, fetch(url).status_code) == (200, 404)


def test_a_link_ends_when_the_model_goes_to_another_workspace(
    agent: Any,
    services: Services,
    stranger: Any,
    ids: dict[str, str],
    training: str,
    fetch: Callable[..., TestResponse],
) -> None:
    url = agent.ok("GET", f"{training}/download-link")["url"]
    with services.database.transaction() as session:
        project = session.get_one(Project, ids["project_id"].removeprefix("prj_"))
        project.workspace_id = services.accounts.local(stranger.user).workspace_ids[0]

    assert fetch(url).status_code == 404


def test_a_link_to_what_was_deleted_leads_nowhere(
    agent: Any, ids: dict[str, str], training: str, fetch: Callable[..., TestResponse]
) -> None:
    url = agent.ok("GET", f"{training}/download-link")["url"]

    agent.ok("DELETE", f"/projects/{ids['project_id']}")

    assert fetch(url).status_code == 404


def test_there_is_no_link_to_what_one_may_not_see(stranger: Any, training: str) -> None:
    foreign = stranger.error("GET", f"{training}/download-link")
    unknown = stranger.error("GET", f"/training/trn_{'0' * 26}/download-link")

    assert foreign == unknown
    assert foreign[:2] == (404, "NOT_FOUND")


def test_a_link_to_a_model_needs_the_scope_of_models(make_agent: Any, agent: Any, training: str) -> None:
    narrow = make_agent(scopes=["training:read"])

    assert narrow.error("GET", f"{training}/download-link")[:2] == (403, "INSUFFICIENT_SCOPE")
