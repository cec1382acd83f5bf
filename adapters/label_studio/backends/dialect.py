"""How /api/ml tells callers apart, reads bodies and words errors: as Label Studio does, and a little more."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from flask import Request, Response, current_app, g
from pydantic import BaseModel
from werkzeug.formparser import FormDataParser

from adapters.catalogue import STATUS, code_of
from adapters.http import answer, parse_json
from adapters.operations import MAX_JSON_BYTES, Operation, require_scopes
from adapters.pace import count, tell
from adapters.transfer import compress, read_chunks
from backend.accounts.service import Principal
from backend.errors import Denied, Invalid, LimitExceeded, TandemError, Unavailable
from backend.services import Services

MODE = "ML_BACKENDS_MODE"
"""Where the application keeps which of the two modes it is in."""
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_UNCHECKED = {"is_interactive": "false", "auto_update": "false"}
"""What a form says by leaving a box out, when something is made."""


def credentials(request: Request) -> tuple[str, str]:
    """Return the scheme, in lower case, and the key of a request; older clients write several spaces between."""
    scheme, _, key = request.headers.get("Authorization", "").strip().partition(" ")
    return scheme.lower(), key.strip()


class LabelStudioDialect:
    """`Token` or `Bearer` keys, bare bodies, errors with `detail` and `validation_errors`."""

    error_schema: Mapping[str, Any] = {
        "type": "object",
        "required": ["id", "status_code", "version", "detail", "exc_info", "code", "request_id"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "status_code": {"type": "integer"},
            "version": {"type": "string"},
            "detail": {"type": "string"},
            "exc_info": {"type": "null"},
            "validation_errors": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
            },
            "code": {"enum": list(STATUS)},
            "request_id": {"type": "string"},
        },
    }

    def describe(self, schema: dict[str, Any]) -> dict[str, Any]:
        """See `adapters.operations.Dialect`."""
        return schema

    def admit(self, services: Services, request: Request, operation: Operation) -> Principal:
        """See `adapters.operations.Dialect`."""
        scheme, key = credentials(request)
        try:
            principal = services.accounts.authenticate(key if scheme in ("token", "bearer") else "")
        except Denied:
            count(services, f"address:{request.remote_addr}")
            raise
        count(services, f"key:{principal.key_id}")
        require_scopes(principal, operation.scope)
        return principal

    def wrap(self, body: BaseModel, status: int) -> Response:
        """See `adapters.operations.Dialect`."""
        response = Response(body.model_dump_json(), status=status, mimetype="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response

    def word(self, error: TandemError) -> Response:
        """See `adapters.operations.Dialect`."""
        code = code_of(error)
        fields: Mapping[str, str] = error.details.get("fields", {})
        problem: dict[str, Any] = {
            "id": str(uuid4()),
            "status_code": STATUS[code],
            "version": version("tandem-ml"),
            "detail": "Validation error" if fields else error.message,
            "exc_info": None,
        }
        if fields:
            problem["validation_errors"] = {
                "non_field_errors" if name == "body" else name: [message] for name, message in fields.items()
            }
        response = answer({**problem, "code": code, "request_id": g.request_id}, STATUS[code])
        if isinstance(error, LimitExceeded | Unavailable) and error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Token"
        return self.finish(response)

    def finish(self, response: Response) -> Response:
        """See `adapters.operations.Dialect`."""
        response.headers["X-Backend-Mode"] = current_app.config[MODE]
        tell(response)
        compress(response)
        return response


def read_any_body(request: Request) -> Any:
    """Return what a JSON body or a form holds; none at all is an empty object.

    Raises:
        Invalid: It is neither.
        LimitExceeded: It is too large.
    """
    body = b"".join(read_chunks(request, MAX_JSON_BYTES))
    if request.mimetype in _FORMS:
        _, form, _ = FormDataParser().parse(io.BytesIO(body), request.mimetype, len(body), request.mimetype_params)
        return {**(_UNCHECKED if request.method == "POST" else {}), **_with_json(form.to_dict())}
    if not body:
        return {}
    if not request.is_json:
        raise Invalid("The body must be JSON or a form.", code="unsupported_media_type")
    return parse_json(body)


def _with_json(form: Mapping[str, str]) -> dict[str, Any]:
    """Decode the fields of a form that hold JSON."""
    decoded: dict[str, Any] = dict(form)
    for name in ("extra_params", "context"):
        if name in form:
            try:
                decoded[name] = json.loads(form[name] or "null")
            except (ValueError, RecursionError):
                message = "Value must be valid JSON."
                raise Invalid(message, code="validation_error", details={"fields": {name: message}}) from None
    return decoded
