"""How a prediction is asked for: bounded in number and time, computed once per item and version."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backend.errors import Invalid, TandemError, Unavailable
from backend.inference.engine import Engine
from backend.metrics import PREDICTION_SECONDS, PREDICTIONS
from backend.projects.tasks import Predicted, Tasks
from backend.settings import Settings
from backend.versions.registry import ModelVersion
from models import texts
from models.family import Predictor
from models.images import BadImage, Image, read_part
from models.labels import Medium
from models.regions import Box, to_json
from models.texts import BadText

log = logging.getLogger(__name__)
T = TypeVar("T")

_CHUNK = 8
"""Images decoded and computed together by one thread; bounds memory."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to predict.

    Attributes:
        media: SHA-256 of the source.
        source: An image file, or a text in UTF-8.
        part: Of the image; None: all of it.
    """

    media: str
    source: Path | bytes
    part: Box | None = None

    @property
    def key(self) -> str:
        """What its predictions are kept under."""
        if self.part is None:
            return self.media
        part = json.dumps(to_json([self.part]), sort_keys=True)
        return f"{self.media}#{hashlib.sha256(part.encode()).hexdigest()[:16]}"


Outcome = Predicted | TandemError
"""What was found in an item, or why nothing could be."""


class Inference:
    """Predicts, in the threads of this process."""

    def __init__(self, engine: Engine, tasks: Tasks, settings: Settings) -> None:
        self._engine = engine
        self._tasks = tasks
        self._timeout_s = settings.predict_timeout_s
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="predict")
        num_places = max(1, settings.web_threads // 2)
        self._places = ThreadPoolExecutor(num_places, thread_name_prefix="request")
        self._queue = threading.BoundedSemaphore(max(num_places, settings.web_threads * 3 // 4))

    def run(self, work: Callable[[], T], *, timeout_s: float = float("inf")) -> T:
        """Do work that predicts in one of the places for it, and return what it returns.

        Others wait for a place, and when too many wait they are sent away: some threads are never given to predictions,
        so that health checks and events always find one. When the caller would no longer wait, the work goes on, so
        that the same question, asked again, is answered from what is there.

        Args:
            work: What is to be done.
            timeout_s: How long the caller waits, if that is less than the settings say.

        Raises:
            Unavailable: All places are taken, with a hint when to come back; or the work takes too long.
        """
        if not self._queue.acquire(blocking=False):
            raise Unavailable("too many predictions are waiting; try again in a moment", code="busy", retry_after_s=5)
        future = self._places.submit(copy_context().run, work)
        future.add_done_callback(lambda _: self._queue.release())
        try:
            return future.result(timeout=min(timeout_s, self._timeout_s))
        except FutureTimeoutError as error:
            if future.cancel():
                raise Unavailable("all prediction threads are busy; try again", code="busy", retry_after_s=5) from error
            raise Unavailable(
                "predicting takes longer than the caller waits; it goes on here, so ask again in a moment",
                code="prediction_timeout",
                retry_after_s=30,
            ) from error

    def predict(self, version: ModelVersion, items: Sequence[Item]) -> list[Outcome]:
        """Return what a version finds in each item, in order; an item that cannot be read does not disturb others.

        What was computed before is not computed again.

        Raises:
            NotFound: The version's files are missing.
        """
        known = self._tasks.find_predictions(version.id, [item.key for item in items])
        todo = list({item.key: item for item in items if item.key not in known}.values())
        outcomes: dict[str, Outcome] = dict(known)
        if todo:
            predictor = self._engine.predictor(version)
            chunks = [todo[start : start + _CHUNK] for start in range(0, len(todo), _CHUNK)]
            for found in self._pool.map(lambda chunk: self._predict_chunk(predictor, version, chunk), chunks):
                outcomes.update(found)
        for item in items:
            outcome = "failed" if isinstance(outcomes[item.key], TandemError) else "predicted"
            PREDICTIONS.labels("known" if item.key in known else outcome).inc()
        return [outcomes[item.key] for item in items]

    def close(self) -> None:
        """Finish what is being computed, and keep it."""
        self._places.shutdown()
        self._pool.shutdown()
        self._tasks.flush()

    def _predict_chunk(self, predictor: Predictor, version: ModelVersion, items: Sequence[Item]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        contents: dict[str, Image | str] = {}
        for item in items:
            try:
                contents[item.key] = _read(item, predictor)
            except BadImage as error:
                outcomes[item.key] = Invalid(str(error), code="image_invalid")
            except BadText as error:
                outcomes[item.key] = Invalid(str(error), code="text_invalid")
            except OSError:
                outcomes[item.key] = Unavailable("the cached image is gone; try again", code="media_gone")
        if contents:
            with PREDICTION_SECONDS.time():
                found = predictor.predict(list(contents.values()))
            predicted = {
                key: Predicted(tuple(regions), *_size_px(content))
                for (key, content), regions in zip(contents.items(), found, strict=True)
            }
            self._tasks.keep_predictions(version.id, predicted)
            outcomes.update(predicted)
        return outcomes


def _read(item: Item, predictor: Predictor) -> Image | str:
    if predictor.schema.medium is Medium.TEXT:
        return texts.read(item.source)
    return read_part(item.source, item.part, min_side_px=predictor.min_side_px)


def _size_px(content: Image | str) -> tuple[int, int]:
    return (content.width_px, content.height_px) if isinstance(content, Image) else (0, 0)
