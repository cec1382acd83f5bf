"""MCP over standard input and output, for desktop clients: the same tools, done by a server elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import anyio
from anyio.to_thread import run_sync
from mcp.server.stdio import stdio_server

from adapters.mcp.calling import Caller, Result
from adapters.mcp.protocol import make_speaker
from adapters.mcp.tools import make_tools, select
from adapters.mcp.toolsets import read_toolsets
from adapters.operations import Api
from adapters.replies import Problem, Server, read
from adapters.verbs import Asked


def serve(
    server: Server, apis: Sequence[Api], *, toolsets: str = "core", headers: Mapping[str, str] | None = None
) -> None:
    """Answer messages until the input ends.

    Args:
        server: Who does what tools do.
        apis: What the tools are made of.
        toolsets: Names of groups, separated by commas.
        headers: Sent with every request; a key, unless the server has one of its own.

    Raises:
        Invalid: There is no such group.
    """
    headers = headers or {}
    tools = make_tools(apis, is_proxy=_is_proxy(server, headers))
    caller = Caller(select(tools, read_toolsets(toolsets)), None, server, headers)
    anyio.run(_serve, caller)


async def _serve(caller: Caller) -> None:
    async def perform(work: Callable[[], Result]) -> Result:
        return await run_sync(work)

    speaker = make_speaker(lambda _: caller, perform)
    async with stdio_server() as (incoming, outgoing):
        await speaker.run(incoming, outgoing, speaker.create_initialization_options())


def _is_proxy(server: Server, headers: Mapping[str, str]) -> bool:
    """Ask whether Label Studio itself answers its nine tools; whoever cannot say does not hinder the start."""
    try:
        said = read(server(Asked("GET", "/capabilities"), headers))
    except Problem:
        return False
    return bool(said["features"]["labelStudioProxy"])
