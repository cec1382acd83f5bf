"""Routes that anybody may ask: what there is, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import yaml
from flask import Blueprint, Response, current_app, g, request, send_from_directory

from adapters.discovery.capability import NAMESPACE, capability
from adapters.discovery.guide import admission, everything, guide, index, prompt, skill
from adapters.discovery.openapi import document
from adapters.http import answer
from adapters.label_studio.backends.dialect import MODE
from adapters.operations import Api

_MARKDOWN = "text/markdown"
_ASSETS = {"swagger-ui.css": "css", "swagger-ui-bundle.js": "js"}


def blueprint(apis: Sequence[Api]) -> Blueprint:
    """Return the routes that describe some APIs."""
    made = Blueprint("discovery", __name__)

    def serve(path: str, mimetype: str, write: Callable[[str], str]) -> None:
        def view() -> Response:
            text = write(g.base_url)
            response = Response(text, mimetype=mimetype)
            response.set_etag(sha256(text.encode()).hexdigest()[:32])
            response.make_conditional(request)
            return response

        made.add_url_rule(path, path.strip("/").replace(".", "_"), view)

    serve("/openapi.json", "application/json", lambda base_url: json.dumps(document(apis, base_url)))
    serve(
        "/openapi.yaml", "application/yaml", lambda base_url: yaml.safe_dump(document(apis, base_url), sort_keys=False)
    )
    serve("/agents.md", _MARKDOWN, lambda base_url: guide(apis, base_url))
    serve("/skill.md", _MARKDOWN, lambda base_url: skill(apis, base_url))
    serve("/auth.md", _MARKDOWN, admission)
    serve("/agents/prompt", "text/plain", prompt)
    serve("/llms.txt", _MARKDOWN, lambda base_url: index(apis, base_url))
    serve("/llms-full.txt", _MARKDOWN, lambda base_url: everything(apis, base_url))
    serve(
        f"/naftiko/{NAMESPACE}.yml",
        "text/yaml",
        lambda base_url: yaml.safe_dump(
            capability(apis, base_url, is_proxy=current_app.config[MODE] == "proxy"), sort_keys=False
        ),
    )

    @made.get("/docs")
    def docs() -> Response:
        return send_from_directory(Path(__file__).parent / "pages", "docs.html", max_age=0)

    @made.get("/docs/<name>")
    def asset(name: str) -> Response:
        if name not in _ASSETS:
            return answer({"detail": "There is no such file.", "code": "not_found"}, 404)
        return send_from_directory(_swagger() / _ASSETS[name], name, max_age=86400)

    @made.get("/.well-known/oauth-protected-resource")
    def protected_server() -> Response:
        return answer(_resource(apis, ""))

    @made.get("/.well-known/oauth-protected-resource/mcp")
    def protected_tools() -> Response:
        return answer(_resource(apis, "/mcp"))

    return made


def _resource(apis: Sequence[Api], path: str) -> dict[str, Any]:
    """Describe what keys open (Source: RFC 9728)."""
    return {
        "resource": f"{g.base_url}{path}",
        "resource_name": "Tandem",
        "resource_documentation": f"{g.base_url}/agents.md",
        "bearer_methods_supported": ["header"],
        "scopes_supported": sorted({scope for api in apis for each in api.operations for scope in each.scope.split()}),
    }


def _swagger() -> Path:
    """Return the folder of the page's assets, without importing the package: it would bring a second framework."""
    return Path(str(distribution("flask-openapi3-swagger").locate_file("flask_openapi3_swagger/templates/swagger")))
