"""How are measurements shown? A table: what, the goal, what was measured, whether the goal was met."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

_WIDTH = 120
_MARKS = {True: "[green]pass[/]", False: "[bold red]MISS[/]", None: ""}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a table; without a goal it is there to explain the others."""

    what: str
    measured: str
    goal: str = ""
    is_met: bool | None = None


def show(title: str, findings: Sequence[Finding], *notes: str) -> None:
    """Print findings, then the notes and the machine that they were made on."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("what", "goal", "measured", ""):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(finding.what, finding.goal, finding.measured, _MARKS[finding.is_met])
    console = Console(width=None if os.isatty(1) else _WIDTH, highlight=False)
    console.print(table)
    for note in (*notes, _machine()):
        console.print(f"  {note}", markup=False, style="dim")
    console.print()


def at_most(what: str, value: float, goal: float, unit: str, *, digits: int = 1) -> Finding:
    """Return a finding with an upper bound."""
    return Finding(what, f"{value:.{digits}f} {unit}", f"≤ {goal:g} {unit}", value <= goal)


def at_least(what: str, value: float, goal: float, unit: str, *, digits: int = 1) -> Finding:
    """Return a finding with a lower bound."""
    return Finding(what, f"{value:.{digits}f} {unit}", f"≥ {goal:g} {unit}", value >= goal)


def exactly(what: str, count: int, goal: int, *, of: int | None = None) -> Finding:
    """Return a finding of a number that must be hit."""
    measured = f"{count:,}" if of is None else f"{count:,} of {of:,}"
    return Finding(what, measured, f"{goal:,}", count == goal)


def _machine() -> str:
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}, load average {load}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
