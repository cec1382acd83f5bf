"""The MCP endpoint of a real server with two web processes, and the official client."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import numpy as np
import pytest
import requests
from doubles import InlineQueue
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from processes import RunningServer

from adapters.mcp.tools import NINE
from backend.services import Services
from backend.settings import Settings

EACH_PROCESS = 8
"""So many connections, one after the other, reach both processes but for one time in 128."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path_factory.mktemp("mcp"), {"TANDEM_WEB_WORKERS": "2"})
    running.start()
    yield running
    running.stop()


def make_key(server: RunningServer, email: str) -> str:
    """Make somebody with a key, in the server's own database."""
    with closing(Services.build(Settings(home=server.home, device="cpu"), queue=InlineQueue())) as services:
        _, key = services.accounts.mint(services.accounts.create_user(email), "test")
    return key


def send(server: RunningServer, key: str, method: str, **params: Any) -> requests.Response:
    """Send a message of the era of `initialize` over a connection of its own."""
    return requests.post(
        f"{server.url}/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
        headers={"Authorization": f"Bearer {key}", "MCP-Protocol-Version": "2025-06-18"},
        timeout=60,
    )


def call(server: RunningServer, key: str, name: str, /, **arguments: Any) -> Any:
    return send(server, key, "tools/call", name=name, arguments=arguments).json()["result"]


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_official_client_speaks_with_both_processes(server: RunningServer, mode: Any, version: str) -> None:
    """N-015, N-016: in both eras; each message takes whatever process is free."""
    key = make_key(server, f"{mode}@example.com")

    async def talk() -> tuple[str, list[str], set[str]]:
        limits = httpx2.Limits(max_keepalive_connections=0)
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(headers=headers, limits=limits) as http,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=http), mode=mode) as client,
        ):
            names = [tool.name for tool in (await client.list_tools()).tools]
            said = [await client.call_tool("get-me", {}) for _ in range(EACH_PROCESS)]
            return client.protocol_version, names, {json.dumps(each.structured_content) for each in said}

    spoken, names, answers = asyncio.run(talk())

    assert spoken == version
    assert tuple(names[:9]) == NINE
    assert [json.loads(answer)["email"] for answer in answers] == [f"{mode}@example.com"]


def test_tools_and_http_share_a_bucket(server: RunningServer) -> None:
    """S-006: 100 calls over HTTP and 20 of tools exhaust it; lists cost nothing."""
    key = make_key(server, "busy@example.com")
    over_http = requests.Session()
    over_http.headers["Authorization"] = f"Bearer {key}"

    statuses = {over_http.get(f"{server.url}/me", timeout=10).status_code for _ in range(100)}
    for _ in range(3):
        assert send(server, key, "tools/list").status_code == 200
    errors = [call(server, key, "get-me")["isError"] for _ in range(20)]
    refused = 0
    while not refused:  # what came back meanwhile is used up first
        result = call(server, key, "get-me")
        refused = result["isError"]

    assert (statuses, set(errors)) == ({200}, {False})
    assert result["structuredContent"]["error"]["code"] == "RATE_LIMITED"
    assert result["structuredContent"]["error"]["details"]["retryAfterSeconds"] >= 1
    assert over_http.get(f"{server.url}/me", timeout=10).status_code == 429
    assert send(server, key, "tools/list").status_code == 200


def test_refusals_are_counted_by_address(server: RunningServer) -> None:
    """Whoever guesses keys has to wait; whoever has one does not, since both are counted apart."""
    statuses = [send(server, "mlp_live_000000000000000000000000", "tools/list").status_code for _ in range(135)]

    assert set(statuses) == {401, 429}
    assert statuses[:100] == [401] * 100
    assert send(server, make_key(server, "calm@example.com"), "tools/list").status_code == 200


def test_a_revoked_key_is_refused_by_both_processes(server: RunningServer) -> None:
    """N-019."""
    key = make_key(server, "gone@example.com")
    for _ in range(EACH_PROCESS):
        assert send(server, key, "tools/list").status_code == 200

    call(server, key, "revoke-key", keyId=call(server, key, "list-keys")["structuredContent"]["items"][0]["id"])

    for _ in range(EACH_PROCESS):
        assert send(server, key, "tools/list").status_code in (401, 429)


def test_a_key_among_the_arguments_is_in_no_log(server: RunningServer) -> None:
    """N-020."""
    mine, other = make_key(server, "mine@example.com"), make_key(server, "other@example.com")

    said = call(server, mine, "get-me", Authorization=f"Bearer {other}")

    assert said["structuredContent"]["email"] == "other@example.com"
    assert "mcp.message" in server.log
    for key in (mine, other):
        assert key not in server.log
        assert key not in json.dumps(said)


def test_a_large_image_is_uploaded(server: RunningServer) -> None:
    """N-025: 60 MB of Base64."""
    key = make_key(server, "large@example.com")
    project = call(server, key, "create-project", **{"name": "large"})["structuredContent"]["id"]
    pixels = np.random.default_rng(0).integers(0, 256, (3900, 3900, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    encoded = base64.b64encode(file.getvalue()).decode()
    assert len(encoded) > 60e6

    uploaded = call(server, key, "upload-images", projectId=project, images=[{"base64": encoded, "filename": "a.png"}])

    assert uploaded["structuredContent"]["images"][0]["width"] == 3900


def test_a_body_that_is_too_large_is_refused(server: RunningServer) -> None:
    """N-025: over 100 MB."""
    key = make_key(server, "larger@example.com")
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 104857601\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode() + b" " * 65536)
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413")
