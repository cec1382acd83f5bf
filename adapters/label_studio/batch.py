"""Predict the tasks of a whole project, or a selection of them, and write the answers into Label Studio."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from functools import partial
from typing import Any

from adapters.label_studio.access import Access
from adapters.label_studio.client import SETUP_FAULTS, URL_MISSING, LabelStudio, TaskPage
from adapters.label_studio.conditions import IS_NOT_ANNOTATED, has_id_up_to, lacks_prediction
from adapters.label_studio.label_config import parse
from adapters.label_studio.prediction import TaskPredictor
from adapters.label_studio.results import EncodedPrediction
from adapters.label_studio.wire import PredictParams, ProjectUid, Task, read
from backend.errors import Invalid, TandemError, Unavailable
from backend.inference.custody import work_on
from backend.inference.job import PredictionJob
from backend.predictions.batch_work import window_after
from backend.services import Services
from backend.versions.registry import UNTRAINED

log = logging.getLogger(__name__)

_SLICE_S = 30.0
"""Other background work waits for so long at most."""
_WINDOW = 128
"""Tasks predicted and written together."""
_MAX_FAULTS = 50
_WINDOWS_AT_ONCE = 2
"""While one is written, or at its end, the next keeps the cores busy."""
_RETRIES_S = (1, 2, 4, 8, 15)
_Outcomes = Sequence[EncodedPrediction | TandemError]
_Predict = Callable[[Sequence[Task]], _Outcomes]


class BatchPrediction:
    """Works on prediction jobs.

    A task gets exactly one prediction of a version: those that have one are not listed, and what was written by a
    process that was killed before it could say so is found out in the same way.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._access = Access(services)

    def work(self, job_id: str, attempt: int) -> None:
        """Work on a job for a while, and leave the rest to the next slice."""
        every_s = self._services.settings.heartbeat_s
        work_on(self._services.prediction_jobs, job_id, attempt, self._work, every_s=every_s)

    def _work(self, job: PredictionJob) -> None:
        mirror = self._services.projects.get(job.project_id)
        client = self._access.client(mirror.origin)
        if client is None:
            raise Invalid("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to write predictions", code=URL_MISSING)
        project_id = ProjectUid.parse(mirror.origin.uid).id
        conditions = [lacks_prediction(job.version_name), *_conditions(client, job.selection)]
        versions = {key: self._services.versions.get(version_id) for key, version_id in job.versions.items()}
        config = parse(mirror.origin.document)
        predictor = TaskPredictor(self._services, self._access)
        chosen = self._chosen(job)

        def list_after(task_id: int) -> TaskPage:
            return client.list_tasks(project_id, conditions, after=task_id, limit=_WINDOW, with_annotations=False)

        ahead = _Ahead(
            list_after if chosen is None else partial(_list_chosen, list_after, chosen),
            lambda tasks: predictor.predict_window(mirror, config, versions, tasks, PredictParams()),
            until=time.monotonic() + _SLICE_S,
        )
        failures = 0
        while True:
            try:
                if job.num_tasks is None:
                    job.num_tasks = ahead.list_after(job.cursor).total
                    self._services.prediction_jobs.tell(job)
                with closing(ahead.windows(job.cursor)) as windows:
                    for tasks, outcomes in windows:
                        self._services.prediction_jobs.tell(job)  # a cancelled job writes nothing more
                        open_ids = {task["id"] for task in ahead.list_after(job.cursor).tasks}
                        self._write(job, client, project_id, tasks, outcomes, open_ids=open_ids)
                        failures = 0
                if ahead.is_at_end:
                    self._finish(job, client, project_id)
                    return
                break
            except Unavailable as error:
                if failures == len(_RETRIES_S):
                    raise
                log.warning("asked in vain", extra={"reason": error.message, "again_in_s": _RETRIES_S[failures]})
                time.sleep(_RETRIES_S[failures])
                failures += 1
                if ahead.is_over:
                    break
        self._services.prediction_jobs.rest(job)

    def _chosen(self, job: PredictionJob) -> list[int] | None:
        """Return the ids of the tasks that a job names, rising; None: it is for all that fulfil its conditions."""
        if "numbers" not in job.selection:
            return None
        return sorted(int(name) for name in self._services.batch_work.names(job) if name.isdecimal())

    def _write(
        self,
        job: PredictionJob,
        client: LabelStudio,
        project_id: int,
        tasks: Sequence[Task],
        outcomes: _Outcomes,
        *,
        open_ids: set[int],
    ) -> None:
        """Write what was found for tasks that nobody has written it for meanwhile, and go on after them."""
        faults: list[str] = []
        entries = []
        for task, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, TandemError):
                if outcome.code in SETUP_FAULTS:
                    raise outcome
                faults.append(f"task {task.id}: {outcome.message}")
            elif task.id in open_ids:
                entries.append({"task": task.id, **outcome.to_json(job.version_name)})
        faults += import_each(client, project_id, entries)
        job.num_done += len(tasks) - len(faults)
        job.num_failed += len(faults)
        job.faults = [*job.faults, *faults][:_MAX_FAULTS]
        job.cursor = _number(tasks[-1])
        self._services.prediction_jobs.tell(job)

    def _finish(self, job: PredictionJob, client: LabelStudio, project_id: int) -> None:
        if job.is_replacing and not job.selection and not job.num_failed:
            ours = {version.name for version in self._services.versions.of_project(job.project_id)}
            for name in client.list_model_versions(project_id):
                if name != job.version_name and _is_ours(name, ours):
                    client.delete_predictions(project_id, name)
        self._services.prediction_jobs.end(job)


class _Ahead:
    """Predicts the next windows of tasks while whoever asked for them writes the present one.

    Attributes:
        list_after: Lists a window: the first tasks with greater ids.
        is_at_end: Whether the last task was among those of the last call of `windows`.
    """

    def __init__(self, list_after: Callable[[int], TaskPage], predict: _Predict, *, until: float) -> None:
        self.list_after = list_after
        self.is_at_end = False
        self._predict = predict
        self._until = until

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._until

    def windows(self, task_id: int) -> Generator[tuple[list[Task], _Outcomes], None, None]:
        """Yield the tasks after one, with what was found for them, until the last one or until the time is up.

        However short the time is, there is enough for one window.
        """
        self.is_at_end = False
        begun: deque[tuple[list[Task], Future[_Outcomes]]] = deque()
        pool = ThreadPoolExecutor(_WINDOWS_AT_ONCE, thread_name_prefix="window")

        def begin(*, at_least: int = 0) -> None:
            nonlocal task_id
            while len(begun) < (at_least if self.is_over else _WINDOWS_AT_ONCE) and not self.is_at_end:
                tasks = [read(Task, sent) for sent in self.list_after(task_id).tasks]
                self.is_at_end = not tasks
                if tasks:
                    task_id = _number(tasks[-1])
                    begun.append((tasks, pool.submit(copy_context().run, self._predict, tasks)))

        try:
            begin(at_least=1)
            while begun:
                tasks, future = begun.popleft()
                outcomes = future.result()
                begin()
                yield tasks, outcomes
        finally:
            pool.shutdown(cancel_futures=True)


def _list_chosen(list_after: Callable[[int], TaskPage], chosen: Sequence[int], task_id: int) -> TaskPage:
    """Return the next of the chosen tasks, those that lie in one window; the total is that of all chosen ones."""
    while following := window_after(chosen, task_id, 1):
        listed = list_after(following[0] - 1).tasks
        tasks = [task for task in listed if window_after(chosen, task["id"] - 1, 1) == [task["id"]]]
        if tasks or not listed:
            return TaskPage(tasks, len(chosen))
        task_id = listed[-1]["id"]
    return TaskPage([], len(chosen))


def _number(task: Task) -> int:
    assert task.id is not None
    return int(task.id)


def _conditions(client: LabelStudio, selection: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    conditions: list[Mapping[str, Any]] = []
    if selection.get("is_unlabelled"):
        conditions.append(IS_NOT_ANNOTATED)
    if selection.get("up_to") is not None:
        conditions.append(has_id_up_to(int(selection["up_to"])))
    if selection.get("view") is not None:
        conditions += client.get_view_conditions(int(selection["view"]))
    return conditions


def import_each(client: LabelStudio, project_id: int, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write predictions; where Label Studio finds fault with one, write the others and return why."""
    if not entries:
        return []
    try:
        client.import_predictions(project_id, entries)
    except Invalid as error:
        if len(entries) == 1:
            return [f"task {entries[0]['task']}: {error.message}"]
        half = len(entries) // 2
        return [*import_each(client, project_id, entries[:half]), *import_each(client, project_id, entries[half:])]
    return []


def _is_ours(name: str, versions: set[str]) -> bool:
    is_combined = re.fullmatch(r"\d+-versions-[0-9a-f]{16}", name) is not None
    return name == UNTRAINED or is_combined or set(name.split("+")) <= versions
