"""The Naftiko capability of /api/ml: its nine operations, for a Naftiko engine to serve over REST and MCP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from adapters.discovery.openapi import written_path
from adapters.mcp.tools import Tool, make_tools
from adapters.operations import Api
from adapters.verbs import Argument, Place, Verb, verbs

Part = dict[str, Any]
"""Of the document."""

NAMESPACE = "label-studio-subpackage-ml"
_REST = f"{NAMESPACE}-rest"
_MCP = f"{NAMESPACE}-mcp"
_KEY = "LABEL_STUDIO_API_KEY"
_INFO = {
    "label": "Label Studio ML backends",
    "description": "Connections between labelling projects and ML backends: list, add, change and remove them, predict "
    "and train through them. The operations of Label Studio's /api/ml, answered by Tandem.",
    "tags": ["Label Studio", "Machine learning", "Annotation"],
}
_NAMES = {
    "list-ml-backends": "list",
    "add-ml-backend": "create",
    "get-ml-backend": "get",
    "remove-ml-backend": "delete",
    "update-ml-backend": "update",
    "request-interactive-annotation": "predictinteractive",
    "create-predictions-all-tasks": "predictalltasks",
    "train": "train",
    "get-model-versions": "listmodelversions",
}
"""What Label Studio's reference calls the operations, by their tools."""


def capability(apis: Iterable[Api], base_url: str, *, is_proxy: bool) -> Part:
    """Return the capability of a server.

    The engine reads a key from its environment. Whoever calls the engine needs that key, too: else all who reach its
    ports would act with it. Tools have the arguments of the server's own, except those that carry headers.

    Args:
        apis: Those that hold the nine operations, and perhaps others.
        base_url: Where the server is reached, without a slash at the end.
        is_proxy: Whether Label Studio itself answers the nine.

    Source: the schema https://naftiko.io/schemas/v1.0.0-alpha2/naftiko.json.
    """
    about = [api for api in apis if any(operation.tool in _NAMES for operation in api.operations)]
    offered = [verb for verb in verbs(about) if verb.tool in _NAMES]
    tools = {tool.name: tool for tool in make_tools(about, is_proxy=is_proxy)}
    return {
        "naftiko": "1.0.0-alpha2",
        "info": _INFO,
        "binds": [
            {
                "namespace": f"{NAMESPACE}-env",
                "description": "From the engine's environment: a key of the server.",
                "keys": {_KEY: _KEY},
            }
        ],
        "capability": {
            "consumes": [
                {
                    "type": "http",
                    "namespace": NAMESPACE,
                    "description": f"Label Studio's API of ML backends, as Tandem has it; see {base_url}/agents.md.",
                    "baseUri": base_url,
                    "authentication": _authentication(),
                    "resources": _resources(offered, lambda verb: verb.operation.path, _consumed),
                }
            ],
            "exposes": [
                {
                    "type": "rest",
                    "port": 8080,
                    "namespace": _REST,
                    "authentication": _authentication(),
                    "resources": _resources(offered, lambda verb: verb.operation.aliases[0], _exposed),
                },
                {
                    "type": "mcp",
                    "transport": "http",
                    "port": 9090,
                    "namespace": _MCP,
                    "description": "Connect labelling projects with ML backends, and let those predict and train.",
                    "authentication": _authentication(),
                    "tools": [_tool(verb, tools[verb.tool]) for verb in offered],
                },
            ],
        },
    }


def _authentication() -> Part:
    return {"type": "bearer", "token": _injected(_KEY)}


def _resources(offered: Sequence[Verb], path_of: Callable[[Verb], str], describe: Callable[[Verb], Part]) -> list[Part]:
    """Return the operations by their paths."""
    by_path: dict[str, list[Verb]] = {}
    for verb in offered:
        by_path.setdefault(written_path(path_of(verb)), []).append(verb)
    return [
        {
            "name": re.sub(r"\W+", "-", path).strip("-"),
            "description": " ".join(verb.summary for verb in found),
            "path": re.sub(r"\{(\w+)\}", lambda parameter: _injected(parameter[1]), path),
            "operations": [describe(verb) for verb in found],
        }
        for path, found in by_path.items()
    ]


def _consumed(verb: Verb) -> Part:
    part: Part = {
        "name": _NAMES[verb.tool],
        "description": verb.summary,
        "method": verb.operation.method,
        "inputParameters": [],
    }
    for argument in verb.arguments:
        if argument.place is Place.WHOLE_BODY:
            part["body"] = _injected(argument.name)
        else:
            part["inputParameters"].append({"name": argument.name, "in": argument.place.value})
    return part


def _exposed(verb: Verb) -> Part:
    return {
        "name": _NAMES[verb.tool],
        "description": "\n\n".join(filter(None, (verb.summary, verb.description))),
        "method": verb.operation.method,
        "inputParameters": [
            {
                "name": argument.name,
                "in": "body" if argument.place is Place.WHOLE_BODY else argument.place.value,
                **_meaning(argument),
            }
            for argument in verb.arguments
        ],
        **_call(verb, _REST),
    }


def _tool(verb: Verb, tool: Tool) -> Part:
    return {
        "name": tool.name,
        "label": tool.title,
        "description": tool.description,
        "hints": {name.removesuffix("Hint"): holds for name, holds in tool.annotations.items()},
        "inputParameters": [
            {"name": argument.name, **_meaning(argument), **({} if argument.is_required else {"required": False})}
            for argument in verb.arguments
        ],
        **_call(verb, _MCP),
    }


def _call(verb: Verb, namespace: str) -> Part:
    return {
        "call": f"{NAMESPACE}.{_NAMES[verb.tool]}",
        "with": {argument.name: f"{namespace}.{argument.name}" for argument in verb.arguments},
    }


def _meaning(argument: Argument) -> Part:
    """Return type and description. The format has no schemas, so the description of a body names its fields."""
    schema = argument.schema
    kinds = [each["type"] for each in schema.get("anyOf", [schema]) if each["type"] != "null"]
    lines = [schema.get("description") or schema.get("title", "Its number.")]
    if argument.place is Place.WHOLE_BODY:
        for name, field in schema["properties"].items():
            required = "required" if name in schema.get("required", []) else ""
            lines.append(f"- {': '.join(filter(None, (f'`{name}`', required, field.get('description'))))}")
    return {"type": kinds[0], "description": "\n".join(lines)}


def _injected(name: str) -> str:
    """Write a name so that the engine puts its value there.

    >>> _injected("id")
    '{{id}}'
    """
    return "{{" + name + "}}"
