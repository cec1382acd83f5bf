"""Log lines: events with fields, as JSON or for a terminal, with the request and run they belong to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from backend.settings import LogFormat, Settings


def configure(settings: Settings, *, process: str) -> None:
    """Send every log line of this process to stderr in the wanted form, marked with the process's name."""
    as_console = settings.log_format == LogFormat.CONSOLE or (
        settings.log_format == LogFormat.AUTO and sys.stderr.isatty()
    )

    def mark(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("process", process)
        return event

    renderer: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=True)]
        if as_console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            mark,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in ("rq", "rq.worker", "urllib3", "httpx", "alembic", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def context(**fields: str) -> Iterator[None]:
    """Add fields, such as request_id or run_id, to every line logged inside."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def request_id() -> str | None:
    """Return the id of the request that is being answered, if any."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return str(found) if found else None
