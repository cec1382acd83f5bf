"""Keeps programs running: starts them, restarts those that crash, and ends with all of them ended."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from adapters.cli.lifeline import lifeline

log = logging.getLogger(__name__)

_MAX_PAUSE_S = 30.0
_STEADY_S = 60.0
"""After so long a program's earlier crashes no longer count."""
_POLL_S = 0.1


@dataclass(frozen=True)
class Program:
    """Something to keep running.

    Attributes:
        name: For the log.
        command: What to execute.
        environment: All of its environment.
        niceness: How much it steps back for others, 0 to 19.
        output: The file that takes what it says; None lets it say it where we do.
        is_needed_to_stop: Whether the others need it until they have ended.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    niceness: int = 0
    output: Path | None = None
    is_needed_to_stop: bool = False


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started_at: float
    num_crashes: int = 0
    restart_at: float | None = field(default=None)


class Interrupted(Exception):
    """Somebody asked us to stop."""


class Supervisor:
    """Runs programs as children, each in a session of its own, so that Ctrl-C reaches this process alone.

    A context manager, used in the main thread (the kernel ends children with the thread that made them). Inside it,
    SIGINT, SIGTERM and SIGHUP make `watch` and `pause` raise Interrupted; a second such signal ends what is still
    running at once.
    """

    def __init__(self, *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._children: dict[str, _Child] = {}
        self._num_signals = 0

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take_note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        everything = list(self._children.values())
        self._end([child for child in everything if not child.program.is_needed_to_stop], self._grace_s)
        self._end([child for child in everything if child.program.is_needed_to_stop], self._grace_s)

    def start(self, program: Program) -> None:
        """Start a program and keep it running from now on.

        Raises:
            OSError: It cannot be executed.
        """
        self._children[program.name] = _Child(program, _spawn(program), time.monotonic())

    def exit_code(self, name: str) -> int | None:
        """Return with what a program has ended, or None while it runs."""
        return self._children[name].process.poll()

    def run(self, program: Program) -> int:
        """Execute a program to its end, undisturbed by signals to us, and return its exit code."""
        return _spawn(program).wait()

    def pause(self, seconds: float = _POLL_S) -> None:
        """Wait.

        Raises:
            Interrupted: Somebody asked us to stop, before or meanwhile.
        """
        until = time.monotonic() + seconds
        while not self._num_signals and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_S))
        if self._num_signals:
            raise Interrupted

    def watch(self) -> None:
        """Restart what crashes, for ever.

        Raises:
            Interrupted: Somebody asked us to stop.
        """
        while True:
            self.pause()
            for child in self._children.values():
                self._look_after(child)

    def _look_after(self, child: _Child) -> None:
        now = time.monotonic()
        if child.restart_at is None:
            code = child.process.poll()
            if code is None:
                return
            child.num_crashes = 1 if now - child.started_at > _STEADY_S else child.num_crashes + 1
            pause_s = min(2.0 ** (child.num_crashes - 1), _MAX_PAUSE_S)
            child.restart_at = now + pause_s
            _kill_group(child.process.pid)
            log.error("process ended", extra={"program": child.program.name, "code": code, "restart_in_s": pause_s})
        elif now >= child.restart_at:
            child.process, child.started_at, child.restart_at = _spawn(child.program), now, None
            log.info("process restarted", extra={"program": child.program.name})

    def _end(self, children: list[_Child], grace_s: float) -> None:
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + grace_s
        while self._num_signals < 2 and time.monotonic() < deadline:
            if all(child.process.poll() is not None for child in children):
                break
            time.sleep(0.02)
        for child in children:
            if child.process.poll() is None:
                log.warning("process killed", extra={"program": child.program.name})
            _kill_group(child.process.pid)
            child.process.wait()

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        self._num_signals += 1


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(program.output.open("wb")) if program.output else None
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            program.command,
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,
            preexec_fn=lifeline(os.getpid()),
        )
    if program.niceness:
        os.setpriority(os.PRIO_PROCESS, process.pid, program.niceness)
    return process


def _kill_group(pid: int) -> None:
    """Kill whatever is left of the session that a child led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
