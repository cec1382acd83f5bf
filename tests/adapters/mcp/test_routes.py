"""What MCP is on the wire, and who may speak it (naftiko.md §5, §8)."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from mcp_types import version as versions

from adapters.mcp.tools import NINE
from backend.errors import Invalid
from backend.services import Services

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
LEGACY = ["2025-11-25", "2025-06-18", "2025-03-26"]


def problem(response: Any) -> tuple[int, int]:
    return response.status_code, response.get_json()["error"]["code"]


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.get_json()["error"]["data"]["error"]["code"]


def test_a_process_that_nobody_speaks_mcp_with_does_not_load_the_sdk() -> None:
    """It takes half a second, and tens of megabytes."""
    code = "import adapters.web, adapters.cli.main, sys; print({'mcp', 'mcp_types', 'anyio'} & sys.modules.keys())"

    said = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, timeout=60, check=True)

    assert said.stdout.strip() == "set()"


# The modern era.


def test_a_client_finds_out_what_there_is(talker) -> None:
    """N-015: and how long that is true."""
    found = talker.result("server/discover")

    assert found["supportedVersions"] == ["2026-07-28"]
    assert found["capabilities"] == {"tools": {"listChanged": False}}
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "tandem"
    assert "get-agent-guide" in found["instructions"]
    assert (found["ttlMs"], found["cacheScope"], found["resultType"]) == (300_000, "private", "complete")


def test_tools_are_listed_in_the_same_order_every_time(talker) -> None:
    """N-015, N-017."""
    first, again = (talker.result("tools/list") for _ in range(2))

    assert first == again
    assert [tool["name"] for tool in first["tools"]][:9] == list(NINE)
    assert (first["ttlMs"], first["cacheScope"], first["resultType"]) == (300_000, "private", "complete")


def test_a_tool_is_called(talker) -> None:
    """N-015, N-018: the object is that of HTTP, and a text says the same."""
    result = talker.call("get-me")

    assert result["structuredContent"] == talker.http("GET", "/me")
    assert result["isError"] is False
    title, _, written = result["content"][0]["text"].partition("\n")
    assert title == "Get me: done."
    assert json.loads(written) == result["structuredContent"]


@pytest.mark.parametrize(
    ("method", "changed", "expected"),
    [
        ("tools/list", {"headers": {"Mcp-Method": None}}, (400, -32020)),
        ("tools/call", {"headers": {"Mcp-Name": "get-usage"}}, (400, -32020)),
        ("tools/call", {"headers": {"Mcp-Name": None}}, (400, -32020)),
        ("tools/list", {"meta": {}}, (400, -32602)),
        ("tools/guess", {}, (404, -32601)),
    ],
    ids=["no method header", "another name", "no name header", "no _meta", "unknown method"],
)
def test_wrong_requests_are_refused_as_the_specification_says(
    talker, method: str, changed: dict[str, Any], expected: tuple[int, int]
) -> None:
    """N-015."""
    assert problem(talker.send(method, {"name": "get-me", "arguments": {}}, **changed)) == expected


def test_an_unknown_version_is_told_which_are_known(talker) -> None:
    """N-015."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2030-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    }

    response = talker.send("tools/list", headers={"MCP-Protocol-Version": "2030-01-01"}, meta=meta)

    assert problem(response) == (400, -32022)
    assert response.get_json()["error"]["data"] == {
        "supported": list(versions.MODERN_PROTOCOL_VERSIONS),
        "requested": "2030-01-01",
    }


def test_an_unknown_tool_is_refused(talker) -> None:
    assert problem(talker.send("tools/call", {"name": "make-coffee"})) == (400, -32602)


def test_a_client_that_forgets_to_accept_is_forgiven(talker) -> None:
    assert talker.send("tools/list", headers={"Accept": None}).status_code == 200


# The era before.


@pytest.mark.parametrize("version", LEGACY)
def test_older_clients_are_served_by_any_process(talker, make_client: Callable[..., FlaskClient], version: str) -> None:
    """N-016: two processes take turns, and neither needs to know of the other."""
    clients = [talker.client, make_client()]

    def ask(method: str, params: dict[str, Any] | None = None, *, said: str | None = version) -> Any:
        clients.reverse()
        talker.client = clients[0]
        response = talker.legacy(method, params, version=said)
        assert response.status_code == 200
        return response.get_json()["result"]

    hello = ask("initialize", {**HELLO, "protocolVersion": version}, said=None)
    listed = ask("tools/list")
    called = ask("tools/call", {"name": "get-me", "arguments": {}})

    assert hello["protocolVersion"] == version
    assert [tool["name"] for tool in listed["tools"]][:9] == list(NINE)
    assert called["structuredContent"] == talker.http("GET", "/me")


# Where it is.


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/", "/mcp?toolsets=all"])
def test_the_endpoint_has_several_addresses(make_talker, path: str) -> None:
    """N-023: none of them answers with a redirect."""
    assert make_talker(path=path).ok("get-me")["email"] == "ann@example.com"


def test_the_root_still_says_how_the_server_is(client: FlaskClient) -> None:
    """N-023."""
    assert client.get("/").get_json()["status"] == "UP"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_there_are_neither_streams_nor_sessions(client: FlaskClient, method: str) -> None:
    response = client.open("/mcp", method=method)

    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]


# Which tools.


def test_a_client_chooses_toolsets_by_its_address(make_talker) -> None:
    """S-019: the nine are always there."""
    assert make_talker(path="/mcp?toolsets=core").names() == make_talker(path="/mcp?toolsets=all").names()
    assert make_talker(path="/mcp?toolsets=runs").names() == list(NINE)


def test_the_setting_chooses_for_those_who_do_not(make_talker, make_client: Callable[..., FlaskClient]) -> None:
    """S-019."""
    few = make_talker()
    few.client = make_client(mcp_toolsets="ops")

    assert few.names() == list(NINE)
    with pytest.raises(Invalid, match="no toolset 'everything'"):
        make_client(mcp_toolsets="everything")


def test_an_unknown_toolset_is_an_error(make_talker) -> None:
    response = make_talker(path="/mcp?toolsets=core,nuclear").send("tools/list")

    assert refusal(response) == (400, "VALIDATION_ERROR")
    assert "there are core, runs, collab, ops, all" in response.get_json()["error"]["message"]


def test_only_tools_that_a_key_may_use_are_listed(make_talker) -> None:
    """N-017: but for the nine."""
    names = make_talker(scopes=["projects:read"]).names()

    assert names[:9] == list(NINE)
    assert {"get-me", "list-projects", "view-image", "get-agent-guide"} <= set(names)
    assert not {"create-project", "start-training", "create-workspace"} & set(names)


# Who may.


def test_a_revoked_key_is_refused(talker, services: Services) -> None:
    """N-019: with HTTP's own status, and told where keys come from."""
    key_id = talker.ok("list-keys")["items"][0]["id"]
    talker.call("revoke-key", keyId=key_id)

    response = talker.send("tools/call", {"name": "get-me", "arguments": {}})

    assert refusal(response) == (401, "API_KEY_INVALID")
    assert response.headers["WWW-Authenticate"] == (
        'Bearer resource_metadata="http://localhost/.well-known/oauth-protected-resource/mcp"'
    )


def test_the_resource_says_where_keys_go(client: FlaskClient) -> None:
    told = client.get("/.well-known/oauth-protected-resource/mcp").get_json()

    assert told["resource"] == "http://localhost/mcp"
    assert told["bearer_methods_supported"] == ["header"]


def test_a_key_that_may_not_gets_a_result_that_says_so(make_talker) -> None:
    """N-019."""
    caller = make_talker(scopes=["projects:read"])

    assert caller.error("create-project", **{"name": "x"}) == (
        403,
        "INSUFFICIENT_SCOPE",
        {"requiredScopes": ["projects:write"]},
    )
    assert caller.error("train", id=1)[1] == "INSUFFICIENT_SCOPE"


@pytest.mark.parametrize("authorization", ["Bearer mlp_live_no", "Token {key}", "Basic YTpi", "Bearer", ""])
def test_only_keys_open_the_door(talker, authorization: str) -> None:
    response = talker.send("tools/list", headers={"Authorization": authorization.format(key=talker.key)})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer resource_metadata=")


def test_without_a_key_one_may_only_ask_what_there_is(talker) -> None:
    key, talker.key = talker.key, ""

    assert talker.result("server/discover")["supportedVersions"]
    assert refusal(talker.send("tools/list")) == (401, "UNAUTHENTICATED")
    assert refusal(talker.send("tools/call", {"name": "get-me", "arguments": {"Authorization": f"Bearer {key}"}})) == (
        401,
        "UNAUTHENTICATED",
    )
    assert talker.legacy("initialize", HELLO, version=None).status_code == 401


def test_a_key_in_the_address_is_refused(talker) -> None:
    key, talker.key = talker.key, ""
    for name in ("token", "access_token", "api_key", "Authorization"):
        talker.path = f"/mcp?{name}={key}"
        assert talker.send("tools/list").status_code == 401


# From where.


def test_any_name_of_the_server_will_do_unless_some_are_set(talker) -> None:
    assert talker.send("tools/list", headers={"Host": "gpu-box:9090"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("gpu-box:9090", 200),
        ("GPU-box", 200),
        ("lab.example.com:8443", 200),
        ("lab.example.com:9090", 421),
        ("evil.example.com", 421),
        ("localhost:9090", 200),
        ("127.0.0.1:9090", 200),
        ("[::1]:9090", 200),
    ],
)
def test_only_the_names_that_are_set_are_answered(
    talker, make_client: Callable[..., FlaskClient], host: str, status: int
) -> None:
    """N-022: and loopback."""
    talker.client = make_client(mcp_allowed_hosts="gpu-box, lab.example.com:8443")

    assert talker.send("tools/list", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://gpu-box:9090", 200),
        ("https://pages.example.com", 200),
        ("https://mcp.example.com", 200),
        ("http://gpu-box:8080", 403),
        ("https://evil.example.com", 403),
        ("null", 403),
        (None, 200),
    ],
)
def test_only_pages_of_some_origins_may_ask(
    talker, make_client: Callable[..., FlaskClient], origin: str | None, status: int
) -> None:
    """N-022: those of the server itself, and those that are set."""
    talker.client = make_client(cors_origins="https://pages.example.com", mcp_allowed_origins="https://mcp.example.com")

    assert talker.send("tools/list", headers={"Host": "gpu-box:9090", "Origin": origin}).status_code == status


def test_a_page_on_this_machine_may_ask_a_server_on_this_machine(talker) -> None:
    headers = {"Host": "127.0.0.1:9090", "Origin": "http://localhost:6274"}

    assert talker.send("tools/list", headers=headers).status_code == 200


@pytest.mark.parametrize("origin", ["https://pages.example.com", "https://mcp.example.com"])
def test_a_browser_is_told_which_headers_a_page_may_send(make_client: Callable[..., FlaskClient], origin: str) -> None:
    client = make_client(cors_origins="https://pages.example.com", mcp_allowed_origins="https://mcp.example.com")

    response = client.options("/mcp", headers={"Origin": origin})

    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert {"Authorization", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"} <= set(
        response.headers["Access-Control-Allow-Headers"].split(", ")
    )


# How much.


def test_a_body_that_is_declared_too_large_is_refused_unread(talker) -> None:
    """N-025."""
    told = talker.client.post(
        "/mcp",
        headers={"Authorization": f"Bearer {talker.key}"},
        content_type="application/json",
        input_stream=io.BytesIO(b"{}"),
        environ_overrides={"CONTENT_LENGTH": "104857601"},
    )

    assert refusal(told) == (413, "PAYLOAD_TOO_LARGE")


def test_bodies_are_compressed_in_both_directions(talker) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {
        "Authorization": f"Bearer {talker.key}",
        "MCP-Protocol-Version": "2025-06-18",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "Accept-Encoding": "gzip",
    }

    told = talker.client.post("/mcp", data=gzip.compress(json.dumps(message).encode()), headers=headers)

    assert told.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(told.data))["result"]["tools"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"jsonrpc": "2.0"}', b"[" * 100_000])
def test_what_is_no_message_is_refused(talker, body: bytes) -> None:
    for version in ("2026-07-28", "2025-06-18"):
        response = talker.client.post(
            "/",
            data=body,
            headers={
                "Authorization": f"Bearer {talker.key}",
                "MCP-Protocol-Version": version,
                "Content-Type": "application/json",
            },
        )
        assert response.status_code == 400


def test_the_id_of_a_request_is_that_of_what_it_comes_to(talker) -> None:
    """S-005."""
    response = talker.send(
        "tools/call", {"name": "get-project", "arguments": {"projectId": "no"}}, headers={"X-Request-Id": "mine-1"}
    )

    assert response.headers["X-Request-Id"] == "mine-1"
    assert response.get_json()["result"]["structuredContent"]["requestId"] == "mine-1"
