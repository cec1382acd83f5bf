"""People with keys, and what they call /api/ml with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from agent_projects import make_label_set
from doubles import InlineQueue
from flask.testing import FlaskClient
from label_studio_sdk import LabelStudio
from werkzeug.test import TestResponse

from backend.projects.service import LabelSet
from backend.services import Services
from backend.settings import Settings

BASE_URL = "http://tandem.test"


class Caller:
    """A program with a key. Its answers are Werkzeug's; `sdk` is Label Studio's own client."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self.client = client
        self.key = key

    @property
    def sdk(self) -> LabelStudio:
        transport = httpx.WSGITransport(self.client.application)
        return LabelStudio(base_url=BASE_URL, api_key=self.key, httpx_client=httpx.Client(transport=transport))

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Token {self.key}", **options.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **options)

    def ok(self, method: str, path: str, **options: Any) -> Any:
        response = self.ask(method, path, **options)
        assert 200 <= response.status_code < 300, response.get_data(as_text=True)
        return response.get_json() if response.data else None

    def add(self, **fields: Any) -> Any:
        """Register this server as a backend, or what the fields say."""
        return self.ok("POST", "/api/ml", json={"project": 7, "url": "self", **fields})

    def wrong(self, method: str, path: str, **options: Any) -> dict[str, list[str]]:
        """Return what a request that must be refused does wrong."""
        response = self.ask(method, path, **options)
        assert response.status_code == 400, response.get_data(as_text=True)
        errors: dict[str, list[str]] = response.get_json()["validation_errors"]
        return errors


@pytest.fixture
def make_caller(client: FlaskClient, services: Services) -> Callable[..., Caller]:
    """Make a person, by default with a workspace of their own, and a key."""

    def make(email: str = "ann@example.com", **minted: Any) -> Caller:
        user = services.accounts.find_user(email) or services.accounts.create_user(email)
        _, key = services.accounts.mint(user, "test", **minted)
        return Caller(client, key)

    return make


@pytest.fixture
def caller(make_caller: Callable[..., Caller]) -> Caller:
    return make_caller()


@pytest.fixture
def stranger(make_caller: Callable[..., Caller], caller: Caller) -> Caller:
    """Somebody who shares nothing with `caller`."""
    return make_caller("bob@example.com")


@pytest.fixture
def label_set(caller: Caller, services: Services) -> LabelSet:
    """Of a project that an agent made here."""
    [workspace_id] = services.accounts.authenticate(caller.key).workspace_ids
    return make_label_set(services, workspace_id)


@pytest.fixture
def work(
    services: Services, queue: InlineQueue, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Be clock and worker until nothing waits."""
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))

    def until_nothing_waits() -> None:
        services.prediction_jobs.advance()
        while queue.jobs:
            queue.run_all()
            services.prediction_jobs.advance()

    return until_nothing_waits
