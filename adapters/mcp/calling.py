"""A tool call: arguments → a request to a server → what the model gets to see."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from adapters.catalogue import STATUS, code_of
from adapters.mcp.schemas import AUTHORIZATION, IDEMPOTENCY_KEY
from adapters.mcp.tools import VIEW_SIDE_PX, Tool
from adapters.replies import Problem, Reply, Server, read
from backend.errors import Invalid
from models.images import BadImage, examine

MAX_IMAGE_BYTES = 2**20
"""Of an image that a model is shown."""
_SMALLER_SIDES_PX = (VIEW_SIDE_PX, 512, 256)
_HEADERS = {AUTHORIZATION: "Authorization", IDEMPOTENCY_KEY: "Idempotency-Key"}
"""Arguments that are headers of the request."""
_PRINTABLE = re.compile(r"[\x20-\x7e]+")

Block = dict[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a call.

    Attributes:
        content: Blocks as MCP has them: what the model reads, or looks at.
        structured: The same as an object.
    """

    content: list[Block]
    structured: dict[str, Any]
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf tools are listed and called.

    Attributes:
        tools: What there is, by name.
        scopes: What the key is good for; None: who knows.
        server: Who does what tools do.
        headers: Of the requests that this comes to: whose key it is, and the request's id.
    """

    tools: Mapping[str, Tool]
    scopes: frozenset[str] | None
    server: Server
    headers: Mapping[str, str]


def call(tool: Tool, arguments: Mapping[str, Any], caller: Caller) -> Result:
    """Do what a tool does.

    Args:
        tool: The tool.
        arguments: What the model says; those that the tool does not know are ignored.
        caller: On whose behalf.
    """
    try:
        reply = _ask(tool, arguments, caller)
        if _is_image(reply):
            return _shown(tool, _small_enough(tool, arguments, caller, reply))
        return _told(tool, arguments, reply)
    except Invalid as error:
        code, request_id = code_of(error), caller.headers.get("X-Request-Id", "")
        return _refused(Problem(code, error.message, STATUS[code], request_id, error.details))
    except Problem as problem:
        return _refused(problem)


def _ask(tool: Tool, arguments: Mapping[str, Any], caller: Caller) -> Reply:
    return caller.server(tool.ask(arguments), {**caller.headers, **_said_as_headers(tool, arguments)})


def _said_as_headers(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that are arguments.

    Raises:
        Invalid: They cannot be headers; what was said instead is not repeated, since it may be a key.
    """
    found: dict[str, str] = {}
    for argument, header in _HEADERS.items():
        value = arguments.get(argument)
        if value is None or argument not in tool.input_schema["properties"]:
            continue
        if not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
            message = "must be a text of printable ASCII characters"
            raise Invalid(f"{argument}: {message}.", code="validation_error", details={"fields": {argument: message}})
        found[header] = value
    return found


def _told(tool: Tool, arguments: Mapping[str, Any], reply: Reply) -> Result:
    if reply.status < 400 and reply.body and _media_type(reply).startswith("text/"):
        text = reply.body.decode("utf-8", "replace")
        return Result([_text(text)], {"result": text})
    data = read(reply)
    if data is None:
        data = {"deleted": True, "id": arguments[tool.gone]} if tool.gone else {"done": True}
    structured = data if isinstance(data, dict) else {"result": data}
    return Result([_text(f"{_summary(tool, structured)}\n{_written(structured)}")], structured)


def _small_enough(tool: Tool, arguments: Mapping[str, Any], caller: Caller, reply: Reply) -> Reply:
    """Return an image; one with too many bytes is asked for again, smaller."""
    for side_px in _SMALLER_SIDES_PX:
        if len(reply.body) <= MAX_IMAGE_BYTES:
            break
        reply = _ask(tool, {**arguments, "maxSize": side_px}, caller)
        if not _is_image(reply):
            read(reply)
    return reply


def _shown(tool: Tool, reply: Reply) -> Result:
    structured: dict[str, Any] = {"mimeType": _media_type(reply), "bytes": len(reply.body)}
    size = ""
    with suppress(BadImage):
        facts = examine(BytesIO(reply.body))
        structured |= {"width": facts.width_px, "height": facts.height_px}
        size = f" of {facts.width_px}×{facts.height_px} px"
    image = {"type": "image", "data": b64encode(reply.body).decode(), "mimeType": structured["mimeType"]}
    return Result([_text(f"{tool.title}: an image{size}.\n{_written(structured)}"), image], structured)


def _refused(problem: Problem) -> Result:
    structured = problem.described
    return Result([_text(f"{problem.code}: {problem.message}\n{_written(structured)}")], structured, is_error=True)


def _summary(tool: Tool, said: Mapping[str, Any]) -> str:
    """Say in one line what there is to see."""
    match said:
        case {"deleted": True, "id": gone}:
            return f"{tool.title}: {gone} is gone."
        case {"items": list(items)} | {"result": list(items)} | {"versions": list(items)}:
            more = f"; go on with cursor {said['nextCursor']}" if said.get("nextCursor") else ""
            return f"{tool.title}: {len(items)} in this answer{more}."
        case {"id": known, "status": state} | {"id": known, "readable_state": state}:
            return f"{tool.title}: {known} is {str(state).lower()}."
        case {"id": known}:
            return f"{tool.title}: {known}."
    return f"{tool.title}: done."


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _written(structured: Mapping[str, Any]) -> str:
    return json.dumps(structured, ensure_ascii=False, separators=(",", ":"))


def _is_image(reply: Reply) -> bool:
    return reply.status < 400 and _media_type(reply).startswith("image/")


def _media_type(reply: Reply) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip()
