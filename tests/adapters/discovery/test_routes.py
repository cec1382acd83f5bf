from __future__ import annotations

import pytest
import yaml
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from pydantic.alias_generators import to_camel

from adapters.catalogue import STATUS
from adapters.discovery.openapi import written_path
from adapters.web import SPOKEN
from backend.accounts.service import SCOPES

OPERATIONS = [operation for api in SPOKEN for operation in api.operations]


def test_the_openapi_document_is_valid(client: FlaskClient) -> None:
    """S-018."""
    document = client.get("/openapi.json").get_json()

    validate(document)

    assert document["openapi"].startswith("3.1")
    assert yaml.safe_load(client.get("/openapi.yaml").get_data(as_text=True)) == document


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_described_everywhere(client: FlaskClient, operation) -> None:
    """M-030, S-018."""
    path = written_path(operation.path)
    described = client.get("/openapi.json").get_json()["paths"][path][operation.method.lower()]

    assert described["operationId"] == to_camel(operation.name)
    assert described["tags"]
    assert described["summary"].endswith(".")
    assert {"401", "429", "500"} <= set(described["responses"])
    if operation.body is not None:
        assert "example" in described["requestBody"]["content"]["application/json"]
    assert f"`{operation.method}` | `{path}`" in client.get("/agents.md").get_data(as_text=True)
    assert f"`{operation.method} {path}`" in client.get("/llms.txt").get_data(as_text=True)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_errors_that_are_declared_are_in_the_catalogue(operation) -> None:
    assert set(operation.errors) <= set(STATUS)


def test_the_guide_is_public_and_knows_where_it_was_reached(client: FlaskClient) -> None:
    """M-030."""
    response = client.get("/agents.md", base_url="https://tandem.example")
    text = response.get_data(as_text=True)

    assert response.content_type == "text/markdown; charset=utf-8"
    assert "https://tandem.example/me" in text
    assert "<<" not in text
    assert "mlp_live_" + "x" * 24 not in text
    for link in ("/openapi.json", "/openapi.yaml", "/docs", "/llms.txt", "/auth.md"):
        assert f"https://tandem.example{link}" in text


def test_how_to_get_in_is_said_with_all_scopes(client: FlaskClient) -> None:
    response = client.get("/auth.md", base_url="https://tandem.example")
    text = response.get_data(as_text=True)

    assert response.content_type == "text/markdown; charset=utf-8"
    assert "https://tandem.example/me" in text
    assert "<<" not in text
    assert all(f"`{scope}`" in text for scope in SCOPES)


def test_documents_are_not_sent_again_to_those_who_have_them(client: FlaskClient) -> None:
    etag = client.get("/openapi.json").headers["ETag"]

    assert client.get("/openapi.json", headers={"If-None-Match": etag}).status_code == 304


def test_the_interactive_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    with client.get("/docs") as response:
        page = response.get_data(as_text=True)

    assert "http://" not in page
    assert "https://" not in page
    for asset in ("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"):
        assert asset in page
        with client.get(asset) as response:
            assert response.status_code == 200
    assert client.get("/docs/other.js").status_code == 404


@pytest.mark.parametrize("path", ["", "/mcp"])
def test_a_protected_resource_says_what_opens_it(client: FlaskClient, path: str) -> None:
    """Each scope by itself (RFC 9728, section 2), also where an operation needs two."""
    described = client.get(f"/.well-known/oauth-protected-resource{path}").get_json()

    assert described["resource"] == f"http://localhost{path}"
    assert described["bearer_methods_supported"] == ["header"]
    assert set(described["scopes_supported"]) <= set(SCOPES)
    assert {"team:write", "backends:write", "inference:run"} <= set(described["scopes_supported"])


def test_whoever_has_no_key_is_told_where_to_begin(client: FlaskClient) -> None:
    pointed_to = client.get("/me").headers["WWW-Authenticate"].split('"')[1]

    described = client.get(pointed_to.removeprefix("http://localhost")).get_json()

    assert described["resource"] == "http://localhost"
