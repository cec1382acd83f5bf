"""JSON Schemas (2020-12) of what tools take and of what they return, each valid by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from adapters.identifiers import PREFIXES
from adapters.operations import Operation
from adapters.verbs import Place, Verb

Schema = dict[str, Any]

AUTHORIZATION = "Authorization"
IDEMPOTENCY_KEY = "idempotencyKey"
HIDDEN = ("raw", "sig")
"""Arguments that make no sense for a tool: they change what comes back into something that is no JSON, or no secret."""

_OBJECT: Schema = {"type": "object"}
_IMAGE: Schema = {
    "type": "object",
    "properties": {
        "mimeType": {"type": "string"},
        "bytes": {"type": "integer"},
        "width": {"type": "integer", "description": "Of what is shown, in pixels; get-image tells the original's."},
        "height": {"type": "integer", "description": "Of what is shown, in pixels."},
    },
    "required": ["mimeType", "bytes"],
}
_AUTHORIZATION: Schema = {
    "type": "string",
    "description": "Leave it out. A key in place of the connection's own, for this call only: models log arguments.",
}
_IDEMPOTENCY_KEY: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "Any text of your own: called again with the same one, it is done only once.",
}


def input_schema(verb: Verb) -> Schema:
    """Return what a verb takes as a tool."""
    shown = [argument for argument in verb.arguments if argument.name not in HIDDEN]
    properties: Schema = {argument.name: dict(argument.schema) for argument in shown}
    for argument in shown:
        if argument.place is Place.PATH:
            properties[argument.name].setdefault("description", _meaning(argument.name))
    if verb.operation.method == "POST":
        properties[IDEMPOTENCY_KEY] = _IDEMPOTENCY_KEY
    return taking(
        properties, [argument.name for argument in shown if argument.is_required], definitions=verb.definitions
    )


def taking(properties: Schema, required: list[str], *, definitions: Mapping[str, Any] | None = None) -> Schema:
    """Return the schema of some arguments, and of the one that all tools have."""
    schema: Schema = {"type": "object", "properties": {**properties, AUTHORIZATION: _AUTHORIZATION}}
    if required:
        schema["required"] = required
    if definitions:
        schema["$defs"] = dict(definitions)
    return _without_titles(schema)


def output_schema(verb: Verb, *, is_foreign: bool) -> Schema:
    """Return what a verb returns as a tool.

    Args:
        verb: The verb.
        is_foreign: Whether another server's answers are passed on, which are an object at best.
    """
    operation = verb.operation
    if operation.status == 204:
        return _gone(verb)
    if operation.media_type.startswith("image/"):
        return _IMAGE
    if operation.answer is None or is_foreign:
        return _OBJECT
    schemas = [_of(model) for model in (operation.answer, *_also(operation))]
    definitions = {name: schema for each in schemas for name, schema in each.pop("$defs", {}).items()}
    schema = _as_object(schemas[0]) if len(schemas) == 1 else {"type": "object", "anyOf": schemas}
    return _without_titles({**schema, **({"$defs": definitions} if definitions else {})})


def returning_text() -> Schema:
    """Return the schema of a text."""
    return _as_object({"type": "string"})


def id_of_what_goes(verb: Verb) -> str:
    """Return the argument that says what a deletion deletes."""
    return [argument.name for argument in verb.arguments if argument.place is Place.PATH][-1]


def kind_of(argument: str) -> str | None:
    """Return which kind of id an argument holds, by the name that `PREFIXES` has; None: none of them.

    >>> kind_of("projectId"), kind_of("activeTrainingId"), kind_of("limit")
    ('project_id', 'training_id', None)
    """
    return next((kind for kind in PREFIXES if argument.lower().endswith(to_camel(kind).lower())), None)


def _meaning(argument: str) -> str:
    kind = kind_of(argument)
    if kind is None:
        return "Its number."
    return f"The {kind.removesuffix('_id').replace('_', ' ')}'s id: {PREFIXES[kind]}…"


def _of(model: type[BaseModel]) -> Schema:
    return model.model_json_schema(by_alias=True, mode="serialization")


def _also(operation: Operation) -> list[type[BaseModel]]:
    return [model for status, model in operation.also.items() if status < 400]


def _as_object(schema: Schema) -> Schema:
    if schema.get("type", "object") == "object":
        return {"type": "object", **schema}
    return {"type": "object", "properties": {"result": schema}, "required": ["result"]}


def _gone(verb: Verb) -> Schema:
    if verb.operation.method != "DELETE":
        return {"type": "object", "properties": {"done": {"const": True}}, "required": ["done"]}
    gone = id_of_what_goes(verb)
    (argument,) = (argument for argument in verb.arguments if argument.name == gone)
    return {
        "type": "object",
        "properties": {"deleted": {"const": True}, "id": {"type": argument.schema["type"]}},
        "required": ["deleted", "id"],
    }


def _without_titles(schema: Schema) -> Schema:
    """Leave out what pydantic makes of the names of fields: it says nothing, and takes room."""
    return {name: _below(inner) for name, inner in schema.items() if not (name == "title" and isinstance(inner, str))}


def _below(schema: Any) -> Any:
    match schema:
        case dict():
            return _without_titles(schema)
        case list():
            return [_below(inner) for inner in schema]
    return schema
