"""What can go wrong, by category; adapters translate the category and show the message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TandemError(Exception):
    """A failure that a caller can understand.

    Args:
        message: One sentence for people: what was expected, what came, what to do. No secrets.
        code: Stable, for programs; snake_case.
        details: More for programs; JSON.
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details = dict(details or {})


class Invalid(TandemError):
    """What was asked does not make sense."""

    default_code = "invalid"


class Denied(TandemError):
    """Whoever asks may not, or somebody else refused us."""

    default_code = "denied"


class NotFound(TandemError):
    """There is no such thing."""

    default_code = "not_found"


class Conflict(TandemError):
    """It cannot be done in the present state."""

    default_code = "conflict"


class LimitExceeded(TandemError):
    """Too much, too large or too often."""

    default_code = "limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.retry_after_s = retry_after_s


class Unavailable(TandemError):
    """Something that is needed does not answer; trying again later may help."""

    default_code = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.retry_after_s = retry_after_s
