"""Loaded models: least recently used ones go when memory is short; each is loaded once, whoever asks."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from backend.metrics import MODEL_LOAD_SECONDS, MODEL_LOADS
from backend.versions import ModelVersion
from models.family import Predictor

log = logging.getLogger(__name__)


class Engine:
    """A cache of predictors by version id. A request names its version, so nobody has to be told to reload."""

    def __init__(self, load: Callable[[ModelVersion], Predictor], *, capacity_bytes: int) -> None:
        self._load = load
        self._capacity_bytes = capacity_bytes
        self._lock = threading.Lock()
        self._predictors: OrderedDict[str, Future[Predictor]] = OrderedDict()

    def predictor(self, version: ModelVersion) -> Predictor:
        """Return the version's predictor, loading it if need be; callers of the same version load it once.

        Raises:
            NotFound: Its files are missing.
        """
        with self._lock:
            future = self._predictors.get(version.id)
            is_ours = future is None
            if future is None:
                future = self._predictors[version.id] = Future()
            self._predictors.move_to_end(version.id)
        if is_ours:
            self._fill(future, version)
        return future.result()

    def is_loaded(self, version_id: str) -> bool:
        """Say whether a version is in memory."""
        with self._lock:
            future = self._predictors.get(version_id)
        return future is not None and future.done()

    @property
    def num_bytes(self) -> int:
        """About how much memory the loaded models hold."""
        with self._lock:
            return sum(future.result().num_bytes for future in self._predictors.values() if future.done())

    def _fill(self, future: Future[Predictor], version: ModelVersion) -> None:
        started = time.perf_counter()
        try:
            predictor = self._load(version)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
            with self._lock:
                self._predictors.pop(version.id, None)
            future.set_exception(error)
            return
        future.set_result(predictor)
        seconds = time.perf_counter() - started
        MODEL_LOADS.inc()
        MODEL_LOAD_SECONDS.observe(seconds)
        log.info("model loaded", extra={"version": version.name, "seconds": round(seconds, 3)})
        self._evict(keep=version.id)

    def _evict(self, *, keep: str) -> None:
        while self.num_bytes > self._capacity_bytes:
            with self._lock:
                idle = next((key for key, future in self._predictors.items() if key != keep and future.done()), None)
                if idle is None:
                    return
                del self._predictors[idle]
            log.info("model unloaded", extra={"version_id": idle})
