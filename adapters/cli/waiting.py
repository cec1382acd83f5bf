"""How a command waits for what goes on in the background: shows how far it is, and asks only as often as it should."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from adapters.catalogue import EXIT_CODES
from adapters.cli.answers import duration
from adapters.replies import Problem

if TYPE_CHECKING:
    from rich.console import Console

ENDED = frozenset({"completed", "failed", "cancelled"})
MIN_POLL_S = 2.0
"""Two who wait with one key stay below the rate limit."""
TIMED_OUT = EXIT_CODES["INFERENCE_TIMEOUT"]
INTERRUPTED = 130
_MAX_SILENCE_S = 300.0
"""How long a server may be gone, as when it is restarted, before waiting for it ends."""
_UNREACHABLE = frozenset({"SERVICE_UNAVAILABLE", "QUEUE_UNAVAILABLE", "UPSTREAM_ERROR"})
_NO_FIGURES = frozenset({"epoch", "evaluatedImages", "numEpochs", "numHeldOut", "numTrain"})
"""Counts that are told elsewhere."""
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something is.

    Attributes:
        percent: 0 to 100.
        figures: What else there is to see: an epoch, a loss.
        eta_s: How long it will still take, where anybody knows.
    """

    status: str
    percent: float
    figures: str = ""
    eta_s: float | None = None

    @property
    def described(self) -> str:
        """In one line."""
        return "  ".join(filter(None, (f"{self.status:<9}", f"{self.percent:3.0f} %", self.figures, self.left)))

    @property
    def left(self) -> str:
        """How long it will still take."""
        return f"about {duration(self.eta_s)} left" if self.eta_s and self.status not in ENDED else ""


class Ended(Exception):
    """Waiting has taken longer than it should."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how often to ask.

    Attributes:
        every_s: None: as the server advises.
        timeout_s: None: as long as it takes.
    """

    every_s: float | None = None
    timeout_s: float | None = None


def wait_options(command: F) -> F:
    """Add the options of commands that wait, which they get as `poll_seconds` and `timeout`."""
    command = click.option(
        "--poll-seconds",
        type=click.FloatRange(min=MIN_POLL_S),
        help="How often to ask how it is going; otherwise as the server advises.",
    )(command)
    return click.option(
        "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop waiting after so long; exit code 8."
    )(command)


def states(
    ask: Callable[[], Any], status: Callable[[Any], str], patience: Patience, *, usual_s: float
) -> Iterator[Any]:
    """Yield what is answered until it has ended; a server that is gone for a moment is asked again.

    Args:
        ask: Asks how it is going.
        status: Returns the status in an answer.
        patience: How long, and how often; otherwise the answer's `pollAfterSeconds` say.
        usual_s: How often to ask where neither says it.

    Raises:
        Ended: It takes too long.
        Problem: The server refuses, or is gone for good.
    """
    deadline = None if patience.timeout_s is None else time.monotonic() + patience.timeout_s
    heard = time.monotonic()
    pause_s = patience.every_s or usual_s
    while True:
        try:
            said = ask()
        except Problem as problem:
            if problem.code not in _UNREACHABLE or time.monotonic() - heard > _MAX_SILENCE_S:
                raise
        else:
            heard = time.monotonic()
            yield said
            if status(said) in ENDED:
                return
            pause_s = patience.every_s or said.get("pollAfterSeconds") or usual_s
        left_s = None if deadline is None else deadline - time.monotonic()
        if left_s is not None and left_s <= 0:
            raise Ended
        time.sleep(pause_s if left_s is None else min(pause_s, left_s))


@contextmanager
def interruptible(what: str, again: str) -> Iterator[None]:
    """Let Ctrl-C end the waiting, and say that nothing else has ended.

    Args:
        what: Goes on.
        again: The command that waits for it again.
    """
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nNo longer waiting; {what} goes on. To wait again: {again}", err=True)
        raise SystemExit(INTERRUPTED) from None


class Display(Protocol):
    """Shows how far something is."""

    def show(self, progress: Progress) -> None:
        """Show this in place of what was shown before."""


@contextmanager
def display(title: str, *, is_silent: bool) -> Iterator[Display]:
    """Show progress on standard error: a bar on a terminal, a line for each change elsewhere, nothing where silent."""
    from rich.console import Console

    terminal = Console(stderr=True, highlight=False)
    if is_silent:
        yield _Silent()
    elif not terminal.is_terminal:
        yield _Lines()
    else:
        with _Bar(title, terminal) as bar:
            yield bar


class _Silent:
    def show(self, progress: Progress) -> None:
        pass


class _Lines:
    def __init__(self) -> None:
        self._last = ""

    def show(self, progress: Progress) -> None:
        if progress.described != self._last:
            click.echo(progress.described, err=True)
        self._last = progress.described


class _Bar:
    def __init__(self, title: str, terminal: Console) -> None:
        from rich.live import Live
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
        )
        self._title = title
        self._task = self._bars.add_task(title, total=100, left="")
        self._live = Live(self._bars, console=terminal)

    def __enter__(self) -> _Bar:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        from rich.console import Group
        from rich.text import Text

        description = f"{self._title} {progress.status}"
        self._bars.update(self._task, description=description, completed=progress.percent, left=progress.left)
        self._live.update(Group(self._bars, Text(f"  {progress.figures}")) if progress.figures else self._bars)


def figures(metrics: Mapping[str, Any] | None) -> str:
    """Say the figures of some metrics in a line.

    >>> figures({"loss": 0.51234, "macroF1": 0.9, "perClass": [], "split": "val", "evaluatedImages": 3})
    'loss 0.512  macro f1 0.9'
    """
    return "  ".join(f"{words(name)} {value:.3g}" for name, value in measured(metrics or {}).items())


def measured(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures among some metrics, without mere counts."""
    return {
        name: value for name, value in metrics.items() if isinstance(value, int | float) and name not in _NO_FIGURES
    }


def words(name: str) -> str:
    """Return a name of the wire as people write it.

    >>> words("valMacroF1"), words("map50_95")
    ('val macro f1', 'map50_95')
    """
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r" \1", name).lower()
