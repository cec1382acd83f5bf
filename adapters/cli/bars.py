"""Bars for bytes on their way: on a terminal, on standard error; elsewhere nothing is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


class Bar:
    """Shows nothing; see `transfer_bar`."""

    def told(self, num_bytes: int, total: int | None) -> None:
        """Show how many bytes of how many there are."""

    def says(self, text: str) -> None:
        """Show something beside the bar."""


@contextmanager
def transfer_bar(title: str, *, is_silent: bool) -> Iterator[Bar]:
    """Show how many bytes have gone or come, how fast, and how long the rest will take; only on a terminal."""
    from rich.console import Console

    terminal = Console(stderr=True, highlight=False)
    if is_silent or not terminal.is_terminal:
        yield Bar()
        return
    with _Shown(title, terminal) as bar:
        yield bar


class _Shown(Bar):
    def __init__(self, title: str, terminal: Console) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[says]}", markup=False),
            DownloadColumn(),
            Speed(),
            TimeRemainingColumn(),
            console=terminal,
        )
        self._task = self._progress.add_task(title, total=None, says="")

    def __enter__(self) -> _Shown:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def told(self, num_bytes: int, total: int | None) -> None:
        self._progress.update(self._task, completed=num_bytes, total=total)

    def says(self, text: str) -> None:
        self._progress.update(self._task, says=text)
