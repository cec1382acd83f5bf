"""The OpenAPI 3.1 document of all operations, made of their declarations (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from adapters.catalogue import STATUS
from adapters.identifiers import PREFIXES
from adapters.operations import MAX_NUMBER, Api, Operation

_REF = "#/components/schemas/{model}"
_EVERYWHERE = ("UNAUTHENTICATED", "API_KEY_INVALID", "RATE_LIMITED", "INTERNAL", "SERVICE_UNAVAILABLE")
_ULID = "[0-7][0-9a-hjkmnp-tv-z]{25}"

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]
Refs = Mapping[Any, Schema]
"""By model and mode."""


def document(apis: Sequence[Api], base_url: str) -> Schema:
    """Return the document of some APIs as they are reached at an address."""
    operations = [(api, operation) for api in apis for operation in api.operations]
    refs, schemas = _schemas(operation for _, operation in operations)
    paths: dict[str, Schema] = {}
    for api, operation in operations:
        for written in (operation.path, *operation.aliases):
            path = written_path(written)
            is_alias = written != operation.path
            paths.setdefault(path, {})[operation.method.lower()] = _operation(api, operation, refs, is_alias=is_alias)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tandem",
            "version": version("tandem-ml"),
            "description": f"An ML backend that trains on your own labels. The guide for agents: {base_url}/agents.md",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "security": [{"key": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for _, operation in operations)],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "mlp_live_…"}},
            "schemas": {**schemas, **{f"{api.name}_error": api.dialect.error_schema for api in apis}},
        },
    }


def _schemas(operations: Iterable[Operation]) -> tuple[Refs, Schema]:
    wanted: dict[tuple[type[BaseModel], Mode], None] = {}
    for operation in operations:
        for model in filter(None, (operation.body, operation.query)):
            wanted[model, "validation"] = None
        for model in filter(None, (operation.answer, *operation.also.values())):
            wanted[model, "serialization"] = None
    refs, definitions = models_json_schema(list(wanted), ref_template=_REF)
    return refs, definitions.get("$defs", {})


def written_path(written: str) -> str:
    """Return a path as OpenAPI writes it.

    >>> written_path("/projects/<project_id>/images")
    '/projects/{projectId}/images'
    """
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: "{" + to_camel(found[1]) + "}", written)


def _operation(api: Api, operation: Operation, refs: Refs, *, is_alias: bool) -> Schema:
    described: Schema = {
        "operationId": to_camel(operation.name) + ("Alias" if is_alias else ""),
        "summary": operation.summary,
        "description": "\n\n".join(filter(None, (operation.description, _scope(operation)))),
        "tags": [operation.tag],
        "parameters": [*_in_path(operation.path), *_in_query(operation)],
        "responses": _responses(api, operation, refs),
    }
    content = dict(operation.form or {})
    if operation.body is not None and "application/json" not in content:
        content["application/json"] = {"schema": refs[operation.body, "validation"]}
        if operation.example:
            content["application/json"]["example"] = dict(operation.example)
    if content:
        fields = operation.body.model_fields.values() if operation.body is not None and not operation.form else ()
        is_required = operation.form is not None or any(field.is_required() for field in fields)
        described["requestBody"] = {"required": is_required, "content": content}
    if operation.method == "POST":
        described["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Repeat a request under the same key and it is done only once.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            }
        )
    return described


def _scope(operation: Operation) -> str:
    return f"Needs the scope `{operation.scope}`." if operation.scope else ""


def _in_path(path: str) -> Iterator[Schema]:
    for converter, name in re.findall(r"<(?:(\w+):)?(\w+)>", path):
        schema: Schema = {"type": "string", "minLength": 1}
        if converter == "int":
            schema = {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER}
        if name in PREFIXES:
            schema["pattern"] = f"^{PREFIXES[name]}{_ULID}$"
        yield {"name": to_camel(name), "in": "path", "required": True, "schema": schema}


def _in_query(operation: Operation) -> list[Schema]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(by_alias=True)
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": described.pop("description", ""),
            "schema": described,
        }
        for name, described in schema["properties"].items()
    ]


def _responses(api: Api, operation: Operation, refs: Refs) -> Schema:
    responses = {str(operation.status): _success(api, operation, refs), **_errors(api, operation)}
    for status, model in operation.also.items():
        schema = refs[model, "serialization"]
        if status < 400:
            schema = api.dialect.describe(schema)
        response = responses.setdefault(str(status), {"description": (model.__doc__ or "").partition("\n")[0]})
        content = response.setdefault("content", {}).setdefault("application/json", {})
        content["schema"] = {"anyOf": [content["schema"], schema]} if "schema" in content else schema
    return responses


def _success(api: Api, operation: Operation, refs: Refs) -> Schema:
    if operation.status == 204:
        return {"description": "Done."}
    described: Schema = {"description": "Success."}
    if operation.media_type != "application/json":
        described["content"] = {operation.media_type: {"schema": {"type": "string", "format": "binary"}}}
    elif operation.answer is not None:
        schema = api.dialect.describe(refs[operation.answer, "serialization"])
        described["content"] = {"application/json": {"schema": schema}}
    return described


def _errors(api: Api, operation: Operation) -> dict[str, Schema]:
    codes = [*_EVERYWHERE, *operation.errors]
    codes += ["INSUFFICIENT_SCOPE"] if operation.scope else []
    codes += ["NOT_FOUND"] if operation.parameters else []
    codes += ["VALIDATION_ERROR"] if operation.body or operation.query or operation.method == "POST" else []
    if operation.body or operation.form:
        codes += ["INVALID_JSON", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"]
    if operation.method == "POST":
        codes += ["IDEMPOTENCY_IN_PROGRESS", "IDEMPOTENCY_KEY_REUSED"]
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        str(status): {
            "description": ", ".join(f"`{code}`" for code in found),
            "content": {"application/json": {"schema": {"$ref": _REF.format(model=f"{api.name}_error")}}},
        }
        for status, found in sorted(by_status.items())
    }
