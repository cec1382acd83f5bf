"""What workers execute: JSON in, nothing out; the row says what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend import logs
from backend.services import Services
from backend.settings import Settings


def train(run_id: str, attempt: int) -> None:
    """Execute a training run."""
    with services_for_run(run_id) as built:
        built.execution.execute(run_id, attempt)


@contextmanager
def services() -> Iterator[Services]:
    """Build the services for one job."""
    built = Services.build(Settings())
    try:
        yield built
    finally:
        built.close()


@contextmanager
def services_for_run(run_id: str) -> Iterator[Services]:
    """Build the services for one job; its log lines carry the run's id and that of the request that caused it."""
    with services() as built:
        run = built.training.get(run_id)
        with logs.context(run_id=run_id, request_id=run.request_id or ""):
            yield built
