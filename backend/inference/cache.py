"""What is dear to make is made once, whoever asks, and kept within a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar


class Weighed(Protocol):
    """Something that knows its size."""

    @property
    def num_bytes(self) -> int:
        """About how much memory it holds."""


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Weighed)


class ByteCache(Generic[K, V]):
    """Values by key; the least recently used go when they are too large together. Safe to share between threads.

    Args:
        capacity_bytes: How much is kept; the newest value stays in any case.
        dropped: Is told the key of each value that had to go.
    """

    def __init__(self, *, capacity_bytes: int, dropped: Callable[[K], None] = lambda _: None) -> None:
        self._capacity_bytes = capacity_bytes
        self._dropped = dropped
        self._lock = threading.Lock()
        self._futures: OrderedDict[K, Future[V]] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, making it if need be; others who want it meanwhile wait for it.

        Raises:
            Exception: What `make` raises goes to everybody who waits; the next one who asks tries again.
        """
        with self._lock:
            future = self._futures.get(key)
            is_ours = future is None
            if future is None:
                future = self._futures[key] = Future()
            self._futures.move_to_end(key)
        if is_ours:
            self._fill(key, future, make)
        return future.result()

    def has(self, key: K) -> bool:
        """Say whether a value is there, ready."""
        with self._lock:
            future = self._futures.get(key)
        return future is not None and future.done()

    @property
    def num_bytes(self) -> int:
        """About how much memory the values hold."""
        with self._lock:
            return sum(future.result().num_bytes for future in self._futures.values() if future.done())

    def _fill(self, key: K, future: Future[V], make: Callable[[], V]) -> None:
        try:
            value = make()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
            with self._lock:
                self._futures.pop(key, None)
            future.set_exception(error)
            return
        future.set_result(value)
        self._evict(keep=key)

    def _evict(self, *, keep: K) -> None:
        while self.num_bytes > self._capacity_bytes:
            with self._lock:
                idle = next((key for key, future in self._futures.items() if key != keep and future.done()), None)
                if idle is None:
                    return
                del self._futures[idle]
            self._dropped(idle)
