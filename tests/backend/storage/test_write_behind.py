from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

import pytest

from backend.storage.write_behind import WriteBehind


class Slow:
    """Remembers what it wrote; each write waits for the gate."""

    def __init__(self) -> None:
        self.written: list[dict[str, int]] = []
        self.gate = threading.Event()
        self.is_writing = threading.Event()

    def write(self, values: Mapping[str, int]) -> None:
        self.is_writing.set()
        assert self.gate.wait(10)
        self.written.append(dict(values))


def test_values_are_found_before_during_and_not_after_they_are_written() -> None:
    slow = Slow()
    behind = WriteBehind(slow.write, max_waiting=10)

    behind.put({"a": 1})
    assert slow.is_writing.wait(10)
    behind.put({"b": 2})
    meanwhile = behind.find(["b", "a", "c"])
    slow.gate.set()
    behind.flush()

    assert meanwhile == {"a": 1, "b": 2}
    assert behind.find(["a", "b"]) == {}


def test_what_comes_while_others_are_written_is_written_together() -> None:
    slow = Slow()
    behind = WriteBehind(slow.write, max_waiting=10)
    behind.put({"a": 1})
    assert slow.is_writing.wait(10)

    for number, key in enumerate("bcd"):
        behind.put({key: number})
    slow.gate.set()
    behind.flush()

    assert slow.written == [{"a": 1}, {"b": 0, "c": 1, "d": 2}]


def test_who_puts_more_than_may_wait_waits_for_the_disk() -> None:
    slow = Slow()
    behind = WriteBehind(slow.write, max_waiting=2)

    producer = threading.Thread(target=behind.put, args=({"a": 1, "b": 2, "c": 3},))
    producer.start()
    producer.join(0.05)
    is_held = producer.is_alive()
    slow.gate.set()
    producer.join(10)

    assert is_held
    assert slow.written == [{"a": 1, "b": 2, "c": 3}]


def test_values_that_cannot_be_written_are_dropped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    written: list[str] = []

    def write(values: Mapping[str, int]) -> None:
        if "bad" in values:
            raise OSError("disk full")
        written.extend(values)

    behind = WriteBehind(write, max_waiting=10)

    with caplog.at_level(logging.WARNING):
        behind.put({"bad": 1})
        behind.flush()
    behind.put({"good": 2})
    behind.flush()

    assert written == ["good"]
    assert "values were not kept" in caplog.text
    assert behind.find(["bad"]) == {}
