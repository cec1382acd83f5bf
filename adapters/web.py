"""The web application: which APIs there are, and how the server is put together."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

from flask import Blueprint, Flask, Response, g, request

from adapters.console import routes as console
from adapters.discovery import routes as discovery
from adapters.http import BasicAuth, storable, word_errors
from adapters.label_studio import contract as label_studio
from adapters.label_studio.backends import routes as ml_backends
from adapters.mcp import routes as mcp
from adapters.mlp import routes as mlp
from adapters.operations import Api
from adapters.transfer import allow_pages, preflight
from backend import logs
from backend.errors import TandemError
from backend.ids import new_id
from backend.metrics import ERRORS, count_answer
from backend.services import Services
from backend.settings import Settings

log = logging.getLogger(__name__)

APIS: tuple[Callable[[Services, BasicAuth], Blueprint], ...] = (
    console.blueprint,
    label_studio.blueprint,
    mlp.blueprint,
    ml_backends.blueprint,
)
SPOKEN: tuple[Api, ...] = (mlp.api, ml_backends.api)
"""Those of them that word errors in their own way."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def create_app(settings: Settings | None = None, services: Services | None = None) -> Flask:
    """Put the web application together; called once in each web process, after forking.

    Args:
        settings: In place of those from the environment.
        services: In place of those built from the settings.
    """
    settings = settings or Settings()
    if services is None:
        logs.configure(settings, process="web")
        services = Services.build(settings)
    app = Flask("tandem", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # its answer would be no JSON
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    auth = BasicAuth(settings.basic_auth_user, settings.basic_auth_pass.get_secret_value())
    for api in APIS:
        app.register_blueprint(api(services, auth))
    app.register_blueprint(discovery.blueprint(SPOKEN))
    app.register_blueprint(mcp.blueprint(services, SPOKEN))
    _observe(app, settings)
    word_errors(app, when_crashed=lambda route: ERRORS.labels(route).inc(), find_words=_find_words)
    return app


def _find_words(path: str) -> Callable[[TandemError], Response] | None:
    return next((api.dialect.word for api in SPOKEN if api.covers(path)), None)


def _observe(app: Flask, settings: Settings) -> None:
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]

    @app.before_request
    def begin() -> Response | None:
        said = request.headers.get("X-Request-Id", "")
        g.request_id = said if _REQUEST_ID.fullmatch(said) else new_id().upper()
        g.started = time.perf_counter()
        g.log_context = logs.context(request_id=g.request_id)
        g.log_context.__enter__()
        g.base_url = settings.base_url.rstrip("/") or f"{request.scheme}://{request.host}"
        storable("The path", request.path)
        return preflight(origins)

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.started
        route = request.url_rule.endpoint if request.url_rule else "unknown"
        response.headers["X-Request-Id"] = g.request_id
        allow_pages(response, origins)
        count_answer(route, response.status_code, seconds)
        level = logging.DEBUG if route in ("contract.health", "contract.root") else logging.INFO
        log.log(
            level,
            "request answered",
            extra={"route": route, "status": response.status_code, "ms": round(seconds * 1000, 1)},
        )
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        if "log_context" in g:
            g.log_context.__exit__(None, None, None)
