"""The Naftiko capability of /api/ml (naftiko.md, section 7)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from adapters.mcp.tools import NINE, make_tools
from adapters.web import SPOKEN

PATH = "/naftiko/label-studio-subpackage-ml.yml"
NAMESPACE = "label-studio-subpackage-ml"
BASE = "https://tandem.example"
SCHEMA = os.environ.get("TANDEM_NAFTIKO_SCHEMA", "")

OPERATIONS = [  # naftiko.md §2
    ("list", "GET", ""),
    ("create", "POST", ""),
    ("get", "GET", "/{{id}}"),
    ("delete", "DELETE", "/{{id}}"),
    ("update", "PATCH", "/{{id}}"),
    ("predictinteractive", "POST", "/{{id}}/interactive-annotating"),
    ("predictalltasks", "POST", "/{{id}}/predict"),
    ("train", "POST", "/{{id}}/train"),
    ("listmodelversions", "GET", "/{{id}}/versions"),
]
HINTS = {  # naftiko.md §3: read only, destructive, idempotent
    "list-ml-backends": (True, False, True),
    "add-ml-backend": (False, False, False),
    "get-ml-backend": (True, False, True),
    "remove-ml-backend": (False, True, True),
    "update-ml-backend": (False, False, True),
    "request-interactive-annotation": (False, False, False),
    "create-predictions-all-tasks": (False, False, False),
    "train": (False, False, False),
    "get-model-versions": (True, False, True),
}

Part = dict[str, Any]


@pytest.fixture
def text(client: FlaskClient) -> str:
    return client.get(PATH, base_url=BASE).get_data(as_text=True)


@pytest.fixture
def document(text: str) -> Part:
    return yaml.safe_load(text)


@pytest.fixture
def consumed(document: Part) -> Part:
    [consumed] = document["capability"]["consumes"]
    return consumed


@pytest.fixture
def rest(document: Part) -> Part:
    return document["capability"]["exposes"][0]


@pytest.fixture
def mcp(document: Part) -> Part:
    return document["capability"]["exposes"][1]


def operations(adapter: Part) -> Iterator[tuple[str, Part]]:
    """Yield the path and the description of each operation of an adapter."""
    for resource in adapter["resources"]:
        for operation in resource["operations"]:
            yield resource["path"], operation


def parts(document: Any) -> Iterator[Part]:
    """Yield every object in a document."""
    if isinstance(document, dict):
        yield document
    for inner in document.values() if isinstance(document, dict) else document:
        if isinstance(inner, dict | list):
            yield from parts(inner)


def test_anybody_may_read_the_capability(client: FlaskClient) -> None:
    response = client.get(PATH)

    assert response.status_code == 200
    assert response.content_type == "text/yaml; charset=utf-8"
    assert client.get(PATH, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304


def test_the_index_names_the_capability(client: FlaskClient) -> None:
    assert f"({BASE}{PATH})" in client.get("/llms.txt", base_url=BASE).get_data(as_text=True)


def test_the_capability_has_the_version_and_the_name_of_label_studio_s(document: Part, consumed: Part) -> None:
    """N-027."""
    assert next(iter(document)) == "naftiko"
    assert document["naftiko"] == "1.0.0-alpha2"
    assert consumed["namespace"] == NAMESPACE


@pytest.mark.parametrize("base_url", ["", "https://elsewhere.example/"])
def test_the_consumed_api_is_this_server_without_a_slash_at_the_end(
    make_client: Callable[..., FlaskClient], base_url: str
) -> None:
    """N-027."""
    response = make_client(base_url=base_url).get(PATH, base_url=BASE)

    [consumed] = yaml.safe_load(response.get_data(as_text=True))["capability"]["consumes"]
    assert consumed["baseUri"] == (base_url.rstrip("/") or BASE)


def test_the_nine_operations_are_consumed(consumed: Part) -> None:
    """N-027."""
    found = [(each["name"], each["method"], path) for path, each in operations(consumed)]

    assert found == [(name, method, f"/api/ml{path}") for name, method, path in OPERATIONS]


def test_the_nine_operations_are_exposed_as_rest(rest: Part) -> None:
    """N-027."""
    found = [(each["name"], each["method"], path) for path, each in operations(rest)]

    assert (rest["type"], rest["namespace"], rest["port"]) == ("rest", f"{NAMESPACE}-rest", 8080)
    assert found == [(name, method, f"/v1/api/ml{path}") for name, method, path in OPERATIONS]
    assert [each["call"] for _, each in operations(rest)] == [f"{NAMESPACE}.{name}" for name, _, _ in OPERATIONS]


def test_the_nine_tools_are_exposed_over_http(mcp: Part) -> None:
    """N-027."""
    hints = {
        tool["name"]: tuple(tool["hints"][each] for each in ("readOnly", "destructive", "idempotent"))
        for tool in mcp["tools"]
    }

    assert (mcp["type"], mcp["transport"]) == ("mcp", "http")
    assert (mcp["namespace"], mcp["port"]) == (f"{NAMESPACE}-mcp", 9090)
    assert list(hints) == list(NINE)
    assert hints == HINTS
    assert [tool["call"] for tool in mcp["tools"]] == [f"{NAMESPACE}.{name}" for name, _, _ in OPERATIONS]


def test_tools_are_described_as_the_server_s_own(mcp: Part) -> None:
    own = {tool.name: tool for tool in make_tools(SPOKEN, is_proxy=False)}

    for tool in mcp["tools"]:
        assert tool["description"] == own[tool["name"]].description
        assert tool["hints"]["openWorld"] is own[tool["name"]].annotations["openWorldHint"] is False


def test_tools_reach_out_where_label_studio_answers(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(label_studio_url="http://127.0.0.1:1")

    document = yaml.safe_load(client.get(PATH).get_data(as_text=True))

    assert all(tool["hints"]["openWorld"] for tool in document["capability"]["exposes"][1]["tools"])


def test_tools_declare_what_they_take(mcp: Part) -> None:
    """N-027: as the server's own tools do; what is not said to be optional is required."""
    taken = {
        tool["name"]: {
            each["name"] + ("" if each.get("required", True) else "?"): each["type"] for each in tool["inputParameters"]
        }
        for tool in mcp["tools"]
    }

    assert taken == {
        "list-ml-backends": {"project?": "integer", "is_interactive?": "boolean"},
        "add-ml-backend": {"body": "object"},
        "get-ml-backend": {"id": "integer"},
        "remove-ml-backend": {"id": "integer"},
        "update-ml-backend": {"id": "integer", "body?": "object"},
        "request-interactive-annotation": {"id": "integer", "body": "object"},
        "create-predictions-all-tasks": {"id": "integer", "batch_size?": "integer"},
        "train": {"id": "integer", "body?": "object"},
        "get-model-versions": {"id": "integer"},
    }


def test_the_fields_of_a_body_are_named_where_it_is_described(mcp: Part) -> None:
    """The format has no schemas within parameters."""
    [body] = mcp["tools"][1]["inputParameters"]

    assert "\n- `url`: required: Base URL of the ML backend" in body["description"]
    assert "\n- `title`\n" in body["description"]


def test_what_is_taken_is_handed_on(consumed: Part, rest: Part, mcp: Part) -> None:
    """In the path, in the query, or as the whole body."""
    wanted = {}
    for path, operation in operations(consumed):
        places = {each["name"]: each["in"] for each in operation["inputParameters"]}
        assert re.findall(r"\{\{(\w+)}}", path) == [name for name, place in places.items() if place == "path"]
        wanted[f"{NAMESPACE}.{operation['name']}"] = places | ({"body": "body"} if "body" in operation else {})
        assert operation.get("body", "{{body}}") == "{{body}}"

    for _, operation in operations(rest):
        places = {each["name"]: each["in"] for each in operation["inputParameters"]}
        assert places == wanted[operation["call"]]
        assert operation["with"] == {name: f"{NAMESPACE}-rest.{name}" for name in places}
    for tool in mcp["tools"]:
        names = [each["name"] for each in tool["inputParameters"]]
        assert names == list(wanted[tool["call"]])
        assert tool["with"] == {name: f"{NAMESPACE}-mcp.{name}" for name in names}


def test_the_key_comes_from_the_environment_and_opens_what_is_exposed(text: str, document: Part) -> None:
    """An engine that acts with a key must not let in those who do not have it."""
    capability = document["capability"]

    for adapter in (*capability["consumes"], *capability["exposes"]):
        assert adapter["authentication"] == {"type": "bearer", "token": "{{LABEL_STUDIO_API_KEY}}"}
    assert [bind["keys"] for bind in document["binds"]] == [{"LABEL_STUDIO_API_KEY": "LABEL_STUDIO_API_KEY"}]
    assert "mlp_" not in text


def test_the_facts_of_the_format_hold(text: str, document: Part) -> None:
    """N-027: types, paths without queries, descriptions without scripts, namespaces that are told apart."""
    found = list(parts(document))
    namespaces = [part["namespace"] for part in found if "namespace" in part]

    assert {part["type"] for part in found if "type" in part and "description" in part and "name" in part} <= {
        *("string", "number", "integer", "boolean", "array", "object")
    }
    assert all(re.fullmatch(r"(/[\w{}-]+)+", part["path"]) for part in found if "path" in part)
    assert all(part["description"].strip() for part in found if "description" in part)
    assert not re.search(r"<script|eval\(", text)
    assert len(set(namespaces)) == len(namespaces) == 4
    assert not re.search(r"[&*]id\d", text), "engines need not know anchors"


@pytest.mark.skipif(not SCHEMA, reason="TANDEM_NAFTIKO_SCHEMA names no file: the public schema of 1.0.0-alpha2")
def test_the_capability_is_valid(document: Part) -> None:
    """N-027."""
    schema = json.loads(Path(SCHEMA).read_text())
    Draft202012Validator.check_schema(schema)

    errors = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)]

    assert schema["properties"]["naftiko"]["const"] == "1.0.0-alpha2"
    assert errors == []
