"""How gunicorn serves the web application: processes, threads, time-outs."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from prometheus_client import multiprocess

from adapters.cli.lifeline import lifeline
from backend.settings import Settings

MAX_WORKERS = 4
"""Web processes that are started unless more are asked for."""
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
        "worker_class": "gthread",
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
