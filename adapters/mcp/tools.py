"""Tools: what MCP clients may call, made of the verbs (agent-surface.md §9, naftiko.md §3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.identifiers import PREFIXES
from adapters.mcp.schemas import (
    AUTHORIZATION,
    HIDDEN,
    Schema,
    id_of_what_goes,
    input_schema,
    kind_of,
    output_schema,
    returning_text,
    taking,
)
from adapters.mcp.toolsets import OF_API
from adapters.operations import Api, Effect
from adapters.verbs import Asked, Place, Verb, verbs

NINE = (
    "list-ml-backends",
    "add-ml-backend",
    "get-ml-backend",
    "remove-ml-backend",
    "update-ml-backend",
    "request-interactive-annotation",
    "create-predictions-all-tasks",
    "train",
    "get-model-versions",
)
"""What Label Studio's own API is called as tools; everybody sees them, and first."""
GUIDE = "get-agent-guide"
VIEW_SIDE_PX = 1024
_REPLACES_OR_APPENDS = ("import-annotations",)
"""Destructive, and yet not the same when done twice: it may be told to append."""
_ULID = "01jd3z6t9q4m8w2v5x7b1c0n3k"
_WORDS = {"ml": "ML"}


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """Something that an MCP client may call.

    Attributes:
        scopes: What a key must be good for.
        ask: Returns the request that arguments come to; see `Verb.ask`.
        gone: The argument that names what is deleted; "": nothing is.
    """

    name: str
    title: str
    description: str
    annotations: Mapping[str, bool]
    input_schema: Schema
    output_schema: Schema
    toolset: str
    scopes: frozenset[str]
    ask: Callable[[Mapping[str, Any]], Asked]
    gone: str = ""


def make_tools(apis: Iterable[Api], *, is_proxy: bool) -> list[Tool]:
    """Return all tools in the order in which they are listed: the nine of Label Studio, then by name.

    Args:
        apis: What they are made of.
        is_proxy: Whether Label Studio itself answers the nine.
    """
    made = [_tool(verb, is_proxy=is_proxy and verb.tool in NINE) for verb in verbs(apis) if verb.tool]
    return sorted((*made, _guide()), key=lambda tool: (NINE.index(tool.name) if tool.name in NINE else 9, tool.name))


def select(tools: Iterable[Tool], toolsets: Iterable[str]) -> dict[str, Tool]:
    """Return the tools of some groups by name, in their order; the nine are in each."""
    return {tool.name: tool for tool in tools if tool.name in NINE or tool.toolset in toolsets}


def usable(tools: Iterable[Tool], scopes: Iterable[str] | None) -> list[Tool]:
    """Return the tools that a key may use, and the nine in any case.

    Args:
        tools: Those that there are.
        scopes: What the key is good for; None: who knows.
    """
    held = None if scopes is None else frozenset(scopes)
    return [tool for tool in tools if held is None or tool.name in NINE or tool.scopes <= held]


def _tool(verb: Verb, *, is_proxy: bool) -> Tool:
    operation = verb.operation
    return Tool(
        name=verb.tool,
        title=_title(verb.tool),
        description=_description(verb),
        annotations=_annotations(
            operation.effect,
            is_repeatable=verb.tool not in _REPLACES_OR_APPENDS,
            reaches_out=operation.reaches_out or is_proxy,
        ),
        input_schema=input_schema(verb),
        output_schema=output_schema(verb, is_foreign=is_proxy),
        toolset=OF_API[verb.api.name],
        scopes=frozenset(operation.scope.split()),
        ask=_ask(verb),
        gone=id_of_what_goes(verb) if operation.method == "DELETE" and operation.status == 204 else "",
    )


def _guide() -> Tool:
    return Tool(
        name=GUIDE,
        title=_title(GUIDE),
        description="Read how to work with this server, from the first call to the finished model. Read it before "
        f"anything else; it is the same as GET /agents.md.\n\n{_example({})}",
        annotations=_annotations(Effect.READ),
        input_schema=taking({}, []),
        output_schema=returning_text(),
        toolset="core",
        scopes=frozenset(),
        ask=lambda _: Asked("GET", "/agents.md"),
    )


def _ask(verb: Verb) -> Callable[[Mapping[str, Any]], Asked]:
    defaults = {"maxSize": VIEW_SIDE_PX} if verb.operation.media_type.startswith("image/") else {}

    def ask(given: Mapping[str, Any]) -> Asked:
        return verb.ask(defaults | {name: value for name, value in given.items() if name not in HIDDEN})

    return ask


def _annotations(effect: Effect, *, is_repeatable: bool = True, reaches_out: bool = False) -> dict[str, bool]:
    return {
        "readOnlyHint": effect is Effect.READ,
        "destructiveHint": effect is Effect.DELETE,
        "idempotentHint": effect is not Effect.CREATE and is_repeatable,
        "openWorldHint": reaches_out,
    }


def _title(name: str) -> str:
    """Write a tool's name as words.

    >>> _title("list-ml-backends")
    'List ML backends'
    """
    words = " ".join(_WORDS.get(word, word) for word in name.split("-"))
    return words[0].upper() + words[1:]


def _description(verb: Verb) -> str:
    given: dict[str, Any] = {}
    example = verb.operation.example
    for argument in verb.arguments:
        if argument.place is Place.WHOLE_BODY and example:
            given[argument.name] = dict(example)
        elif argument.place is not Place.PATH and argument.name in example:
            given[argument.name] = example[argument.name]
        elif argument.is_required and argument.name != AUTHORIZATION:
            kind = kind_of(argument.name)
            given[argument.name] = PREFIXES[kind] + _ULID if kind else 1
    return "\n\n".join(filter(None, (verb.summary, verb.description, _example(given))))


def _example(given: Mapping[str, Any]) -> str:
    return f"Example: {json.dumps(given, ensure_ascii=False)}"
