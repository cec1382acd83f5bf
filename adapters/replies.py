"""Replies: what a server said to a request of `adapters.verbs`, as data or as a problem, whichever dialect it spoke."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapters.catalogue import STATUS
from adapters.verbs import Asked


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response, read whole; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Server(Protocol):
    """Whoever answers: an application in this process, or a server elsewhere."""

    def __call__(self, asked: Asked, headers: Mapping[str, str]) -> Reply:
        """Return the reply to a request with some headers, credentials among them."""


@dataclass
class Problem(Exception):
    """A refusal, in the words of the error catalogue.

    Attributes:
        code: Of `adapters.catalogue.STATUS`.
        status: Of the HTTP response.
    """

    code: str
    message: str
    status: int
    request_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    @property
    def described(self) -> dict[str, Any]:
        """As tools return it and commands print it (agent-surface.md §8)."""
        problem = {"code": self.code, "message": self.message, "details": dict(self.details)}
        return {"ok": False, "error": problem, "status": self.status, "requestId": self.request_id}


def read(reply: Reply) -> Any:
    """Return what a reply with JSON holds, without its envelope; None where there is nothing in it.

    Raises:
        Problem: It is a refusal.
    """
    try:
        said = json.loads(reply.body) if reply.body else None
    except ValueError:
        said = None
    if reply.status < 400:
        match said:
            case {"ok": True, "data": data, "requestId": _}:
                return data
        return said
    raise _problem(reply, said)


def _problem(reply: Reply, said: Any) -> Problem:
    request_id = reply.headers.get("x-request-id", "")
    match said:
        case {"error": {"code": str(code), "message": str(message)} as error}:
            return Problem(code, message, reply.status, request_id, error.get("details") or {})
        case {"detail": str(message), "validation_errors": dict(fields)}:
            named = {name: " ".join(map(str, texts)) for name, texts in fields.items()}
            message = "; ".join(f"{name}: {text}" for name, text in named.items()) or message
            return Problem(_code(said, reply.status), message, reply.status, request_id, {"fields": named})
        case {"detail": str(message)} | {"error": str(message)} | str(message):
            return Problem(_code(said, reply.status), message, reply.status, request_id)
    return Problem(_code(said, reply.status), f"The server answered {reply.status}.", reply.status, request_id)


def _code(said: Any, status: int) -> str:
    """Return the code that was said, or the usual one of a status: Label Studio itself says none."""
    if isinstance(said, dict) and said.get("code") in STATUS:
        return str(said["code"])
    if status == 400:
        return "VALIDATION_ERROR"
    if status == 409:
        return "CONFLICT"
    return next((code for code, its in STATUS.items() if its == status), "INTERNAL" if status >= 500 else "FORBIDDEN")
