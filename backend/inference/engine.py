"""Loaded models: least recently used ones go when memory is short; each is loaded once, whoever asks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from backend.inference.cache import ByteCache
from backend.metrics import MODEL_LOAD_SECONDS, MODEL_LOADS
from backend.versions.registry import ModelVersion
from models.family import Predictor

log = logging.getLogger(__name__)


class Engine:
    """A cache of predictors by version id. A request names its version, so nobody has to be told to reload."""

    def __init__(self, load: Callable[[ModelVersion], Predictor], *, capacity_bytes: int) -> None:
        self._load = load
        self._predictors: ByteCache[str, Predictor] = ByteCache(
            capacity_bytes=capacity_bytes,
            dropped=lambda version_id: log.info("model unloaded", extra={"version_id": version_id}),
        )

    def predictor(self, version: ModelVersion) -> Predictor:
        """Return the version's predictor, loading it if need be; callers of the same version load it once.

        Raises:
            NotFound: Its files are missing.
        """
        return self._predictors.get(version.id, lambda: self._loaded(version))

    def is_loaded(self, version_id: str) -> bool:
        """Say whether a version is in memory."""
        return self._predictors.has(version_id)

    @property
    def num_bytes(self) -> int:
        """About how much memory the loaded models hold."""
        return self._predictors.num_bytes

    def _loaded(self, version: ModelVersion) -> Predictor:
        started = time.perf_counter()
        predictor = self._load(version)
        seconds = time.perf_counter() - started
        MODEL_LOADS.inc()
        MODEL_LOAD_SECONDS.observe(seconds)
        log.info("model loaded", extra={"version": version.name, "seconds": round(seconds, 3)})
        return predictor
