"""MCP over HTTP: `POST /mcp`, and `POST /` for clients that were told nothing but an address (naftiko.md §1, 5)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, g, request

from adapters.catalogue import STATUS, code_of
from adapters.http import answer
from adapters.mcp.calling import Caller
from adapters.mcp.door import MAX_OPEN_BYTES, Door, Misdirected, is_open
from adapters.mcp.tools import Tool, make_tools, select
from adapters.mcp.toolsets import read_toolsets
from adapters.mcp.within import Within
from adapters.operations import MAX_JSON_BYTES, Api
from adapters.pace import tell
from adapters.replies import Problem
from adapters.transfer import allow_pages, compress, preflight, read_chunks
from backend.accounts.service import Principal
from backend.errors import LimitExceeded, TandemError, Unavailable
from backend.services import Services

if TYPE_CHECKING:
    from adapters.mcp.exchange import Exchange

log = logging.getLogger(__name__)

_METADATA = "/.well-known/oauth-protected-resource/mcp"
_INVALID_REQUEST = -32600
_PATHS = ("/mcp", "/")


def blueprint(services: Services, apis: Sequence[Api]) -> Blueprint:
    """Return the routes.

    Raises:
        Invalid: TANDEM_MCP_TOOLSETS names groups that there are not.
    """
    made = Blueprint("mcp", __name__)
    endpoint = Endpoint(services, apis)
    for path in _PATHS:
        made.add_url_rule(path, "message", endpoint.answer, methods=["POST"])
        made.add_url_rule(path, "preflight", endpoint.greet, methods=["OPTIONS"])
    made.register_error_handler(TandemError, endpoint.refuse)
    made.after_request(endpoint.finish)
    return made


class Endpoint:
    """Answers the messages of MCP clients. Each public method is a hook of Flask."""

    def __init__(self, services: Services, apis: Sequence[Api]) -> None:
        self._services = services
        self._apis = apis
        self._door = Door(services.settings)
        self._toolsets = read_toolsets(services.settings.mcp_toolsets)

    def answer(self) -> Response:
        """Answer a message: with a key, or the question what there is."""
        self._door.check(request)
        toolsets = read_toolsets(request.args["toolsets"]) if request.args.get("toolsets") else self._toolsets
        if "Authorization" in request.headers:
            principal: Principal | None = self._door.admit(self._services, request)
            message = b"".join(read_chunks(request, MAX_JSON_BYTES))
        else:
            message = b"".join(read_chunks(request, MAX_OPEN_BYTES))
            principal = None if is_open(message) else self._door.admit(self._services, request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply = self._exchange.answer(message, headers, self._caller(principal, toolsets))
        return Response(reply.body, status=reply.status, content_type=reply.headers.get("content-type"))

    @cached_property
    def _exchange(self) -> Exchange:
        from adapters.mcp.exchange import Exchange  # half a second, which only those who speak MCP have to wait

        return Exchange()

    @cached_property
    def _tools(self) -> list[Tool]:
        return make_tools(self._apis, is_proxy=bool(self._services.settings.label_studio_url))

    def _caller(self, principal: Principal | None, toolsets: frozenset[str]) -> Caller:
        headers = {"X-Request-Id": g.request_id}
        if principal is not None:
            headers["Authorization"] = request.headers["Authorization"]
        return Caller(
            select(self._tools, toolsets) if principal is not None else {},
            principal.scopes if principal is not None else frozenset(),
            Within(current_app.wsgi_app, request.environ),
            headers,
        )

    def greet(self) -> Response:
        """Answer a browser that asks whether a page may speak MCP."""
        told = preflight(self._door.origins)
        if told is None:
            self._door.admit(self._services, request)
            raise TandemError("MCP is spoken by POST.", code="method_not_allowed")
        return told

    def refuse(self, error: TandemError) -> Response:
        """Word an error so that clients show it: as JSON-RPC, under the status of HTTP."""
        code = code_of(error)
        status = 421 if isinstance(error, Misdirected) else STATUS[code]
        retry_after_s = error.retry_after_s if isinstance(error, LimitExceeded | Unavailable) else None
        details = error.details if retry_after_s is None else {**error.details, "retryAfterSeconds": retry_after_s}
        problem = Problem(code, error.message, status, g.request_id, details)
        said = {"code": _INVALID_REQUEST, "message": f"{code}: {error.message}", "data": problem.described}
        response = answer({"jsonrpc": "2.0", "id": None, "error": said}, status)
        if retry_after_s is not None:
            response.headers["Retry-After"] = str(retry_after_s)
        if status == 401:
            response.headers["WWW-Authenticate"] = f'Bearer resource_metadata="{g.base_url}{_METADATA}"'
        log.warning("request refused", extra={"status": status, "code": error.code, "reason": error.message})
        return response

    def finish(self, response: Response) -> Response:
        """Add to any answer what all of them have."""
        response.headers["Cache-Control"] = "no-store"
        allow_pages(response, self._door.origins)
        tell(response)
        compress(response)
        return response
