"""How a command answers: tables and sentences for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

as_json_option = click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")


class Failure(click.ClickException):
    """Ends a command with a sentence and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click says "of the class", and reads the instance's


def console() -> Console:
    """Return the terminal, or what stands in for it; lines are not cut where nobody watches."""
    from rich.console import Console

    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=200)


def print_json(body: Any) -> None:
    """Write a body as JSON."""
    click.echo(json.dumps(body, indent=2, ensure_ascii=False, default=_encode))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table to print; texts are shown as they are."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    made = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        made.add_row(*("–" if cell is None else escape(str(cell)) for cell in row))
    return made


def ago(moment: datetime | None) -> str | None:
    """Say how long ago something was.

    >>> from datetime import timedelta
    >>> ago(datetime.now(UTC) - timedelta(minutes=61))
    '1 h ago'
    """
    return f"{duration((datetime.now(UTC) - moment).total_seconds())} ago" if moment else None


def duration(seconds: float) -> str:
    """Say how long something takes, in its largest unit.

    >>> duration(0.4), duration(95), duration(200000)
    ('0 s', '1 min', '2 d')
    """
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(max(seconds, 0))} s"


def percent(fraction: object) -> str | None:
    """Say a fraction as a percentage.

    >>> percent(0.9167)
    '91.7 %'
    """
    return f"{100 * fraction:.1f} %" if isinstance(fraction, int | float) else None


def counted(number: int, noun: str) -> str:
    """Say a number of things.

    >>> counted(1, "image"), counted(0, "image")
    ('1 image', '0 images')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
