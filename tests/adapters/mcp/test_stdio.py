"""MCP over standard input and output, as desktop clients start it, with the official client."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from adapters.mcp.tools import NINE

# A server that knows one key, and tells what it was asked; no process but this one is needed.
PROGRAM = """
import json
from adapters.mcp.stdio import serve
from adapters.replies import Problem, Reply
from adapters.web import SPOKEN

def server(asked, headers):
    if asked.target == "/capabilities":
        raise Problem("SERVICE_UNAVAILABLE", "down", 503)
    if asked.method == "POST":
        raise Problem("CONFLICT", "No.", 409, "request-1")
    said = {"method": asked.method, "target": asked.target, "headers": dict(headers)}
    return Reply(200, {"content-type": "application/json"}, json.dumps(said).encode())

serve(server, SPOKEN, headers={"X-Key": "mine"})
"""


def talk(*calls: tuple[str, dict[str, Any]], program: str = PROGRAM) -> tuple[list[str], list[Any]]:
    """Return the names of the tools, and the results of some calls."""

    async def session() -> tuple[list[str], list[Any]]:
        started = StdioServerParameters(command=sys.executable, args=["-c", program])
        async with Client(stdio_client(started)) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            return names, [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(session())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the client's pipes
def test_the_same_tools_are_done_by_a_server_elsewhere() -> None:
    names, [shown, refused] = talk(
        ("export-annotations", {"labelSetId": "lbs_1", "format": "coco"}), ("create-project", {"name": "x"})
    )

    assert tuple(names[:9]) == NINE
    assert shown.structured_content == {
        "method": "GET",
        "target": "/label-sets/lbs_1/annotations/export?format=coco",
        "headers": {"X-Key": "mine"},
    }
    assert refused.is_error
    assert refused.structured_content == {
        "ok": False,
        "error": {"code": "CONFLICT", "message": "No.", "details": {}},
        "status": 409,
        "requestId": "request-1",
    }
