"""Tasks of Label Studio → predictions: fetch their media, ask the models, write the answers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from traceback import format_tb

from adapters.label_studio import texts
from adapters.label_studio.access import Access
from adapters.label_studio.client import SETUP_FAULTS
from adapters.label_studio.label_config import Binding, LabelConfig
from adapters.label_studio.media import Media
from adapters.label_studio.results import EncodedPrediction, Found, encode
from adapters.label_studio.wire import PredictParams, Task
from backend.errors import Invalid, TandemError, Unavailable
from backend.inference.service import Item, Outcome
from backend.projects import Mirror
from backend.services import Services
from backend.tasks import Predicted
from backend.versions import ModelVersion
from models.labels import Medium
from models.regions import Choice, Number, bounding_box

log = logging.getLogger(__name__)

_FETCHERS = 8
_WINDOW = 64
"""Tasks fetched and predicted together."""


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
        version_of = {row.name: versions[row.id] for row in mirror.label_sets if row.id in versions}
        asked = [
            (binding, version_of[name]) for binding in config.bindings if (name := binding.control_name) in version_of
        ]
        media = self._access.media(mirror.origin)
        predictions: list[EncodedPrediction] = []
        with self._services.batches.started(mirror.project.id, len(tasks)) as batch:
            for start in range(0, len(tasks), _WINDOW):
                window = tasks[start : start + _WINDOW]
                predictions += self._predict_window(mirror, asked, window, media, params)
                if len(predictions) < len(tasks):
                    self._services.batches.advanced(batch, len(predictions))
        if dropped := sum(prediction.num_dropped for prediction in predictions):
            log.warning("labels unknown to the config dropped", extra={"uid": mirror.origin.uid, "num": dropped})
        return predictions

    def _predict_window(
        self,
        mirror: Mirror,
        asked: Sequence[tuple[Binding, ModelVersion]],
        tasks: Sequence[Task],
        media: Media,
        params: PredictParams,
    ) -> list[EncodedPrediction]:
        found: list[list[Found]] = [[] for _ in tasks]
        faults: list[TandemError | None] = [None for _ in tasks]
        for binding, version in sorted(asked, key=lambda pair: pair[0].is_per_region):
            fetched = list(self._fetchers.map(lambda task, b=binding: fetch(b, task, media, params), tasks))
            for index, outcome in enumerate(self._outcomes(binding, version, fetched, found)):
                if isinstance(outcome, TandemError):
                    faults[index] = outcome
                else:
                    found[index].append(outcome)
        _raise_where_all_failed(faults)
        for task, fault in zip(tasks, faults, strict=True):
            if fault is not None:
                about = {"uid": mirror.origin.uid, "task_id": task.id, "code": fault.code, "reason": fault.message}
                log.warning("task not predicted", extra=about)
        return [encode(each, task_id=task.id) for each, task in zip(found, tasks, strict=True)]

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


def _parts(binding: Binding, item: Item, found: Sequence[Found]) -> list[Item]:
    if not binding.is_per_region:
        return [item]
    regions = [r for each in found if each.binding.object_name == binding.object_name for r in each.regions]
    parts = dict.fromkeys(part for region in regions if (part := bounding_box(region)) is not None)
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
    return Found(binding, regions, width_px, height_px)


def fetch(binding: Binding, task: Task, media: Media, params: PredictParams) -> Item | TandemError:
    """Return what a binding shows of a task, ready to be predicted, or why it cannot be had."""
    shown = binding.find_data(task.data)
    if binding.schema.medium is Medium.TEXT and (text := texts.find(binding, shown)) is not None:
        content = text.encode(errors="replace")
        return Item(hashlib.sha256(content).hexdigest(), content)
    if not isinstance(shown, str) or not shown.strip():
        return Invalid(f"the task's data has nothing to look at under {binding.data_key!r}", code="media_uri")
    login, password = (secret.get_secret_value() if secret else None for secret in (params.login, params.password))
    try:
        file = media.fetch(shown, task_id=task.id, login=login, password=password)
        return Item(file.sha256, file.path)
    except TandemError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever a task's data does to us, the other tasks get their answers
        frames = format_tb(error.__traceback__)  # and no message, which may hold an address with its password
        log.error("fetching crashed", extra={"task_id": task.id, "error": type(error).__name__, "frames": frames})
        return Unavailable(f"the image could not be fetched ({type(error).__name__})", code="media_unavailable")


def _raise_where_all_failed(faults: Sequence[TandemError | None]) -> None:
    """A fault of the set-up hits every task; an empty answer would be stored in Label Studio and hide it."""
    if faults and all(fault is not None and fault.code in SETUP_FAULTS for fault in faults):
        assert faults[0] is not None
        raise faults[0]
