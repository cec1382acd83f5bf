"""How often somebody may call, with a real Redis."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from backend.rate_limit import CAPACITY, RateLimit, Taken


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis that keeps nothing."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        pytest.skip("needs redis-server")
    folder = tmp_path_factory.mktemp("redis")
    command = [binary, "--port", "0", "--unixsocket", str(folder / "s"), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        while not (folder / "s").exists():
            assert server.poll() is None
            time.sleep(0.01)
        yield f"unix://{folder / 's'}"
        server.terminate()


@pytest.fixture
def key(tmp_path: Path) -> str:
    """A caller who has not called yet."""
    return str(tmp_path)


@pytest.fixture
def limit(redis_url: str) -> RateLimit:
    return RateLimit(redis_url)


def test_a_full_bucket_holds_as_many_calls_as_it_should(limit: RateLimit, key: str) -> None:
    """M-006: the 121st of 121 calls in under a second has to wait."""
    began = time.monotonic()
    taken = [limit.take(key) for _ in range(CAPACITY + 1)]

    assert time.monotonic() - began < 1
    assert [each.left for each in taken] == [*range(119, -1, -1), 0]
    assert [each.retry_after_s for each in taken] == [None] * 120 + [1]
    assert (taken[0].reset_after_s, taken[-1].reset_after_s) == (1, 120)


def test_whoever_waits_as_long_as_told_may_call_again(limit: RateLimit, key: str) -> None:
    """M-006."""
    for _ in range(3):
        told = limit.take(key, capacity=2)
    assert told.retry_after_s == 1

    time.sleep(told.retry_after_s)

    assert limit.take(key, capacity=2).retry_after_s is None
    assert limit.take(key, capacity=2).retry_after_s == 1


def test_a_bucket_fills_up_and_does_not_overflow(limit: RateLimit, key: str) -> None:
    for _ in range(3):
        limit.take(key, capacity=3, refill_per_s=100)

    time.sleep(0.05)

    assert limit.take(key, capacity=3, refill_per_s=100).left == 2


def test_a_slow_bucket_tells_how_long_it_takes(limit: RateLimit, key: str) -> None:
    limit.take(key, capacity=1, refill_per_s=0.1)

    assert limit.take(key, capacity=1, refill_per_s=0.1) == Taken(left=0, reset_after_s=10, retry_after_s=10)


def test_every_caller_has_a_bucket_of_their_own(limit: RateLimit, key: str) -> None:
    """M-007, as far as it is about the backend."""
    for _ in range(2):
        limit.take(key, capacity=1)

    assert limit.take(f"{key} other", capacity=1).retry_after_s is None


def test_all_processes_share_a_bucket(redis_url: str, key: str) -> None:
    limits = [RateLimit(redis_url), RateLimit(redis_url)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: limits[number % 2].take(key, capacity=50), range(100)))

    assert sum(each.retry_after_s is None for each in taken) == 50


def test_a_redis_that_was_started_anew_is_told_the_rule_again(redis_url: str, limit: RateLimit, key: str) -> None:
    limit.take(key)
    redis.Redis.from_url(redis_url).script_flush()

    assert limit.take(key).left == 118


def test_a_connection_that_was_lost_is_made_again(redis_url: str, limit: RateLimit, key: str) -> None:
    limit.take(key)
    with redis.Redis.from_url(redis_url) as other:
        other.client_kill_filter(_type="normal", skipme=True)

    assert limit.take(key).left == 118


def test_a_full_bucket_leaves_nothing_behind(redis_url: str, limit: RateLimit, key: str) -> None:
    limit.take(key, refill_per_s=100)

    time.sleep(0.05)

    assert not redis.Redis.from_url(redis_url).exists(f"tandem:rate:{key}")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
def test_without_redis_everybody_may_call(url: str) -> None:
    limit = RateLimit(url)

    assert [limit.take("key", capacity=1).retry_after_s for _ in range(3)] == [None] * 3


def test_a_redis_that_does_not_answer_is_not_asked_for_every_call(caplog: pytest.LogCaptureFixture) -> None:
    limit = RateLimit("redis://127.0.0.1:1/0")

    for _ in range(100):
        limit.take("key")

    assert len(caplog.records) == 1
