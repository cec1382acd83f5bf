from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fakeredis
import pytest
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from backend.errors import Unavailable
from backend.queue import QueueName, RedisQueue

ECHO = "json.dumps"


@pytest.fixture
def queue() -> Iterator[RedisQueue]:
    made = RedisQueue("redis://127.0.0.1:1")
    made.connection = fakeredis.FakeRedis()
    yield made
    made.connection.close()


def submit(queue: RedisQueue, job_id: str = "one") -> None:
    queue.submit(ECHO, {"a": [1, None]}, queue=QueueName.TRAINING, job_id=job_id, timeout_s=10)


def test_a_job_is_expected_until_it_is_done(queue: RedisQueue) -> None:
    submit(queue)
    before = queue.is_expected("one"), queue.depth(QueueName.TRAINING)

    SimpleWorker([QueueName.TRAINING.value], connection=queue.connection, serializer=JSONSerializer).work(
        burst=True, logging_level="ERROR"
    )

    assert before == (True, 1)
    assert not queue.is_expected("one")


def test_submitting_twice_is_submitting_once(queue: RedisQueue) -> None:
    submit(queue)
    submit(queue)

    assert queue.depth(QueueName.TRAINING) == 1


def test_a_cancelled_job_is_no_longer_expected(queue: RedisQueue) -> None:
    submit(queue)

    queue.cancel("one")
    queue.cancel("unknown")

    assert not queue.is_expected("one")
    assert queue.depth(QueueName.TRAINING) == 0


def test_a_clock_is_there_once_it_said_so(queue: RedisQueue) -> None:
    before = queue.has_clock()

    queue.note_clock()

    assert (before, queue.has_clock()) == (False, True)


def test_a_queue_that_does_not_answer_is_unavailable() -> None:
    queue = RedisQueue("redis://127.0.0.1:1")

    for ask in (queue.ping, lambda: submit(queue), lambda: queue.is_expected("one"), lambda: queue.cancel("one")):
        with pytest.raises(Unavailable, match="REDIS_URL"):
            ask()


def test_jobs_that_are_submitted_by_name_exist() -> None:
    probe = "from importlib import import_module as i; i('backend.jobs').train; i('adapters.label_studio.jobs').collect"

    subprocess.run([sys.executable, "-c", probe], check=True, cwd=Path(__file__).parents[2])
