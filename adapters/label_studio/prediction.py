"""Tasks of Label Studio → predictions: fetch their media, ask the models, write the answers."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from itertools import islice
from traceback import format_tb
from typing import TypeVar

from adapters.label_studio import texts
from adapters.label_studio.access import Access
from adapters.label_studio.client import SETUP_FAULTS
from adapters.label_studio.label_config import Binding, LabelConfig
from adapters.label_studio.media import Media
from adapters.label_studio.results import EncodedPrediction, Found, chosen, encode
from adapters.label_studio.wire import PredictParams, Task
from backend.errors import Invalid, TandemError, Unavailable
from backend.inference.service import Item, Outcome
from backend.projects.service import Mirror
from backend.projects.tasks import Predicted
from backend.services import Services
from backend.versions.registry import ModelVersion
from models.labels import Medium
from models.regions import Choice, Number, bounding_box
from models.texts import BadText

log = logging.getLogger(__name__)
T = TypeVar("T")

_FETCHERS = 8
_MODEL_FAILED = "model_failed"
_FAULTS_OF_ALL = SETUP_FAULTS | {_MODEL_FAILED}
_WINDOW = max(32, 16 * (os.cpu_count() or 1))
"""Tasks fetched and predicted together."""
_WINDOWS_AT_ONCE = 2
"""While one is fetched, written or at its end, the other keeps the cores busy."""


class TaskPredictor:
    """Predicts tasks. One task that fails gets an empty answer and does not disturb the others."""

    def __init__(self, services: Services, access: Access) -> None:
        self._services = services
        self._access = access
        self._fetchers = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")

    def predict(
        self,
        mirror: Mirror,
        config: LabelConfig,
        versions: dict[str, ModelVersion],
        tasks: Sequence[Task],
        params: PredictParams,
    ) -> list[EncodedPrediction]:
        """Return one prediction per task, in order.

        Args:
            mirror: The project.
            config: Its labelling configuration.
            versions: The version in use, by label set id.
            tasks: The tasks.
            params: Credentials of protected media.

        Raises:
            TandemError: No task could be predicted, for a reason that lies in the set-up and not in the tasks.
            Unavailable: Too much is being predicted at once, or it takes too long.
        """
        return self._services.inference.run(lambda: self._predict_all(mirror, config, versions, tasks, params))

    def close(self) -> None:
        """Let go of the threads."""
        self._fetchers.shutdown(cancel_futures=True)

    def _predict_all(
        self,
        mirror: Mirror,
        config: LabelConfig,
        versions: dict[str, ModelVersion],
        tasks: Sequence[Task],
        params: PredictParams,
    ) -> list[EncodedPrediction]:
        """Predict window by window, so that whoever asks for one task does not wait for somebody's ten thousand."""
        predictions: list[EncodedPrediction] = []
        windows = [tasks[start : start + _WINDOW] for start in range(0, len(tasks), _WINDOW)]
        work = [lambda w=window: self.predict_window(mirror, config, versions, w, params) for window in windows]
        with self._services.batches.started(mirror.project.id, len(tasks)) as batch, closing(overlapped(work)) as done:
            for outcomes in done:
                _raise_where_all_failed(outcomes)
                predictions += (EncodedPrediction() if isinstance(each, TandemError) else each for each in outcomes)
                if len(predictions) < len(tasks):
                    self._services.batches.advanced(batch, len(predictions))
        if dropped := sum(prediction.num_dropped for prediction in predictions):
            log.warning("regions dropped", extra={"uid": mirror.origin.uid, "num": dropped})
        return predictions

    def predict_window(
        self,
        mirror: Mirror,
        config: LabelConfig,
        versions: dict[str, ModelVersion],
        tasks: Sequence[Task],
        params: PredictParams,
    ) -> list[EncodedPrediction | TandemError]:
        """Return for each task its prediction, or why nothing could be predicted.

        Args:
            mirror: See `predict`.
            config: See `predict`.
            versions: See `predict`.
            tasks: Few enough for the memory.
            params: See `predict`.
        """
        found, faults = self.find(mirror, config, versions, tasks, params)
        for task, fault in zip(tasks, faults, strict=True):
            if fault is not None:
                about = {"uid": mirror.origin.uid, "task_id": task.id, "code": fault.code, "reason": fault.message}
                log.warning("task not predicted", extra=about)
        return [
            fault if fault is not None and not each else encode(each, config=config, task_id=task.id)
            for each, fault, task in zip(found, faults, tasks, strict=True)
        ]

    def find(
        self,
        mirror: Mirror,
        config: LabelConfig,
        versions: dict[str, ModelVersion],
        tasks: Sequence[Task],
        params: PredictParams,
    ) -> tuple[list[list[Found]], list[TandemError | None]]:
        """Return for each task what was found for its controls, and why something could not be.

        A control that fails leaves the answers of the others as they are.

        Args:
            mirror: See `predict`.
            config: See `predict`.
            versions: See `predict`.
            tasks: Few enough for the memory.
            params: See `predict`.
        """
        version_of = {row.name: versions[row.id] for row in mirror.label_sets if row.id in versions}
        asked = [(b, version_of[b.control_name]) for b in config.bindings if b.control_name in version_of]
        media = self._access.media(mirror.origin)
        found: list[list[Found]] = [[] for _ in tasks]
        faults: list[TandemError | None] = [None for _ in tasks]
        for binding, version in sorted(asked, key=lambda pair: pair[0].is_per_region):
            fetched = list(self._fetchers.map(partial(fetch, binding, media=media, params=params), tasks))
            try:
                outcomes = self._outcomes(binding, version, fetched, found)
            except Exception as error:
                if len(asked) == 1:
                    raise
                log.exception("a model failed", extra={"control": binding.control_name, "version": version.name})
                reason = error.message if isinstance(error, TandemError) else type(error).__name__
                failed = TandemError(f"the model of {binding.control_name} failed: {reason}", code=_MODEL_FAILED)
                outcomes = [failed for _ in tasks]
            for index, outcome in enumerate(outcomes):
                if isinstance(outcome, TandemError):
                    faults[index] = outcome
                else:
                    found[index].append(outcome)
        return found, faults

    def _outcomes(
        self,
        binding: Binding,
        version: ModelVersion,
        fetched: Sequence[Item | TandemError],
        found: Sequence[Sequence[Found]],
    ) -> list[Found | TandemError]:
        """Ask a version about each item, or about each of its parts that was found before."""
        asked = [
            [] if isinstance(item, TandemError) else _parts(binding, item, before)
            for item, before in zip(fetched, found, strict=True)
        ]
        predicted = iter(self._services.inference.predict(version, [item for items in asked for item in items]))
        return [
            item if isinstance(item, TandemError) else _merged(binding, items, list(islice(predicted, len(items))))
            for item, items in zip(fetched, asked, strict=True)
        ]


def overlapped(work: Sequence[Callable[[], T]]) -> Generator[T, None, None]:
    """Do pieces of work, a few at once, and yield what they return, in order; after an error no new one is begun."""
    if len(work) < 2:
        yield from (do() for do in work)
        return
    pool = ThreadPoolExecutor(_WINDOWS_AT_ONCE, thread_name_prefix="window")
    try:
        for future in [pool.submit(copy_context().run, do) for do in work]:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _parts(binding: Binding, item: Item, found: Sequence[Found]) -> list[Item]:
    if not binding.is_per_region:
        return [item]
    regions = [r for each in found if each.binding.object_name == binding.object_name for r in chosen(each)]
    boxes = (bounding_box(region) for region in regions if not isinstance(region, Choice | Number))
    parts = dict.fromkeys(replace(box, label="", score=None) for box in boxes if box is not None)
    return [replace(item, part=part) for part in parts]


def _merged(binding: Binding, items: Sequence[Item], outcomes: Sequence[Outcome]) -> Found | TandemError:
    """Return what was found in all parts of one task."""
    faults = [outcome for outcome in outcomes if isinstance(outcome, TandemError)]
    if faults:
        return faults[0]
    answers = [(item, outcome) for item, outcome in zip(items, outcomes, strict=True) if isinstance(outcome, Predicted)]
    regions = [
        replace(region, part=item.part) if item.part and isinstance(region, Choice | Number) else region
        for item, outcome in answers
        for region in outcome.regions
    ]
    width_px, height_px = (answers[0][1].width_px, answers[0][1].height_px) if answers else (0, 0)
    text = items[0].source.decode() if items and isinstance(items[0].source, bytes) else None
    return Found(binding, regions, width_px, height_px, text)


def fetch(binding: Binding, task: Task, media: Media, params: PredictParams) -> Item | TandemError:
    """Return what a binding shows of a task, ready to be predicted, or why it cannot be had."""
    shown = binding.find_data(task.data)
    if binding.schema.medium is Medium.TEXT and (text := texts.find(binding, shown)) is not None:
        return _text_item(text)
    if not isinstance(shown, str) or not shown.strip():
        return Invalid(f"the task's data has nothing to look at under {binding.data_key!r}", code="media_uri")
    login, password = (secret.get_secret_value() if secret else None for secret in (params.login, params.password))
    try:
        file = media.fetch(shown, task_id=task.id, login=login, password=password)
        is_text = binding.schema.medium is Medium.TEXT
        return _text_item(texts.read(binding, file.path)) if is_text else Item(file.sha256, file.path)
    except TandemError as error:
        return error
    except BadText as error:
        return Invalid(str(error), code="text_invalid")
    except Exception as error:  # noqa: BLE001 - whatever a task's data does to us, the other tasks get their answers
        frames = format_tb(error.__traceback__)  # and no message, which may hold an address with its password
        log.error("fetching crashed", extra={"task_id": task.id, "error": type(error).__name__, "frames": frames})
        return Unavailable(f"the image could not be fetched ({type(error).__name__})", code="media_unavailable")


def _text_item(text: str) -> Item:
    content = text.encode(errors="replace")
    return Item(hashlib.sha256(content).hexdigest(), content)


def _raise_where_all_failed(outcomes: Sequence[EncodedPrediction | TandemError]) -> None:
    """A fault of the set-up hits every task; an empty answer would be stored in Label Studio and hide it."""
    faults = [each for each in outcomes if isinstance(each, TandemError) and each.code in _FAULTS_OF_ALL]
    if faults and len(faults) == len(outcomes):
        raise faults[0]
