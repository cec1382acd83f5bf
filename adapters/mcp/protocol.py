"""The protocol: our tools on the official SDK, which knows the messages of both eras (2026-07-28 and before)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.metadata import version
from typing import Any

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server as Speaker
from mcp.shared.exceptions import MCPError

from adapters.mcp.calling import Caller, Result, call
from adapters.mcp.tools import Tool, usable

LIST_KEEPS_MS = 300_000
"""How long a client may keep the list of tools."""
_INSTRUCTIONS = (
    "Tandem trains computer-vision models on your own labels: projects, images, label sets, annotations, trainings, "
    "predictions, evaluation, download. Call get-agent-guide first. Starting a training spends tokens: ask the person "
    "before. Poll what takes long once every 30 seconds."
)

Context = ServerRequestContext[Any, Any]
Perform = Callable[[Callable[[], Result]], Awaitable[Result]]


def make_speaker(find_caller: Callable[[Context], Caller], perform: Perform) -> Speaker[Any]:
    """Return what answers messages.

    Args:
        find_caller: Returns who sent one.
        perform: Runs a call, which blocks.
    """

    async def list_tools(context: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        caller = find_caller(context)
        return types.ListToolsResult(tools=[_described(tool) for tool in usable(caller.tools.values(), caller.scopes)])

    async def call_tool(context: Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
        caller = find_caller(context)
        tool = caller.tools.get(asked.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {asked.name[:80]!r}; see tools/list.")
        result = await perform(lambda: call(tool, asked.arguments or {}, caller))
        return types.CallToolResult.model_validate(
            {"content": result.content, "structuredContent": result.structured, "isError": result.is_error}
        )

    speaker: Speaker[Any] = Speaker(
        "tandem",
        title="Tandem",
        version=version("tandem-ml"),
        instructions=_INSTRUCTIONS,
        cache_hints={
            "tools/list": CacheHint(ttl_ms=LIST_KEEPS_MS, scope="private"),
            "server/discover": CacheHint(ttl_ms=LIST_KEEPS_MS, scope="private"),
        },
        get_tool_input_schema=lambda _: None,  # no argument is mirrored in a header
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    logging.getLogger("mcp.server").setLevel(logging.WARNING)  # it tells when it starts and stops: at each request
    speaker.middleware.clear()  # spans that nobody collects
    return speaker


@cache
def _described(tool: Tool) -> types.Tool:
    return types.Tool.model_validate(
        {
            "name": tool.name,
            "title": tool.title,
            "description": tool.description,
            "annotations": {"title": tool.title, **tool.annotations},
            "inputSchema": tool.input_schema,
            "outputSchema": tool.output_schema,
        }
    )
