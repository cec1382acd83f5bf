"""`init_app`: a WSGI application around a model class, for `_wsgi.py` files and models' own tests.

`tandem host` reads which class such a file serves, and calls that class itself; training there is off the request path.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from .model import LabelStudioMLBase

if TYPE_CHECKING:
    from ._tandem.calls import Calls

logger = logging.getLogger(__name__)

BODY = "label_studio_ml.body"
_initialised: list[type[LabelStudioMLBase]] = []


def initialised() -> list[type[LabelStudioMLBase]]:
    """Return the classes that applications were made for, in order."""
    return list(_initialised)


class _Request(Request):
    """A request whose body may have come another way than over HTTP."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        if BODY in self.environ:
            return self.environ[BODY]
        return super().get_json(force=force, silent=silent, cache=cache)


def init_app(
    model_class: type[LabelStudioMLBase],
    basic_auth_user: str | None = None,
    basic_auth_pass: str | None = None,
    **kwargs: Any,
) -> Flask:
    """Return an application that serves a class at /predict, /setup, /webhook and /health.

    Args:
        model_class: What answers.
        basic_auth_user: Who may ask; BASIC_AUTH_USER if not given.
        basic_auth_pass: The password; BASIC_AUTH_PASS if not given.
        kwargs: Settings of the first generation, which have no meaning here.

    Raises:
        ValueError: The class does not inherit LabelStudioMLBase.
    """
    if not issubclass(model_class, LabelStudioMLBase):
        raise ValueError("Inference class should be the subclass of LabelStudioMLBase")
    from ._tandem.calls import Calls
    from ._tandem.discovery import generation

    _initialised.append(model_class)
    app = Flask("label_studio_ml")
    app.request_class = _Request
    user = basic_auth_user or os.environ.get("BASIC_AUTH_USER")
    password = basic_auth_pass or os.environ.get("BASIC_AUTH_PASS")
    if user and password:
        _ask_who(app, user, password)
    _add_routes(app, Calls(model_class, generation=generation(model_class)))
    return app


def _add_routes(app: Flask, calls: Calls) -> None:
    @app.post("/predict")
    def predict() -> Response:
        return jsonify({"results": calls.predict(request.get_json(force=True))["results"]})

    @app.post("/setup")
    def setup() -> Response:
        return jsonify(calls.setup(request.get_json(force=True)))

    @app.post("/webhook")
    def webhook() -> tuple[Response, int]:
        data = dict(request.get_json(force=True))
        event = data.pop("action", None)
        if event not in calls.model_class.TRAIN_EVENTS:
            return jsonify({"status": "Unknown event"}), 200
        made = calls.fit({"event": event, "data": data, "job": "direct"})
        return jsonify({"result": made["result"], "status": "ok"}), 201

    @app.get("/")
    @app.get("/health")
    def health() -> Response:
        return jsonify({"status": "UP", "model_class": calls.model_class.__name__})

    @app.get("/metrics")
    def metrics() -> Response:
        return jsonify({})

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[Response, int]:
        if isinstance(error, HTTPException):
            return jsonify({"detail": error.description}), error.code or 500
        logger.error("request failed", exc_info=error)
        return jsonify({"status": 500, "detail": f"{type(error).__name__}: {error}"}), 500


def _ask_who(app: Flask, user: str, password: str) -> None:
    import hmac

    @app.before_request
    def check() -> Response | None:
        said = request.authorization
        if said and said.type == "basic":
            is_right = [
                hmac.compare_digest((said.get(name) or "").encode(), wanted.encode())
                for name, wanted in (("username", user), ("password", password))
            ]
            if all(is_right):
                return None
        response = jsonify({"detail": "Unauthorized"})
        response.status_code = 401
        response.headers["WWW-Authenticate"] = 'Basic realm="Login required"'
        return response
