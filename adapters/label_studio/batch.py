"""Predict the tasks of a whole project, or a selection of them, and write the answers into Label Studio."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from adapters.label_studio.access import Access
from adapters.label_studio.client import (
    IS_NOT_ANNOTATED,
    SETUP_FAULTS,
    URL_MISSING,
    LabelStudio,
    TaskPage,
    lacks_prediction,
)
from adapters.label_studio.label_config import parse
from adapters.label_studio.prediction import TaskPredictor
from adapters.label_studio.results import EncodedPrediction
from adapters.label_studio.wire import PredictParams, ProjectUid, Task, read
from backend.errors import Invalid, TandemError, Unavailable
from backend.inference.job import JobLost, PredictionJob
from backend.services import Services
from backend.versions import UNTRAINED

log = logging.getLogger(__name__)

_SLICE_S = 30.0
"""Other background work waits for so long at most."""
_WINDOW = 128
"""Tasks predicted and written together."""
_MAX_FAULTS = 50
_RETRIES_S = (1, 2, 4, 8, 15)


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
        jobs = self._services.prediction_jobs
        try:
            job = jobs.claim(job_id, attempt)
            with _heartbeat(self._services, job):
                self._work(job)
        except JobLost:
            log.info("prediction job is no longer ours", extra={"job_id": job_id})
        except TandemError as error:
            self._fail(job, error.message)
        except Exception as error:
            log.exception("prediction job crashed", extra={"job_id": job_id})
            self._fail(job, f"an internal error ended the job ({type(error).__name__}); the worker's log says more")

    def _fail(self, job: PredictionJob, sentence: str) -> None:
        with suppress(JobLost):
            self._services.prediction_jobs.end(job, error=sentence)

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
        until = time.monotonic() + _SLICE_S
        failures = 0
        while time.monotonic() < until:
            try:
                page = _next_page(client, project_id, conditions, job)
                if job.num_tasks is None:
                    job.num_tasks = page.total
                    self._services.prediction_jobs.tell(job)
                if not page.tasks:
                    self._finish(job, client, project_id)
                    return
                tasks = [read(Task, sent) for sent in page.tasks]
                outcomes = predictor.predict_window(mirror, config, versions, tasks, PredictParams())
                self._services.prediction_jobs.tell(job)  # a cancelled job writes nothing more
                still = _next_page(client, project_id, conditions, job)
                self._write(job, client, project_id, tasks, outcomes, open_ids={task["id"] for task in still.tasks})
            except Unavailable as error:
                if failures == len(_RETRIES_S):
                    raise
                log.warning("asked in vain", extra={"reason": error.message, "again_in_s": _RETRIES_S[failures]})
                time.sleep(_RETRIES_S[failures])
                failures += 1
                continue
            failures = 0
        self._services.prediction_jobs.rest(job)

    def _write(
        self,
        job: PredictionJob,
        client: LabelStudio,
        project_id: int,
        tasks: Sequence[Task],
        outcomes: Sequence[EncodedPrediction | TandemError],
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
        faults += _import(client, project_id, entries)
        job.num_done += len(tasks) - len(faults)
        job.num_failed += len(faults)
        job.faults = [*job.faults, *faults][:_MAX_FAULTS]
        assert tasks[-1].id is not None
        job.cursor = int(tasks[-1].id)
        self._services.prediction_jobs.tell(job)

    def _finish(self, job: PredictionJob, client: LabelStudio, project_id: int) -> None:
        if job.is_replacing and not job.selection and not job.num_failed:
            ours = {version.name for version in self._services.versions.of_project(job.project_id)}
            for name in client.list_model_versions(project_id):
                if name != job.version_name and _is_ours(name, ours):
                    client.delete_predictions(project_id, name)
        self._services.prediction_jobs.end(job)


def _next_page(
    client: LabelStudio, project_id: int, conditions: Sequence[Mapping[str, Any]], job: PredictionJob
) -> TaskPage:
    return client.list_tasks(project_id, conditions, after=job.cursor, limit=_WINDOW, with_annotations=False)


def _conditions(client: LabelStudio, selection: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    conditions: list[Mapping[str, Any]] = []
    if selection.get("is_unlabelled"):
        conditions.append(IS_NOT_ANNOTATED)
    if selection.get("view") is not None:
        conditions += client.get_view_conditions(int(selection["view"]))
    return conditions


def _import(client: LabelStudio, project_id: int, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write predictions; where Label Studio finds fault with one, write the others and return why."""
    if not entries:
        return []
    try:
        client.import_predictions(project_id, entries)
    except Invalid as error:
        if len(entries) == 1:
            return [f"task {entries[0]['task']}: {error.message}"]
        half = len(entries) // 2
        return [*_import(client, project_id, entries[:half]), *_import(client, project_id, entries[half:])]
    return []


def _is_ours(name: str, versions: set[str]) -> bool:
    is_combined = re.fullmatch(r"\d+-versions-[0-9a-f]{16}", name) is not None
    return name == UNTRAINED or is_combined or set(name.split("+")) <= versions


@contextmanager
def _heartbeat(services: Services, job: PredictionJob) -> Iterator[None]:
    """While a slice is worked on, say so every few seconds."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(services.settings.heartbeat_s):
            try:
                services.prediction_jobs.beat(job)
            except JobLost:
                return
            except TandemError as error:
                log.warning("heartbeat failed", extra={"job_id": job.id, "reason": error.message})

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
