"""Everything on one machine: `tandem up`."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from adapters.cli import banner, private_redis
from adapters.cli.lifeline import lifeline
from adapters.cli.opening import read_settings
from adapters.cli.reaching import ask_health, free_port, own_url
from adapters.cli.supervisor import Interrupted, Program, Supervisor
from backend.errors import Conflict, Invalid, Unavailable
from backend.settings import Device, Settings

log = logging.getLogger(__name__)

_GRACE_S = 22.0
"""A little longer than gunicorn waits for requests in progress."""
_TRAINER_NICENESS = 15
"""Training takes what the web server leaves: Label Studio gives /health and /webhook one second."""


@click.command()
@click.option("--die-with-parent", is_flag=True, help="Stop when the process that started it is gone (Linux).")
def up(die_with_parent: bool) -> None:
    """Run everything on this machine: web server, workers and trainer.

    Uses SQLite unless DATABASE_URL is set, and a Redis of its own unless REDIS_URL is. Ctrl-C stops all of it.
    """
    from backend import logs

    if die_with_parent:
        lifeline(os.getppid())()
    settings = read_settings()
    _prepare(settings.home)
    logs.configure(settings, process="up")
    with _alone(settings.home):
        settings = settings.model_copy(update={"port": free_port(settings)})
        with contextlib.suppress(Interrupted), Supervisor(grace_s=_GRACE_S) as supervisor:
            _serve(supervisor, settings)


def _serve(supervisor: Supervisor, settings: Settings) -> None:
    """Start everything in the order in which it is needed, and look after it."""
    environment = _environment(settings)
    if not settings.redis_url:
        private_redis.start(supervisor, settings)
    if supervisor.run(_program("migrate", "migrate", environment=environment)) != 0:
        raise Unavailable("the database could not be prepared; the lines above say why")
    supervisor.start(_program("web", "web", environment=environment))
    _await_health(supervisor, settings)
    for program in _workers(settings, environment):
        supervisor.start(program)
    threading.Thread(target=banner.announce, args=(settings,), name="banner", daemon=True).start()
    supervisor.watch()


def _await_health(supervisor: Supervisor, settings: Settings) -> None:
    while not ask_health(settings, own_url(settings)).is_up:
        if supervisor.exit_code("web") is not None:
            raise Unavailable("the web server does not start; the lines above say why")
        supervisor.pause(0.05)


def _workers(settings: Settings, environment: Mapping[str, str]) -> Iterator[Program]:
    for kind in ("background", "clock"):
        yield _program(kind, "worker", kind, environment=environment)
    gpus = find_gpus(settings)
    if not gpus:
        yield _program("trainer", "worker", "trainer", environment=environment, niceness=_TRAINER_NICENESS)
    for gpu in gpus:
        one_gpu = {**environment, "CUDA_VISIBLE_DEVICES": gpu}
        yield _program(f"trainer-{gpu}", "worker", "trainer", environment=one_gpu, niceness=_TRAINER_NICENESS)


def find_gpus(settings: Settings) -> list[str]:
    """Return the GPUs to train on, as CUDA_VISIBLE_DEVICES names them."""
    if settings.device is Device.CPU:
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        listed = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        log.warning("gpus not listed", extra={"command": command})
        return []
    return [
        str(number) for number, _ in enumerate(line for line in listed.stdout.splitlines() if line.startswith("GPU"))
    ]


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "TANDEM_HOME": str(settings.home),
        "DATABASE_URL": settings.database,
        "REDIS_URL": settings.redis,
        "PORT": str(settings.port),
    }


def _program(name: str, *arguments: str, environment: Mapping[str, str], niceness: int = 0) -> Program:
    # NOTE: -P, because a `models` folder where the command was given must not hide ours.
    return Program(name, (sys.executable, "-P", "-m", "adapters.cli.main", *arguments), environment, niceness)


def _prepare(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
    except OSError as error:
        raise Invalid(f"{home} cannot hold the data ({error.strerror}); set TANDEM_HOME to another folder") from error


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Make sure that one `tandem up` at a time uses a folder; the lock ends with the process, however it ends."""
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Conflict(
                f"another `tandem up` (process {lock.read().strip() or 'unknown'}) uses {home}; stop it, or set "
                "TANDEM_HOME and PORT to run a second server",
                code="already_running",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
