"""Fixtures for tests of the mlp API: people with keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.accounts.service import User
from backend.services import Services


class Agent:
    """A program with one person's key. Its answers are Werkzeug's; `ok` returns the `data` of one that must succeed."""

    def __init__(self, client: FlaskClient, user: User, key: str) -> None:
        self.client = client
        self.user = user
        self.key = key

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **options)

    def ok(self, method: str, path: str, **options: Any) -> Any:
        response = self.ask(method, path, **options)
        assert 200 <= response.status_code < 300, response.get_data(as_text=True)
        if response.status_code == 204:
            return None
        body = response.get_json()
        assert body["ok"] is True
        assert body["requestId"] == response.headers["X-Request-Id"]
        return body["data"]

    def error(self, method: str, path: str, **options: Any) -> tuple[int, str, dict[str, Any]]:
        """Return the status, the code and the details of an answer that must be an error."""
        response = self.ask(method, path, **options)
        body = response.get_json()
        assert body["ok"] is False, body
        return response.status_code, body["error"]["code"], body["error"]["details"]


@pytest.fixture
def make_agent(client: FlaskClient, services: Services) -> Callable[..., Agent]:
    """Make a person, by default with a workspace of their own, and a key."""

    def make(email: str = "ann@example.com", **minted: Any) -> Agent:
        user = services.accounts.find_user(email) or services.accounts.create_user(email)
        _, key = services.accounts.mint(user, "test", **minted)
        return Agent(client, user, key)

    return make


@pytest.fixture
def agent(make_agent: Callable[..., Agent]) -> Agent:
    return make_agent()


@pytest.fixture
def stranger(make_agent: Callable[..., Agent], agent: Agent) -> Agent:
    """Somebody who shares nothing with `agent`."""
    return make_agent("bob@example.com")
