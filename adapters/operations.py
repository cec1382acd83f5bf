"""Operations, declared once: each is a route and an entry of the OpenAPI document, and names its tool and command."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeVar, get_type_hints

from flask import Blueprint, Request, Response, g, request
from pydantic import BaseModel, ValidationError

from adapters.http import parse_json
from adapters.identifiers import PREFIXES, read_id
from adapters.repeats import answer_once
from adapters.transfer import read_chunks
from backend.accounts.service import Principal
from backend.errors import Denied, Invalid, TandemError
from backend.services import Services

MAX_JSON_BYTES = 100 * 2**20
MAX_NUMBER = 2**31 - 1
"""The largest number that things have which are counted."""
MAX_FORM_BYTES = 1600 * 2**20
MAX_FORM_PARTS = 200
H = TypeVar("H", bound=Callable[..., Any])


class Effect(StrEnum):
    """What an operation does to what is stored."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    """Done twice, it is as if done once."""
    DELETE = "delete"
    """Something is gone or replaced afterwards; done twice, it is as if done once."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler gets to know besides its arguments.

    Attributes:
        principal: Who asks; only public operations may be called by nobody.
        base_url: Where this server was reached, without a slash at the end.
        request: For handlers that read files or headers.
    """

    services: Services
    principal: Principal
    request_id: str
    base_url: str
    request: Request


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer whose status is not the declared one."""

    body: BaseModel
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """A tool and a command of their own for a part of what an operation does.

    Attributes:
        summary: One line.
        fields: Those of the body that it takes; it needs all of them.
    """

    tool: str
    command: str
    summary: str
    fields: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that a caller may do.

    Attributes:
        name: Unique; the handler's name.
        path: In Flask's words; parameters have the names of `adapters.identifiers.PREFIXES`.
        aliases: Further paths that do the same.
        scope: What a key must be good for; "": any key.
        status: Of a successful answer; 204 has no body.
        tool, command: What MCP clients and the command line call it.
        toolless: Why there is no tool.
        shortcuts: Further tools and commands.
        reaches_out: Whether it fetches from addresses that callers name.
        body, query, answer: Their models; None where there is none.
        form: What a multipart body may consist of, as an OpenAPI schema; its texts are read as `body`. None: JSON only.
        media_type: Of an answer that is not JSON.
        also: Further answers, by status: such as a refusal that its dialect words in its own way.
        errors: Codes of the catalogue that are peculiar to it.
        example: A body that works, or a query where there is no body.
        tells_secret: Whether its answer must not be kept for those who ask again.
        takes_signature: Whether `?sig=` in place of a key lets anybody in; the handler checks it.
    """

    name: str
    method: str
    path: str
    handler: Callable[..., Any]
    effect: Effect
    tag: str
    scope: str = ""
    status: int = 200
    tool: str = ""
    command: str = ""
    toolless: str = ""
    shortcuts: Sequence[Shortcut] = ()
    reaches_out: bool = False
    aliases: Sequence[str] = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    form: Mapping[str, Any] | None = None
    media_type: str = "application/json"
    also: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    errors: Sequence[str] = ()
    example: Mapping[str, Any] = field(default_factory=dict)
    tells_secret: bool = False
    takes_signature: bool = False

    @property
    def summary(self) -> str:
        """One line."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """The rest of what there is to say."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[2].strip()

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters in the path."""
        return re.findall(r"<(?:\w+:)?(\w+)>", self.path)


class Dialect(Protocol):
    """How an API tells callers apart, and how it wraps and words what it answers.

    Attributes:
        error_schema: JSON Schema of what `word` returns.
    """

    error_schema: Mapping[str, Any]

    def describe(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON Schema of what `wrap` makes of a body with this one."""

    def admit(self, services: Services, request: Request, operation: Operation) -> Principal:
        """Return who asks.

        Raises:
            TandemError: Nobody who may.
        """

    def wrap(self, body: BaseModel, status: int) -> Response:
        """Return a successful answer."""

    def word(self, error: TandemError) -> Response:
        """Return an error as this API says it."""

    def finish(self, response: Response) -> Response:
        """Add to any answer what all of them have."""


class Api:
    """A set of operations that speak one dialect.

    Args:
        name: Of the blueprint.
        dialect: What it speaks.
        roots: Below which all paths are its own; (): below the first segments of its operations.
        read: Returns what a request's body holds, in place of `read_body`.
        body_argument: What tools call the body; "": its fields are arguments of their own.
    """

    def __init__(
        self,
        name: str,
        dialect: Dialect,
        *,
        roots: Sequence[str] = (),
        read: Callable[[Request], Any] | None = None,
        body_argument: str = "",
    ) -> None:
        self.name = name
        self.dialect = dialect
        self.body_argument = body_argument
        self.operations: list[Operation] = []
        self._roots = roots
        self._read = read or read_body

    def operation(self, method: str, path: str, *, effect: Effect, tag: str, **declared: Any) -> Callable[[H], H]:
        """Declare what the decorated handler does; see `Operation` for what else may be said.

        The handler takes a `Call`, the parameters of its path (bare ids), and, where it names them, `body` and `query`:
        pydantic models. It returns a pydantic model, `Answered`, a `Response`, or None where the status is 204.
        """

        def declare(handler: H) -> H:
            assert handler.__doc__, f"{handler.__name__} needs a docstring"
            hints = get_type_hints(handler)
            returned = hints.get("return")
            self.operations.append(
                Operation(
                    name=handler.__name__,
                    method=method,
                    path=path,
                    handler=handler,
                    effect=effect,
                    tag=tag,
                    body=hints.get("body"),
                    query=hints.get("query"),
                    answer=declared.pop("answer", None) or _model(returned),
                    **declared,
                )
            )
            return handler

        return declare

    def blueprint(self, services: Services) -> Blueprint:
        """Return the routes."""
        made = Blueprint(self.name, __name__)
        for operation in self.operations:
            view = self._view(services, operation)
            for path in (operation.path, *operation.aliases):
                made.add_url_rule(path, operation.name, view, methods=[operation.method])
        made.after_request(self.dialect.finish)
        return made

    def covers(self, path: str) -> bool:
        """Say whether a path belongs to this API, known or not."""
        if self._roots:
            return f"{path}/".startswith(tuple(f"{root}/" for root in self._roots))
        return path.split("/")[1:2] in [operation.path.split("/")[1:2] for operation in self.operations]

    def _view(self, services: Services, operation: Operation) -> Callable[..., Response]:
        def view(**written: Any) -> Response:
            if operation.form is not None:  # files are spooled to disk
                request.max_content_length, request.max_form_parts = MAX_FORM_BYTES, MAX_FORM_PARTS
            principal = self.dialect.admit(services, request, operation)
            call = Call(services, principal, g.request_id, g.base_url, request)

            def invoke() -> Response:
                return self._wrap(operation, operation.handler(call, **_arguments(operation, written, self._read)))

            if operation.method != "POST":
                return invoke()
            return answer_once(
                request,
                services.idempotency,
                principal.user_id,
                invoke,
                word=self.dialect.word,
                max_bytes=MAX_JSON_BYTES,
                tells_secret=operation.tells_secret,
            )

        return view

    def _wrap(self, operation: Operation, answer: BaseModel | Answered | Response | None) -> Response:
        match answer:
            case None:
                return Response(status=204)
            case Response():
                return answer
            case Answered(body, status):
                return self.dialect.wrap(body, status)
        return self.dialect.wrap(answer, operation.status)


def _model(returned: Any) -> type[BaseModel] | None:
    return returned if isinstance(returned, type) and issubclass(returned, BaseModel) else None


def _arguments(operation: Operation, written: Mapping[str, Any], read: Callable[[Request], Any]) -> dict[str, Any]:
    found = {name: _parameter(name, value) for name, value in written.items()}
    if operation.query is not None:
        found["query"] = validated(operation.query, request.args.to_dict())
    if operation.body is not None:
        is_form = operation.form is not None and request.mimetype == "multipart/form-data"
        found["body"] = validated(operation.body, request.form.to_dict() if is_form else read(request))
    return found


def _parameter(name: str, written: Any) -> Any:
    """Return what a handler gets for a part of the path; what nothing can be called is "" or 0, which nothing is."""
    if isinstance(written, int):
        return written if written <= MAX_NUMBER else 0
    return read_id(name, written) if name in PREFIXES else written


def require_scopes(principal: Principal, scopes: str) -> None:
    """Make sure that a key is good for something.

    Args:
        principal: Whose key it is.
        scopes: With spaces between them.

    Raises:
        Denied: It is not; `details` say what it lacks.
    """
    needed = [scope for scope in scopes.split() if scope not in principal.scopes]
    if needed:
        raise Denied(
            f"This key may not do that; it needs the scope {' and '.join(needed)}.",
            code="insufficient_scope",
            details={"requiredScopes": needed},
        )


def read_body(request: Request) -> Any:
    """Return a JSON body; none at all is an empty object.

    Raises:
        Invalid: It is not JSON.
        LimitExceeded: It is too large.
    """
    body = b"".join(read_chunks(request, MAX_JSON_BYTES))
    if not body:
        return {}
    if not request.is_json:
        raise Invalid(
            "The body must be JSON: send it with Content-Type: application/json.", code="unsupported_media_type"
        )
    return parse_json(body)


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], given: Any) -> M:
    """Check what a caller sent.

    Raises:
        Invalid: It does not fit; `details.fields` says where.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        fields = {".".join(map(str, each["loc"])) or "body": each["msg"] for each in found}
        where, what = next(iter(fields.items()))
        raise Invalid(f"{where}: {what}", code="validation_error", details={"fields": fields}) from None
