"""What must be true of an ML backend before it is registered, or changed."""

from __future__ import annotations

from adapters.label_studio.addresses import is_same_server
from adapters.label_studio.backends.peers import Peer, Seen
from adapters.label_studio.backends.wire import AuthMethod
from backend.connections.ml_backends import SELF, TRAINING_FAILED, Changes, MLBackend
from backend.errors import Invalid

DESCRIBED = frozenset(
    {"title", "description", "auth_method", "basic_auth_user", "is_interactive", "auto_update", "model_version"}
    | {"extra_params"}
)
"""Fields that have the same name outside."""


def wrong(field: str, message: str) -> Invalid:
    """Return the error for a field that cannot be so; "body" for what is about several."""
    return Invalid(message, code="validation_error", details={"fields": {field: message}})


def require_pair(backend: MLBackend, password: str) -> None:
    """Make sure that a user and a password are known where they are to be sent.

    Raises:
        Invalid: One is missing.
    """
    if backend.auth_method == AuthMethod.BASIC_AUTH and not (backend.basic_auth_user and password):
        raise wrong("body", "auth_method BASIC_AUTH needs basic_auth_user and basic_auth_pass.")


def require_working(backend: MLBackend, peer: Peer) -> Seen:
    """Make sure that a backend is healthy, and then that it accepts its project.

    Raises:
        Invalid: It is not, or does not.
    """
    seen = peer.look()
    if seen.needs_password:
        raise wrong("body", f"{backend.url} was reached, but the user or the password is missing or wrong.")
    if not seen.is_reachable:
        raise wrong("url", f"Cannot connect to the ML backend, its health check failed: {seen.error}")
    if seen.error is not None and not seen.error.startswith(TRAINING_FAILED):
        raise wrong("url", f"It is healthy, but does not look like a valid ML backend: {seen.error}")
    return seen


def is_same_place(known: str, url: str) -> bool:
    """Say whether what one URL is told may be told to another: a stored password never leaves to another server."""
    return known == url or (SELF not in (known, url) and is_same_server(known, url))


def changed(backend: MLBackend, changes: Changes) -> MLBackend:
    """Return a backend as it would be, without changing it."""
    names = ("project_id", "url", "timeout_s", "run_ids", "error_message", *DESCRIBED)
    return MLBackend(**{**{name: getattr(backend, name) for name in names}, **changes})
