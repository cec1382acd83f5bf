"""What is behind a registered ML backend: this server itself, or another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.label_studio.access import KIND
from backend.errors import TandemError
from backend.projects.service import Mirror


class Refused(TandemError):
    """A backend does not do what it was asked for; the message says why."""

    default_code = "refused_by_backend"


@dataclass(frozen=True, slots=True)
class Seen:
    """A backend as it answered just now.

    Attributes:
        is_reachable: Whether it is healthy.
        error: What is wrong: it cannot be reached, or not be set up, or the last training that it tells of failed.
        model_version: What it serves; None: it did not say.
        is_training: Whether it says that it trains.
        needs_password: Whether it is there, but knows another user and password.
    """

    is_reachable: bool
    error: str | None = None
    model_version: str | None = None
    is_training: bool = False
    needs_password: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """The versions of a backend, newest first, and what there is to say about the list."""

    names: Sequence[str]
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of asking a backend about one task, to see whether it works.

    Attributes:
        url: Where it was asked.
        request: What it was asked.
        response: Its results.
    """

    url: str
    task: dict[str, Any]
    request: dict[str, Any]
    response: list[Any]


class Peer(Protocol):
    """An ML backend as its registry sees it."""

    def look(self) -> Seen:
        """Ask how it is, as before every use."""

    def train(self, *, use_ground_truth: bool) -> Sequence[str]:
        """Let it train; return the jobs that came of it, the first one being what callers are told.

        Raises:
            Refused: It does not.
        """

    def suggest(self, task_number: int, context: Any) -> dict[str, Any]:
        """Return what it finds where somebody points at.

        Raises:
            NotFound: Its project has no such task.
            TandemError: It finds nothing, because something is wrong.
        """

    def try_out(self) -> Tried:
        """Ask what it finds in any task; nothing is kept.

        Raises:
            Conflict: Its project has none, or it has no model yet.
            TandemError: It finds nothing, because something is wrong.
        """

    def versions(self) -> Listed:
        """Return what it can serve.

        Raises:
            Unanswered: It does not say.
        """


class Unanswered(TandemError):
    """A backend answered with a status of its own, or not at all.

    Attributes:
        status: What callers are to be told.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, code="upstream_error")
        self.status = status


def uid_of(mirror: Mirror) -> str:
    """Return the name that backends know a project by: an id and the moment when it was made."""
    if mirror.origin.kind == KIND:
        return mirror.origin.uid
    return f"{mirror.project.number}.{int(mirror.project.created_at.timestamp())}"


def prediction_request(mirror: Mirror, tasks: Sequence[dict[str, Any]], context: Any = None) -> dict[str, Any]:
    """Return the body of /predict; `context` is what somebody points at, None in a batch."""
    return {
        "tasks": list(tasks),
        "project": uid_of(mirror),
        "label_config": document_of(mirror),
        "params": {"login": None, "password": None, "context": context},
    }


def document_of(mirror: Mirror) -> str:
    """Return a project's labelling configuration; that of its first label set where each has its own."""
    return mirror.origin.document or next((row.document for row in mirror.label_sets if row.document), "<View></View>")
