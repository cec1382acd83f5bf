"""The queue of long work: submit, cancel, and ask whether anyone is there. The database is the truth, this a hint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

import redis
import rq
from redis.exceptions import RedisError
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from backend.errors import Unavailable

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


_CLOCK = "tandem:clock"


class QueueName(StrEnum):
    """Who works a queue."""

    BACKGROUND = "tandem-background"
    TRAINING = "tandem-training"


class Queue(Protocol):
    """What services need of a queue. A job is the dotted path of a function that takes and returns JSON."""

    def submit(self, job: str, *args: Json, queue: QueueName, job_id: str, timeout_s: float) -> None:
        """Ask for a job to be done; asking twice with the same id is asking once.

        Raises:
            Unavailable: The queue cannot be reached.
        """

    def is_expected(self, job_id: str) -> bool:
        """Say whether a job waits or is being worked on, as far as the queue knows."""

    def cancel(self, job_id: str) -> None:
        """Drop a waiting job, stop a running one; nothing happens where there is none."""

    def depth(self, queue: QueueName) -> int:
        """Return how many jobs wait."""

    def num_workers(self, queue: QueueName) -> int:
        """Return how many workers serve a queue."""

    def note_clock(self) -> None:
        """Say that the clock is running; said again at least every ten seconds."""

    def has_clock(self) -> bool:
        """Say whether a clock said so lately. Without one, no run ever starts."""

    def ping(self) -> None:
        """Ask for a sign of life.

        Raises:
            Unavailable: There is none.
        """


class RedisQueue:
    """RQ on Redis, with JSON in place of pickle."""

    def __init__(self, url: str) -> None:
        self.connection = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=5)

    def submit(self, job: str, *args: Json, queue: QueueName, job_id: str, timeout_s: float) -> None:
        """See `Queue.submit`."""
        with _reachable():
            try:
                self._queue(queue).enqueue_call(
                    job,
                    args=args,
                    job_id=job_id,
                    timeout=int(timeout_s),
                    result_ttl=3600,
                    failure_ttl=86400,
                    unique=True,
                )
            except DuplicateJobError:
                return

    def is_expected(self, job_id: str) -> bool:
        """See `Queue.is_expected`."""
        with _reachable():
            try:
                status = self._job(job_id).get_status()
            except (NoSuchJobError, InvalidJobOperation):
                return False
        return status in {JobStatus.QUEUED, JobStatus.STARTED, JobStatus.SCHEDULED, JobStatus.DEFERRED}

    def cancel(self, job_id: str) -> None:
        """See `Queue.cancel`."""
        with _reachable():
            try:
                job = self._job(job_id)
                if job.get_status() == JobStatus.STARTED:
                    send_stop_job_command(self.connection, job_id, serializer=JSONSerializer)
                else:
                    job.cancel()
            except (NoSuchJobError, InvalidJobOperation):
                return

    def depth(self, queue: QueueName) -> int:
        """See `Queue.depth`."""
        with _reachable():
            return int(self._queue(queue).count)

    def num_workers(self, queue: QueueName) -> int:
        """See `Queue.num_workers`."""
        with _reachable():
            return int(rq.Worker.count(queue=self._queue(queue)))

    def note_clock(self) -> None:
        """See `Queue.note_clock`."""
        with _reachable():
            self.connection.set(_CLOCK, 1, ex=15)

    def has_clock(self) -> bool:
        """See `Queue.has_clock`."""
        with _reachable():
            return bool(self.connection.exists(_CLOCK))

    def ping(self) -> None:
        """See `Queue.ping`."""
        with _reachable():
            self.connection.ping()

    def _queue(self, queue: QueueName) -> rq.Queue:
        return rq.Queue(queue.value, connection=self.connection, serializer=JSONSerializer)

    def _job(self, job_id: str) -> Job:
        return Job.fetch(job_id, connection=self.connection, serializer=JSONSerializer)


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise Unavailable(
            f"Redis does not answer ({type(error).__name__}); see REDIS_URL", code="queue_unavailable"
        ) from error
