"""Start a worker process: background, trainer, or the clock that keeps both busy."""

from __future__ import annotations

import ctypes
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable

from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from backend import logs
from backend.errors import TandemError
from backend.queue import QueueName, RedisQueue
from backend.services import Services
from backend.settings import Settings

log = logging.getLogger(__name__)

_QUEUES = {"background": QueueName.BACKGROUND, "trainer": QueueName.TRAINING}
_PRUNE_EVERY_S = 3600.0


def run(kind: str, settings: Settings) -> None:
    """Work until a signal ends the process.

    Args:
        kind: "background", "trainer" or "clock".
        settings: The settings.
    """
    logs.configure(settings, process=kind)
    if kind == "clock":
        _tick_until_signal(settings)
    else:
        connection = RedisQueue(settings.redis).connection
        connection.connection_pool.connection_kwargs["socket_timeout"] = (
            None  # waiting for a job takes as long as it takes
        )
        queue = Queue(_QUEUES[kind].value, connection=connection, serializer=JSONSerializer)
        _Worker([queue], connection=connection, serializer=JSONSerializer, job_monitoring_interval=5).work(
            logging_level="WARNING"
        )


class _Worker(Worker):  # type: ignore[misc]
    """RQ's forking worker. When asked to stop it does not wait for the job: a run goes on from its last epoch."""

    def handle_warm_shutdown_request(self) -> None:
        if self.horse_pid:
            self.kill_horse(signal.SIGKILL)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        _die_with_parent()
        super().main_work_horse(job, queue)


def _die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, so that a killed worker leaves nothing running."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _tick_until_signal(settings: Settings) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    services = Services.build(settings)
    pruned_at = 0.0
    while not stop.wait(1.0):
        _guarded(services.queue.note_clock)
        _guarded(services.inbox.coalesce)
        _guarded(services.training.advance)
        _guarded(services.prediction_jobs.advance)
        _guarded(services.mirrors.advance)
        if time.monotonic() - pruned_at > _PRUNE_EVERY_S:
            pruned_at = time.monotonic()
            _guarded(services.inbox.prune)
            _guarded(services.tasks.prune)
            _guarded(services.idempotency.prune)
    services.close()


def _guarded(step: Callable[[], None]) -> None:
    try:
        step()
    except TandemError as error:
        log.warning("clock step failed", extra={"step": step.__qualname__, "reason": error.message})
    except Exception:
        log.exception("clock step crashed", extra={"step": step.__qualname__})
