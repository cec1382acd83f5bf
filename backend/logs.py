"""Log lines: events with fields, as JSON or for a terminal, with the request and run they belong to."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

import structlog

from backend.settings import LogFormat, Settings

_context: ContextVar[Mapping[str, str]] = ContextVar("context", default=MappingProxyType({}))
"""What is added to every line."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has: all else was given as `extra`."""


def configure(settings: Settings, *, process: str) -> None:
    """Send every log line of this process to stderr in the wanted form, marked with the process's name."""
    as_console = settings.log_format == LogFormat.CONSOLE or (
        settings.log_format == LogFormat.AUTO and sys.stderr.isatty()
    )

    formatter = _console(process) if as_console else _Json(process)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # What no line tells need not be found out for each; see "Optimization" in Python's Logging HOWTO.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for noisy in ("rq", "rq.worker", "urllib3", "httpx", "alembic", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Json(logging.Formatter):
    """One JSON object a line; a line is written for every request, so it is not left to a chain of processors."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process
        self._encode = json.JSONEncoder(default=str).encode

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "event": record.getMessage(),
            **_context.get(),
            "level": record.levelname.lower(),
            "logger": record.name,
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "process": self._process,
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return self._encode(event)


def _console(process: str) -> logging.Formatter:
    def mark(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.update(_context.get())
        event.setdefault("process", process)
        return event

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            mark,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.dev.ConsoleRenderer(colors=True),
        ],
    )


@contextmanager
def context(**fields: str) -> Iterator[None]:
    """Add fields, such as request_id or run_id, to every line logged inside."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def request_id() -> str | None:
    """Return the id of the request that is being answered, if any."""
    return _context.get().get("request_id")
