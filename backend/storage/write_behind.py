"""Values that may be lost are written a moment later, many at once, while whoever made them goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
K = TypeVar("K")
V = TypeVar("V")


class WriteBehind(Generic[K, V]):
    """Hands values to a thread that writes them; until they are written they are found here.

    For what can be made again: a process that is killed loses the last moment's values, and values that cannot be
    written are dropped with a warning.

    Args:
        write: Writes values; is called by one thread at a time.
        max_waiting: With more values than that, `put` waits, so that a slow disk cannot fill the memory.
    """

    def __init__(self, write: Callable[[Mapping[K, V]], None], *, max_waiting: int) -> None:
        self._write = write
        self._max_waiting = max_waiting
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
        self._lock = threading.Lock()
        self._waiting: dict[K, V] = {}
        self._writing: dict[K, V] = {}
        self._is_due = False

    def put(self, values: Mapping[K, V]) -> None:
        """Have values written soon."""
        with self._lock:
            self._waiting.update(values)
            is_full = len(self._waiting) > self._max_waiting
            if not self._is_due:
                self._is_due = True
                self._writer.submit(self._write_waiting)
        if is_full:
            self.flush()

    def find(self, keys: Iterable[K]) -> dict[K, V]:
        """Return those values that are not written yet."""
        with self._lock:
            unwritten = {**self._writing, **self._waiting}
        return {key: unwritten[key] for key in keys if key in unwritten} if unwritten else {}

    def flush(self) -> None:
        """Wait until all values that were put before are written."""
        self._writer.submit(self._write_waiting).result()

    def _write_waiting(self) -> None:
        with self._lock:
            self._writing, self._waiting, self._is_due = self._waiting, {}, False
        try:
            if self._writing:
                self._write(self._writing)
        except Exception:  # the boundary of this thread: whoever made the values has gone on
            log.warning("values were not kept", extra={"num": len(self._writing)}, exc_info=True)
        finally:
            with self._lock:
                self._writing = {}
