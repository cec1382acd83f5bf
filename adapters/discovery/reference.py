"""The reference of all operations as one Markdown text: what they take, what they answer, how they fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapters.discovery.openapi import document, written_path
from adapters.operations import Api, Operation

Schema = Mapping[str, Any]


def reference(apis: Sequence[Api], base_url: str) -> str:
    """Return the reference: each operation once, and then each type of a body once."""
    described = document(apis, base_url)
    schemas = described["components"]["schemas"]
    said = [
        "\n".join(_operation(operation, described["paths"][written_path(operation.path)][operation.method.lower()]))
        for api in apis
        for operation in api.operations
    ]
    routes = [route for path in described["paths"].values() for route in path.values()]
    errors = {f"{api.name}_error" for api in apis}
    asked = _used([route.get("requestBody") for route in routes], schemas)
    types = [
        "\n".join(_type(name, schemas[name], is_asked=name in asked))
        for name in sorted(_used(routes, schemas) - errors)
    ]
    return "\n\n".join(["## Operations", *said, "## Types", *types]) + "\n"


def _operation(operation: Operation, described: Schema) -> Iterator[str]:
    yield f"### `{operation.method} {written_path(operation.path)}`"
    yield ""
    yield f"{operation.summary} {operation.description}".strip()
    yield ""
    if operation.aliases:
        yield f"- Also at: {', '.join(f'`{written_path(path)}`' for path in operation.aliases)}"
    yield from _names(operation)
    if operation.scope:
        yield f"- Scope: {' and '.join(f'`{scope}`' for scope in operation.scope.split())}"
    for parameter in described["parameters"]:
        if parameter["in"] != "header":
            yield "- " + _field(parameter["name"], parameter, is_required=parameter["required"], where=parameter["in"])
    for media_type, content in described.get("requestBody", {}).get("content", {}).items():
        yield f"- Body, `{media_type}`: {_worded(content.get('schema', {}))}"
    if operation.example:
        yield f"- Example: `{json.dumps(operation.example, ensure_ascii=False)}`"
    for status, response in described["responses"].items():
        if status < "400":
            yield f"- Answers {status}: {' or '.join(_answers(response)) or 'nothing'}"
    if operation.errors:
        yield f"- Errors of its own: {', '.join(f'`{code}`' for code in operation.errors)}"


def _names(operation: Operation) -> Iterator[str]:
    if operation.tool:
        yield f"- Tool: `{operation.tool}`"
    elif operation.toolless:
        yield f"- No tool: {operation.toolless}"
    if operation.command:
        yield f"- Command: `tandem {operation.command}`"
    for shortcut in operation.shortcuts:
        fields = ", ".join(f"`{name}`" for name in shortcut.fields)
        yield f"- For {fields} alone: tool `{shortcut.tool}`, command `tandem {shortcut.command}`"


def _answers(response: Schema) -> Iterator[str]:
    for media_type, content in response.get("content", {}).items():
        schema = content["schema"]
        is_json = media_type == "application/json"
        yield _worded(schema.get("properties", {}).get("data", schema)) if is_json else f"`{media_type}`"


def _type(name: str, schema: Schema, *, is_asked: bool) -> Iterator[str]:
    """Word a type; what is required of it matters only to those who send it."""
    yield f"### {name}"
    yield ""
    if "description" in schema:
        yield schema["description"]
        yield ""
    required = schema.get("required", []) if is_asked else []
    for field, described in schema.get("properties", {}).items():
        yield "- " + _field(field, {**described, "schema": described}, is_required=field in required)
    if "properties" not in schema:
        yield _worded(schema)


def _field(name: str, described: Schema, *, is_required: bool, where: str = "") -> str:
    """Word a parameter or a field, whose type is in `described["schema"]`.

    >>> _field("limit", {"schema": {"type": "integer", "default": 50, "maximum": 200}}, is_required=False)
    '`limit`: integer, at most 200; default 50'
    """
    schema = described["schema"]
    facts = [_worded(schema), *_bounds(schema)]
    said = f"`{name}`{f' in the {where}' if where else ''}: {', '.join(facts)}"
    if is_required:
        said += "; required" if where != "path" else ""
    elif schema.get("default") not in (None, "", [], {}):
        said += f"; default {json.dumps(schema['default'])}"
    return f"{said}. {described['description']}" if described.get("description") else said


def _bounds(schema: Schema) -> Iterator[str]:
    words = {"minimum": "at least", "maximum": "at most", "maxLength": "characters ≤", "maxItems": "items ≤"}
    for part in (schema, *schema.get("anyOf", ())):
        yield from (f"{word} {part[name]}" for name, word in words.items() if name in part)


def _worded(schema: Schema) -> str:
    """Word a type.

    >>> _worded({"anyOf": [{"type": "array", "items": {"$ref": "#/components/schemas/LabelIn"}}, {"type": "null"}]})
    'list of LabelIn, or null'
    """
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return ", or ".join(dict.fromkeys(_worded(each) for each in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_worded(schema.get('items', {}))}"
    if schema.get("format") == "binary":
        return "a file"
    if "properties" in schema:
        return "{" + ", ".join(f"`{name}`: {_worded(each)}" for name, each in schema["properties"].items()) + "}"
    return str(schema.get("type", "any JSON"))


def _used(part: Any, schemas: Schema) -> set[str]:
    """Return the names of all types that a part of the document leads to."""
    used: set[str] = set()
    waiting = [part]
    while waiting:
        found = {ref.rpartition("/")[2] for ref in _refs(waiting.pop())} - used
        used |= found
        waiting += [schemas[name] for name in found]
    return used


def _refs(part: Any) -> Iterator[str]:
    match part:
        case {"$ref": str(ref)}:
            yield ref
        case dict():
            for each in part.values():
                yield from _refs(each)
        case list():
            for each in part:
                yield from _refs(each)
