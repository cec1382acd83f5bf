from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import pytest

from backend.inference.cache import ByteCache


@dataclass
class Weight:
    num_bytes: int = 100


def test_a_value_is_made_once_whoever_asks() -> None:
    cache: ByteCache[str, Weight] = ByteCache(capacity_bytes=1000)
    made: list[str] = []

    def make() -> Weight:
        time.sleep(0.05)
        made.append("a")
        return Weight()

    got: list[Weight] = []
    threads = [threading.Thread(target=lambda: got.append(cache.get("a", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert made == ["a"]
    assert len(set(map(id, got))) == 1


def test_values_of_different_keys_are_made_side_by_side() -> None:
    cache: ByteCache[str, Weight] = ByteCache(capacity_bytes=1000)
    together = threading.Barrier(2, timeout=5)

    def make() -> Weight:
        together.wait()  # breaks where one waits for the other
        return Weight()

    threads = [threading.Thread(target=cache.get, args=(key, make)) for key in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert cache.has("a")
    assert cache.has("b")


def test_the_least_recently_used_goes_first() -> None:
    dropped: list[str] = []
    cache: ByteCache[str, Weight] = ByteCache(capacity_bytes=250, dropped=dropped.append)

    for key in ("a", "b", "a", "c"):
        cache.get(key, Weight)

    assert dropped == ["b"]
    assert [cache.has(key) for key in ("a", "b", "c")] == [True, False, True]
    assert cache.num_bytes == 200


def test_a_value_larger_than_the_cache_stays_until_the_next() -> None:
    cache: ByteCache[str, Weight] = ByteCache(capacity_bytes=10)

    cache.get("a", Weight)
    has_first = cache.has("a")
    cache.get("b", Weight)

    assert has_first
    assert not cache.has("a")


def test_what_failed_is_tried_again() -> None:
    cache: ByteCache[str, Weight] = ByteCache(capacity_bytes=1000)

    def fail() -> Weight:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        cache.get("a", fail)

    assert not cache.has("a")
    assert cache.get("a", Weight).num_bytes == 100
