"""Tasks of Label Studio → predictions: fetch their media, ask the models, write the answers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from traceback import format_tb

from adapters.label_studio.access import Access
from adapters.label_studio.client import SETUP_FAULTS
from adapters.label_studio.label_config import Binding, LabelConfig
from adapters.label_studio.media import Media, MediaFile
from adapters.label_studio.results import EncodedPrediction, Found, encode
from adapters.label_studio.wire import PredictParams, Task
from backend.errors import Invalid, TandemError, Unavailable
from backend.inference.service import Item, Outcome
from backend.projects import Mirror
from backend.services import Services
from backend.versions import ModelVersion

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
        for binding, version in asked:
            for index, outcome in enumerate(self._outcomes(binding, version, tasks, media, params)):
                if isinstance(outcome, TandemError):
                    faults[index] = outcome
                else:
                    found[index].append(Found(binding, outcome.regions, outcome.width_px, outcome.height_px))
        _raise_where_all_failed(faults)
        for task, fault in zip(tasks, faults, strict=True):
            if fault is not None:
                about = {"uid": mirror.origin.uid, "task_id": task.id, "code": fault.code, "reason": fault.message}
                log.warning("task not predicted", extra=about)
        return [encode(each, task_id=task.id) for each, task in zip(found, tasks, strict=True)]

    def _outcomes(
        self, binding: Binding, version: ModelVersion, tasks: Sequence[Task], media: Media, params: PredictParams
    ) -> list[Outcome]:
        fetched = list(self._fetchers.map(lambda task: _fetch(binding, task, media, params), tasks))
        items = [Item(file.sha256, file.path) for file in fetched if isinstance(file, MediaFile)]
        predicted = iter(self._services.inference.predict(version, items))
        return [next(predicted) if isinstance(file, MediaFile) else file for file in fetched]


def _fetch(binding: Binding, task: Task, media: Media, params: PredictParams) -> MediaFile | TandemError:
    uri = binding.find_data(task.data)
    if not isinstance(uri, str) or not uri.strip():
        return Invalid(f"the task's data has no image under {binding.data_key!r}", code="media_uri")
    login, password = (secret.get_secret_value() if secret else None for secret in (params.login, params.password))
    try:
        return media.fetch(uri, task_id=task.id, login=login, password=password)
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
