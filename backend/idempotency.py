"""Requests that may be repeated: the first answer under a key is kept, and given again."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import ColumnElement, and_, delete, or_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from backend.errors import Conflict, Invalid
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record

KEPT_FOR = timedelta(hours=24)
_ABANDONED_AFTER = timedelta(minutes=15)
"""A request that has not been answered for so long lost its process; it may be made again."""
_SECRET = 0
"""In place of a status: the answer held a secret, and was not kept."""


class KeptAnswer(Record, kw_only=True):
    """What was answered to a request with an idempotency key.

    Attributes:
        scope: SHA-256 of the user, the method, the path and the key.
        fingerprint: SHA-256 of the body.
        status: HTTP status; None as long as the first request is being answered; 0 where the answer held a secret.
        body: The answer's body, as text.
    """

    __tablename__ = "kept_answers"
    scope: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int | None] = mapped_column(default=None)
    body: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now, index=True)


class Idempotency:
    """Keeps answers, and gives them again.

    Whoever answers a request begins it first, and afterwards finishes it, or forgets it where nothing is to be kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, user_id: str, method: str, path: str, key: str, fingerprint: str) -> KeptAnswer | None:
        """Return the answer that a request got before; None: it is the first, so do what it asks for.

        Args:
            user_id: Who asks.
            method: HTTP method.
            path: Of the URL.
            key: What the caller calls the request.
            fingerprint: SHA-256 of the body.

        Raises:
            Invalid: There was a different request under this key ("idempotency_key_reused").
            Conflict: The first one is still being answered ("idempotency_in_progress"), or its answer held a secret.
        """
        scope = _scope(user_id, method, path, key)
        try:
            with self._database.transaction() as session:
                session.execute(delete(KeptAnswer).where(KeptAnswer.scope == scope, _is_outdated()))
                session.add(KeptAnswer(scope=scope, fingerprint=fingerprint))
            return None
        except IntegrityError:
            with self._database.reading() as session:
                kept = session.get(KeptAnswer, scope)
        if kept is not None and kept.fingerprint != fingerprint:
            raise Invalid(
                "This Idempotency-Key was used for a different request; choose another one.",
                code="idempotency_key_reused",
            )
        if kept is None or kept.status is None:  # None: it has been forgotten just now
            raise Conflict(
                "The first request with this Idempotency-Key is still being answered; repeat it in a moment.",
                code="idempotency_in_progress",
            )
        if kept.status == _SECRET:
            raise Conflict(
                "This request was answered before, with a secret that is told only once; use a new Idempotency-Key.",
                code="conflict",
            )
        return kept

    def finish(self, user_id: str, method: str, path: str, key: str, *, status: int, body: str | None) -> None:
        """Keep what a request was answered.

        Args:
            user_id: As it began.
            method: As it began.
            path: As it began.
            key: As it began.
            status: HTTP status, below 500 and not 429; see `forget` for those.
            body: Text; None: it holds a secret, so that a repeated request is refused.
        """
        kept = {"status": _SECRET if body is None else status, "body": body or ""}
        with self._database.transaction() as session:
            session.execute(update(KeptAnswer).filter_by(scope=_scope(user_id, method, path, key)).values(kept))

    def forget(self, user_id: str, method: str, path: str, key: str) -> None:
        """Let a request be made again as if it had never been."""
        with self._database.transaction() as session:
            session.execute(delete(KeptAnswer).filter_by(scope=_scope(user_id, method, path, key)))

    def prune(self) -> None:
        """Forget what was answered long ago."""
        with self._database.transaction() as session:
            session.execute(delete(KeptAnswer).where(_is_outdated()))


def _is_outdated() -> ColumnElement[bool]:
    now = utc_now()
    is_abandoned = and_(KeptAnswer.status.is_(None), KeptAnswer.created_at < now - _ABANDONED_AFTER)
    return or_(KeptAnswer.created_at < now - KEPT_FOR, is_abandoned)


def _scope(user_id: str, method: str, path: str, key: str) -> str:
    return sha256(json.dumps([user_id, method, path, key]).encode()).hexdigest()
