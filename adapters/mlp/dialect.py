"""How the mlp API tells callers apart, wraps answers and words errors (mlp.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Request, Response, g
from pydantic import BaseModel

from adapters.catalogue import STATUS, code_of
from adapters.http import answer
from adapters.operations import Operation, require_scopes
from adapters.pace import count, tell
from adapters.transfer import compress
from backend.accounts.service import AuthSource, Principal
from backend.errors import Denied, LimitExceeded, TandemError, Unavailable
from backend.services import Services

_NOBODY = Principal("", "", "", AuthSource.LOCAL, frozenset(), ())
"""Who may see nothing."""


class MlpDialect:
    """Bearer keys, `{ok, data, requestId}`."""

    error_schema: Mapping[str, Any] = {
        "type": "object",
        "required": ["ok", "error", "requestId"],
        "properties": {
            "ok": {"const": False},
            "error": {
                "type": "object",
                "required": ["code", "message", "details"],
                "properties": {
                    "code": {"enum": list(STATUS)},
                    "message": {"type": "string"},
                    "details": {"type": "object"},
                },
            },
            "requestId": {"type": "string"},
        },
    }

    def describe(self, schema: dict[str, Any]) -> dict[str, Any]:
        """See `adapters.operations.Dialect`."""
        return {
            "type": "object",
            "required": ["ok", "data", "requestId"],
            "properties": {"ok": {"const": True}, "data": schema, "requestId": {"type": "string"}},
        }

    def admit(self, services: Services, request: Request, operation: Operation) -> Principal:
        """See `adapters.operations.Dialect`: first who asks, then how often, then what for."""
        if operation.takes_signature and "sig" in request.args:
            return _NOBODY
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        try:
            principal = services.accounts.authenticate(key.strip() if scheme.lower() == "bearer" else "")
        except Denied:
            count(services, f"address:{request.remote_addr}")
            raise
        count(services, f"key:{principal.key_id}")
        require_scopes(principal, operation.scope)
        return principal

    def wrap(self, body: BaseModel, status: int) -> Response:
        """See `adapters.operations.Dialect`."""
        text = f'{{"ok":true,"data":{body.model_dump_json(by_alias=True)},"requestId":"{g.request_id}"}}'
        response = Response(text, status=status, mimetype="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response

    def word(self, error: TandemError) -> Response:
        """See `adapters.operations.Dialect`."""
        code = code_of(error)
        details: dict[str, Any] = dict(error.details)
        retry_after_s = error.retry_after_s if isinstance(error, LimitExceeded | Unavailable) else None
        if retry_after_s is not None:
            details["retryAfterSeconds"] = retry_after_s
        problem = {"code": code, "message": error.message, "details": details}
        response = answer({"ok": False, "error": problem, "requestId": g.request_id}, STATUS[code])
        if retry_after_s is not None:
            response.headers["Retry-After"] = str(retry_after_s)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = (
                f'Bearer resource_metadata="{g.base_url}/.well-known/oauth-protected-resource"'
            )
        return response

    def finish(self, response: Response) -> Response:
        """See `adapters.operations.Dialect`."""
        tell(response)
        compress(response)
        return response
