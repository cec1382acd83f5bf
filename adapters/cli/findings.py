"""What `tandem doctor` finds: one line for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from backend.errors import TandemError


class Outcome(StrEnum):
    """How a thing was found."""

    FINE = "fine"
    DOUBTFUL = "doubtful"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """How one thing was found.

    Attributes:
        subject: What was looked at.
        outcome: How it is.
        text: What was seen.
        advice: What to do; empty where all is well.
    """

    subject: str
    outcome: Outcome
    text: str
    advice: str = ""


Check = Callable[[], Iterator[Finding]]


def fine(subject: str, text: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(subject, Outcome.FINE, text)


def doubtful(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that may be meant, or may bite later."""
    return Finding(subject, Outcome.DOUBTFUL, text, advice)


def broken(subject: str, text: str, advice: str = "") -> Finding:
    """Return a finding that keeps something from working."""
    return Finding(subject, Outcome.BROKEN, text, advice)


def examine(subject: str, check: Check) -> Iterator[Finding]:
    """Yield what a check finds; an error that it meets is a finding too, and its message says what to do."""
    try:
        yield from check()
    except TandemError as error:
        yield broken(subject, error.message)
