"""Verbs: what tools and commands are made of. An operation with flat arguments, and the request that they come to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlencode

from pydantic.alias_generators import to_camel

from adapters.operations import Api, Operation
from backend.errors import Invalid

_PLACEHOLDER = re.compile(r"<(?:(\w+):)?(\w+)>")


class Place(StrEnum):
    """Where in a request an argument goes."""

    PATH = "path"
    QUERY = "query"
    BODY = "body"
    WHOLE_BODY = "whole body"


@dataclass(frozen=True, slots=True)
class Argument:
    """One thing that a verb may be told.

    Attributes:
        name: As HTTP has it: `projectId`.
        schema: JSON Schema (2020-12); `#/$defs/…` refers to the verb's definitions.
    """

    name: str
    place: Place
    schema: Mapping[str, Any]
    is_required: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """An HTTP request.

    Attributes:
        target: Path and query.
        body: JSON; None where there is none.
    """

    method: str
    target: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class Verb:
    """An operation as tools and commands have it.

    Attributes:
        api: What the operation is part of.
        tool, command: Its names; "" where there is none.
        definitions: `$defs` of the arguments' schemas.
    """

    api: Api
    operation: Operation
    tool: str
    command: str
    summary: str
    description: str
    arguments: tuple[Argument, ...]
    definitions: Mapping[str, Any]

    def ask(self, given: Mapping[str, Any]) -> Asked:
        """Return the request that some arguments come to; those that it does not know are left out.

        Raises:
            Invalid: A part of the path is missing. Everything else is for the operation to check.
        """
        path = self.operation.path
        query: dict[str, str] = {}
        fields: dict[str, Any] = {}
        body: Any = None
        for argument in self.arguments:
            value = given.get(argument.name)
            match argument.place:
                case Place.PATH:
                    path = _fill(path, argument.name, value)
                case Place.QUERY if value is not None:
                    query[argument.name] = str(value).lower() if isinstance(value, bool) else str(value)
                case Place.BODY if argument.name in given:
                    fields[argument.name] = value
                case Place.WHOLE_BODY:
                    body = value
        if any(argument.place is Place.BODY for argument in self.arguments):
            body = fields
        return Asked(self.operation.method, f"{path}?{urlencode(query)}" if query else path, body)


def verbs(apis: Iterable[Api]) -> list[Verb]:
    """Return everything that is a tool or a command, in the order of the declarations."""
    return [verb for verb in requests(apis) if verb.tool or verb.command]


def requests(apis: Iterable[Api]) -> list[Verb]:
    """Return everything that may be asked for, over HTTP at least."""
    return [verb for api in apis for operation in api.operations for verb in _verbs(api, operation)]


def _verbs(api: Api, operation: Operation) -> Iterator[Verb]:
    definitions: dict[str, Any] = {}
    arguments = (
        *_in_path(operation),
        *_in_query(operation, definitions),
        *_in_body(operation, api.body_argument, definitions),
    )
    yield Verb(
        api,
        operation,
        operation.tool,
        operation.command,
        operation.summary,
        operation.description,
        arguments,
        definitions,
    )
    for shortcut in operation.shortcuts:
        taken = tuple(
            Argument(each.name, each.place, each.schema, is_required=True)
            for each in arguments
            if each.place is Place.PATH or each.name in shortcut.fields
        )
        yield Verb(api, operation, shortcut.tool, shortcut.command, shortcut.summary, "", taken, definitions)


def _in_path(operation: Operation) -> Iterator[Argument]:
    for converter, name in _PLACEHOLDER.findall(operation.path):
        schema = {"type": "integer", "minimum": 1} if converter == "int" else {"type": "string", "minLength": 1}
        yield Argument(to_camel(name), Place.PATH, schema, is_required=True)


def _in_query(operation: Operation, definitions: dict[str, Any]) -> Iterator[Argument]:
    if operation.query is not None:
        yield from _fields(operation.query.model_json_schema(by_alias=True), Place.QUERY, definitions)


def _in_body(operation: Operation, body_argument: str, definitions: dict[str, Any]) -> Iterator[Argument]:
    if operation.body is not None:
        schema = operation.body.model_json_schema(by_alias=True)
    else:
        schema = (operation.form or {}).get("application/json", {}).get("schema", {})
    if not body_argument:
        yield from _fields(schema, Place.BODY, definitions)
    elif schema:
        definitions |= schema.get("$defs", {})
        whole = {name: value for name, value in schema.items() if name != "$defs"}
        yield Argument(body_argument, Place.WHOLE_BODY, whole, is_required=bool(schema.get("required")))


def _fields(schema: Mapping[str, Any], place: Place, definitions: dict[str, Any]) -> Iterator[Argument]:
    definitions |= schema.get("$defs", {})
    required = schema.get("required", [])
    for name, described in schema.get("properties", {}).items():
        yield Argument(name, place, described, is_required=name in required)


def _fill(path: str, name: str, value: Any) -> str:
    if value is None or value == "":
        raise Invalid(f"{name} is missing.", code="validation_error", details={"fields": {name: "Field required"}})
    if "/" in str(value):  # servers read %2F as the end of a part
        raise Invalid(f"{name} is no id.", code="validation_error", details={"fields": {name: "no id has a slash"}})
    return _PLACEHOLDER.sub(
        lambda found: quote(str(value), safe="") if to_camel(found[2]) == name else found[0],
        path,
    )
