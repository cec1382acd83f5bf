"""How a Label Studio API key becomes the Authorization header of a request."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from backend.errors import Denied

TOKEN_REFUSED = "label_studio_token"  # noqa: S105 - an error code, not a secret
_MARGIN_S = 10.0
_DEFAULT_LIFETIME_S = 300.0
HOW_TO_GET_ONE = "create a personal access token in Label Studio (Account & Settings) and set LABEL_STUDIO_API_KEY"


class KeyKind(StrEnum):
    """What an API key is, told by its form."""

    NONE = "none"
    LEGACY = "legacy token"
    PERSONAL = "personal access token"
    ACCESS = "access token"


class ApiKey:
    """An API key; a personal access token is exchanged for short-lived access tokens when they are needed.

    Safe to share between threads: however many ask at once, one of them exchanges and the others wait for it.

    Args:
        text: The key as configured; empty for none.
        exchange: Asks Label Studio for an access token in return for a personal one.
    """

    def __init__(self, text: str, exchange: Callable[[str], str]) -> None:
        self._text = text.strip()
        self._exchange = exchange
        self._claims = _claims(self._text)
        self._access_header: str | None = None
        self._access_until = 0.0
        self._lock = threading.Lock()

    @property
    def kind(self) -> KeyKind:
        """What the key is."""
        if not self._text:
            return KeyKind.NONE
        if self._claims is None:
            return KeyKind.LEGACY
        return KeyKind.ACCESS if self._claims.get("token_type") == "access" else KeyKind.PERSONAL

    def header(self) -> str | None:
        """Return the value of the Authorization header, or None without a key.

        Raises:
            Denied: The key has expired, or Label Studio refused to exchange it.
        """
        if self.kind is KeyKind.NONE:
            return None
        if self.kind is KeyKind.LEGACY:
            return f"Token {self._text}"
        self._refuse_expired()
        if self.kind is KeyKind.ACCESS:
            return f"Bearer {self._text}"
        with self._lock:
            if self._access_header is None or time.monotonic() >= self._access_until:
                asked_at = time.monotonic()
                access = self._exchange(self._text)
                self._access_header = f"Bearer {access}"
                self._access_until = asked_at + _lifetime_s(access) - _MARGIN_S
            return self._access_header

    def forget(self, refused: str | None) -> bool:
        """Drop an access token that Label Studio refused; return whether asking again can give another header."""
        if self.kind is not KeyKind.PERSONAL:
            return False
        with self._lock:
            if self._access_header == refused:
                self._access_header = None
        return True

    def _refuse_expired(self) -> None:
        expires = (self._claims or {}).get("exp")
        if isinstance(expires, int | float) and expires <= time.time():
            day = f" on {datetime.fromtimestamp(expires, UTC).date()}" if expires >= 0 else ""
            raise Denied(f"The {self.kind} expired{day}; {HOW_TO_GET_ONE}.", code=TOKEN_REFUSED)


def _claims(text: str) -> dict[str, Any] | None:
    """Return what a JSON Web Token says about itself, unverified, or None for anything else."""
    parts = text.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _lifetime_s(access: str) -> float:
    """Return how long an access token lasts, by its own words: its issuer's clock may differ from ours."""
    claims = _claims(access) or {}
    issued, expires = claims.get("iat"), claims.get("exp")
    if isinstance(issued, int | float) and isinstance(expires, int | float):
        return float(expires - issued)
    return _DEFAULT_LIFETIME_S
