"""How gunicorn serves the web application: processes, threads, time-outs."""

from __future__ import annotations

import logging
import os
import select
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker
from prometheus_client import multiprocess

from adapters.cli.lifeline import lifeline
from backend.settings import Settings

MAX_WORKERS = 4
"""Web processes that are started unless more are asked for."""
_STAYS_MS = 5
"""How long a thread waits for the next request on a connection."""
GRACE_S = 20
"""How long requests in progress may take when the server is told to stop."""


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, set up by our settings alone: it reads no file and no GUNICORN_CMD_ARGS, and stays in its folder.

    NOTE: gunicorn's own command puts the current folder first in sys.path, where a `models` folder of the user's
    would hide ours.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__(prog="tandem web")

    def load_config(self) -> None:
        """Hand the options to gunicorn."""
        for name, value in options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the application; called in each worker, after the fork."""
        from adapters.web import create_app

        return create_app(self._settings)


def options(settings: Settings) -> dict[str, Any]:
    """Return gunicorn's options, by the names its documentation uses."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": [f"{host}:{port}" for port in (settings.port, settings.rest_port) if port is not None],
        "backlog": 1024,
        "workers": settings.web_workers or min(_num_cores(), MAX_WORKERS),
        "worker_class": Worker,
        "threads": settings.web_threads,
        # The main thread of a worker answers for it, not the threads that predict: a long prediction is no reason to
        # kill it, two minutes without a beat are.
        "timeout": 120,
        "graceful_timeout": GRACE_S,
        "keepalive": 15,
        "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 - beats must not wait for a disk
        "umask": 0o077,
        "control_socket_disable": True,
        "forwarded_allow_ips": "",
        "proc_name": "tandem-web",
        "logger_class": _Log,
        "loglevel": "warning",
        "accesslog": None,
        "post_fork": _bind_to_master,
        "child_exit": _forget_gauges,
    }


class Worker(ThreadWorker):  # type: ignore[misc]
    """Threads that stay with a connection for a moment after they answered.

    gunicorn's own hand it back to the main thread, which hands the next request to another one: for callers that ask
    one thing after another, that costs more than many answers (measured: 50 of the 240 µs of an empty one).
    """

    def handle(self, conn: TConn) -> object:
        """Answer requests as long as they follow each other, and nobody else can be waiting for this thread."""
        kept = super().handle(conn)
        while kept is True and self.alive and self.nr_conns <= self.cfg.threads and _has_more(conn):
            kept = super().handle(conn)
        return kept


def _has_more(conn: TConn) -> bool:
    if conn.parser.unreader.buf.getvalue():
        return True
    arrivals = select.poll()
    arrivals.register(conn.sock, select.POLLIN)
    return bool(arrivals.poll(_STAYS_MS))


class _Log(Logger):  # type: ignore[misc]
    """Sends what gunicorn has to say through our own log."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)


def _bind_to_master(server: Any, worker: Any) -> None:
    lifeline(worker.ppid)()


def _forget_gauges(server: Any, worker: Any) -> None:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
