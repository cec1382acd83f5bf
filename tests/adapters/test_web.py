from __future__ import annotations

import logging
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from adapters import web
from adapters.web import create_app
from backend.logs import request_id
from backend.services import Services
from backend.settings import Settings


@pytest.fixture
def app(settings: Settings, services: Services) -> Flask:
    """The application, with routes that fail."""
    made = create_app(settings, services)

    @made.get("/crash")
    def crash() -> str:
        raise RuntimeError("the password is hush")

    @made.get("/who")
    def who() -> str:
        return request_id() or ""

    return made


@pytest.fixture
def failing(app: Flask) -> FlaskClient:
    return app.test_client()


def test_a_crash_is_500_json_that_names_no_detail(failing: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    response = failing.get("/crash")

    assert response.status.startswith("500 an internal error (RuntimeError)")
    assert response.get_json()["code"] == "internal_server_error"
    assert "hush" not in response.get_data(as_text=True) + response.status
    [record] = [record for record in caplog.records if record.getMessage() == "request crashed"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


def test_a_crash_leaves_the_next_request_alone(failing: FlaskClient) -> None:
    crashed = failing.get("/crash").headers["X-Request-Id"]
    following = failing.get("/who")

    assert following.get_data(as_text=True) == following.headers["X-Request-Id"] != crashed
    assert request_id() is None


def test_log_lines_inside_a_request_know_its_id(failing: FlaskClient) -> None:
    """agent-surface 12.5."""
    assert failing.get("/who", headers={"X-Request-Id": "mine"}).get_data(as_text=True) == "mine"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "é", "a/b", "<script>"])
def test_an_invalid_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    response = client.get("/health", headers={"X-Request-Id": sent})

    assert response.headers["X-Request-Id"] != sent
    assert len(response.headers["X-Request-Id"]) == 26


def test_a_request_is_logged_once_with_route_and_status(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    client.get("/nothing")
    client.get("/health")

    lines = [vars(record) for record in caplog.records if record.getMessage() == "request answered"]
    assert [(line["route"], line["status"]) for line in lines] == [("unknown", 404)]


def example_path(rule: str) -> str:
    """Return a path that fits a rule."""

    def example(found: re.Match[str]) -> str:
        kind = found[1] or ""
        return "1" if kind == "int" else kind[4:-1].split(",")[0] if kind.startswith("any(") else f"x{found[2]}x"

    return re.sub(r"<(?:([^<>:]+):)?(\w+)>", example, rule)


def test_no_route_redirects(app: Flask) -> None:
    """C-001: Label Studio would repeat a POST as a GET."""
    urls = app.url_map.bind("localhost")

    for rule in app.url_map.iter_rules():
        path = example_path(rule.rule)
        for written in (path, path.rstrip("/") + "/"):
            method = next(iter(sorted((rule.methods or set()) - {"HEAD"})))
            assert urls.match(written, method)


def test_every_api_is_behind_the_password(settings: Settings, services: Services) -> None:
    """agent-surface 3.1: whatever route comes next, it is protected unless it is /webhook, which has its own rule.

    What discovery tells is public, and the image files that Label Studio fetches are protected by their signature.
    """
    locked = create_app(Settings(home=settings.home, device="cpu", basic_auth_pass="secret"), services)
    client = locked.test_client()

    for rule in locked.url_map.iter_rules():
        if rule.endpoint.startswith("discovery.") or rule.endpoint in ("ml_backends.unknown", "mcp.resource"):
            continue
        for method in (rule.methods or set()) - {"HEAD"}:
            path = example_path(rule.rule)
            status = client.open(path, method=method).status_code
            assert status == (400 if rule.endpoint == "contract.webhook" else 401), (method, path)


def test_each_api_is_a_blueprint_of_its_own(settings: Settings, services: Services) -> None:
    assert len(create_app(settings, services).blueprints) == len(web.APIS) + len(["discovery", "mcp"])
