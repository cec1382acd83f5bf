"""Fixtures for tests of the MCP server: programs that speak the protocol as it is on the wire."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.services import Services

MODERN = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}


class Talker:
    """An MCP client with one key, or with none. It speaks the modern era unless `legacy` is asked."""

    def __init__(self, client: FlaskClient, key: str = "", *, path: str = "/mcp") -> None:
        self.client = client
        self.key = key
        self.path = path
        self._ids = count(1)

    def send(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        headers: dict[str, str | None] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> TestResponse:
        """Send a message with some headers, None leaves one out, and with `meta` in place of what belongs there."""
        params = {**(params or {}), **({"_meta": _META if meta is None else meta} if meta != {} else {})}
        said = {
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": method,
            "Mcp-Name": params.get("name"),
            "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {self.key}" if self.key else None,
            **(headers or {}),
        }
        return self._post({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}, said)

    def legacy(self, method: str, params: dict[str, Any] | None = None, *, version: str | None) -> TestResponse:
        """Send a message of the era of `initialize`."""
        headers = {
            "MCP-Protocol-Version": version,
            "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {self.key}" if self.key else None,
        }
        return self._post({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params or {}}, headers)

    def result(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """Return the result of a message that must have one."""
        response = self.send(method, params)
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.get_json()["result"]

    def http(self, method: str, path: str, **options: Any) -> Any:
        """Return the body of the answer to the same key over HTTP, without its envelope."""
        response = self.client.open(path, method=method, headers={"Authorization": f"Bearer {self.key}"}, **options)
        assert response.status_code < 300, response.get_data(as_text=True)
        body = response.get_json() if response.data else None
        return body["data"] if isinstance(body, dict) and "requestId" in body else body

    def tools(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.result("tools/list")["tools"]
        return listed

    def names(self) -> list[str]:
        return [tool["name"] for tool in self.tools()]

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Return the result of a call, whatever it is."""
        return self.result("tools/call", {"name": name, "arguments": arguments})

    def ok(self, name: str, /, **arguments: Any) -> Any:
        """Return the object of a call that must succeed."""
        result = self.call(name, **arguments)
        assert not result["isError"], result
        assert result["content"][0]["type"] == "text"
        return result["structuredContent"]

    def error(self, name: str, /, **arguments: Any) -> tuple[int, str, dict[str, Any]]:
        """Return status, code and details of a call that must be refused."""
        result = self.call(name, **arguments)
        assert result["isError"], result
        problem = result["structuredContent"]
        assert problem["ok"] is False
        assert problem["error"]["message"] in result["content"][0]["text"]
        return problem["status"], problem["error"]["code"], problem["error"]["details"]

    def _post(self, message: object, headers: dict[str, Any]) -> TestResponse:
        said = {name: value for name, value in headers.items() if value is not None}
        return self.client.post(self.path, json=message, headers=said)


@pytest.fixture
def make_talker(client: FlaskClient, services: Services) -> Callable[..., Talker]:
    """Make a person, by default with a workspace of their own, and an MCP client with their key."""

    def make(email: str = "ann@example.com", *, path: str = "/mcp", **minted: Any) -> Talker:
        user = services.accounts.find_user(email) or services.accounts.create_user(email)
        _, key = services.accounts.mint(user, "test", **minted)
        return Talker(client, key, path=path)

    return make


@pytest.fixture
def talker(make_talker: Callable[..., Talker]) -> Talker:
    return make_talker()
