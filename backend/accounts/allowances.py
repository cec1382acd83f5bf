"""Tokens: what training takes from a workspace's monthly allowance and its bundle."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.accounts.service import Workspace
from backend.errors import Conflict, Invalid
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record


class TokenEntry(Record, kw_only=True):
    """What a training run took from a workspace's allowance.

    Attributes:
        user_id: Who started it.
        period: The month, "2026-11", in UTC.
        num_reserved: Held back while the run is under way; 0 once it has ended.
        num_consumed: Spent; 0 until it has ended.
        num_from_bundle: How many of those the bundle pays for.
    """

    __tablename__ = "token_entries"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), index=True)
    user_id: Mapped[str]
    period: Mapped[str]
    num_reserved: Mapped[int]
    num_consumed: Mapped[int] = mapped_column(default=0)
    num_from_bundle: Mapped[int] = mapped_column(default=0)
    at: Mapped[datetime] = mapped_column(default_factory=utc_now)


class Outcome(StrEnum):
    """How a run ended, as far as it matters for what it costs."""

    COMPLETED = "completed"
    FAILED = "failed"
    """Because of its data or its settings."""
    LOST = "lost"
    """Because of the server: its worker was lost, or what it had learned could not be exported."""
    CANCELLED = "cancelled"
    """After its first epoch."""
    CANCELLED_EARLY = "cancelled_early"
    """Before it began, or before the end of its first epoch."""

    @property
    def is_free(self) -> bool:
        """Whether nothing is to be paid."""
        return self in {Outcome.LOST, Outcome.CANCELLED_EARLY}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a workspace has spent in a month, and what it may.

    Attributes:
        period: The month, "2026-11", in UTC.
        allowance: Tokens a month; None: as many as wanted.
        used: Tokens that ended runs took.
        reserved: Tokens that are held back for runs under way.
        remaining: Tokens that a run may take now, those of the bundle included; None: as many as wanted.
        bundle: Tokens left that do not expire with the month.
    """

    period: str
    allowance: int | None
    used: int
    reserved: int
    remaining: int | None
    bundle: int


class Allowances:
    """Reserves and consumes tokens, and tells how many are left: those of the month first, then those of the bundle."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def price(self, minutes: float) -> int:
        """Return the tokens that so many minutes of a trainer cost: at least 1."""
        return max(1, math.ceil(minutes / self._settings.token_minutes))

    def usage(self, workspace_id: str, period: str | None = None) -> Usage:
        """Return what a workspace has spent in a month, by default the present one.

        Raises:
            Invalid: That is no month.
        """
        period = _checked(period)
        with self._database.reading() as session:
            workspace = session.get_one(Workspace, workspace_id)
            monthly = _left_of_month(session, workspace, period)
            sums = select(func.sum(TokenEntry.num_consumed), func.sum(TokenEntry.num_reserved))
            used, reserved = session.execute(sums.filter_by(workspace_id=workspace_id, period=period)).one()
        return Usage(
            period=period,
            allowance=workspace.allowance,
            used=int(used or 0),
            reserved=int(reserved or 0),
            remaining=None if monthly is None else monthly + workspace.bundle,
            bundle=workspace.bundle,
        )

    def entries(self, workspace_id: str, period: str | None = None) -> list[TokenEntry]:
        """Return what runs took in a month, by default the present one; newest first.

        Raises:
            Invalid: That is no month.
        """
        query = select(TokenEntry).filter_by(workspace_id=workspace_id, period=_checked(period))
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(TokenEntry.at.desc(), TokenEntry.run_id.desc())))

    def find_entry(self, run_id: str) -> TokenEntry | None:
        """Return what a run took, or None where it never reserved anything."""
        with self._database.reading() as session:
            return session.get(TokenEntry, run_id)

    def reserve(self, run_id: str, workspace_id: str, user_id: str, num_tokens: int) -> None:
        """Hold tokens back for a run, at least one; a run that has reserved is left as it is.

        Raises:
            Conflict: There are not so many left ("tokens_exhausted").
        """
        required = max(1, num_tokens)
        with self._database.transaction() as session:
            workspace = session.get_one(Workspace, workspace_id, with_for_update=True)  # who starts as well waits here
            if session.get(TokenEntry, run_id) is not None:
                return
            period = _present()
            monthly = _left_of_month(session, workspace, period)
            num_from_bundle = 0 if monthly is None else max(0, required - monthly)
            if num_from_bundle > workspace.bundle:
                raise Conflict(
                    "The workspace has not enough tokens left; ask its owner for more, or wait for the next month.",
                    code="tokens_exhausted",
                    details={"remaining": (monthly or 0) + workspace.bundle, "required": required},
                )
            workspace.bundle -= num_from_bundle
            session.add(
                TokenEntry(
                    run_id=run_id,
                    workspace_id=workspace_id,
                    user_id=user_id,
                    period=period,
                    num_reserved=required,
                    num_from_bundle=num_from_bundle,
                )
            )

    def settle(self, run_id: str, minutes: float, *, outcome: Outcome) -> None:
        """Let a run that has ended pay for what it took, and release the rest of what was held back.

        Whatever it took is paid, even more than was held back. Settling again, or a run that never reserved, changes
        nothing.

        Args:
            run_id: The run.
            minutes: How long a trainer worked on it.
            outcome: How it ended.
        """
        with self._database.transaction() as session:
            entry = session.get(TokenEntry, run_id)
            if entry is None:
                return
            workspace = session.get_one(Workspace, entry.workspace_id, with_for_update=True)
            session.refresh(entry)
            if entry.num_reserved == 0:
                return
            workspace.bundle += entry.num_from_bundle
            entry.num_reserved = entry.num_from_bundle = 0
            monthly = _left_of_month(session, workspace, entry.period)
            entry.num_consumed = 0 if outcome.is_free else self.price(minutes)
            if monthly is not None:
                entry.num_from_bundle = min(max(0, entry.num_consumed - monthly), workspace.bundle)
                workspace.bundle -= entry.num_from_bundle


def _left_of_month(session: Session, workspace: Workspace, period: str) -> int | None:
    """Return how much of a month's allowance is neither spent nor held back; None: as much as wanted."""
    if workspace.allowance is None:
        return None
    taken = func.sum(TokenEntry.num_reserved + TokenEntry.num_consumed - TokenEntry.num_from_bundle)
    spent = session.scalar(select(taken).filter_by(workspace_id=workspace.id, period=period))
    return max(0, workspace.allowance - int(spent or 0))


def _present() -> str:
    return f"{utc_now():%Y-%m}"


def _checked(period: str | None) -> str:
    if period is not None and not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", period):
        message = f"a period is a month like {_present()}"
        raise Invalid(message, code="validation_error", details={"fields": {"period": message}})
    return period or _present()
