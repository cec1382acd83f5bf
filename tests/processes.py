"""Runs `tandem up` as its users do: a real process with everything that it starts."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

TANDEM = (sys.executable, "-P", "-m", "adapters.cli.main")


@dataclass
class RunningServer:
    """A `tandem up` with a folder and a port of its own.

    Attributes:
        folder: For its home and its log.
        settings: Environment variables beyond the necessary ones.
    """

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "up.log").read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "TANDEM_HOME": str(self.home),
            "TANDEM_HOST": "127.0.0.1",
            "PORT": str(self.port),
            **self.settings,
        }

    def start(self) -> None:
        """Start it and wait until it is healthy."""
        with (self.folder / "up.log").open("wb") as log:
            self.process = self.tandem("up", "--die-with-parent", output=log)
        self.await_health()

    def tandem(self, *arguments: str, output: IO[bytes] | None = None, **settings: str) -> subprocess.Popen[bytes]:
        """Start a command with the same settings."""
        return subprocess.Popen(
            (*TANDEM, *arguments),
            env={**self.environment, **settings},
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def say(self, *arguments: str, **settings: str) -> tuple[int, str]:
        """Run a command with the same settings; return its exit code and what it said."""
        with self.tandem(*arguments, **settings) as process:
            said, _ = process.communicate(timeout=60)
        return process.returncode, said.decode()

    def await_health(self) -> None:
        wait_for(self.is_healthy, "the server answers", while_alive=self.process)

    def is_healthy(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def pids(self, words: str = "") -> list[int]:
        """Return its living processes whose command holds the words.

        They are told by their environment; Redis, which writes its title over it, by its socket.
        """
        mark = f"TANDEM_HOME={self.home}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                is_ours = f"unixsocket:{self.home}/" in command or mark in (folder / "environ").read_bytes().split(
                    b"\0"
                )
                if is_ours and words in command:
                    found.append(int(folder.name))
        return sorted(found)


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(claim: Callable[[], object], what: str, *, while_alive: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until a claim is true; it should be within a minute."""
    deadline = time.monotonic() + 60
    while not claim():
        assert while_alive is None or while_alive.poll() is None, f"before {what}, the process ended"
        assert time.monotonic() < deadline, f"after a minute it is not true that {what}"
        time.sleep(0.05)
