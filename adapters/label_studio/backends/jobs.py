"""Background jobs of ML backends: ask the one at another URL for predictions, and keep them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from adapters.label_studio.backends.open_tasks import Entry, OpenTasks, open_tasks
from adapters.label_studio.backends.there import There
from adapters.label_studio.client import UNREACHABLE
from backend import jobs, logs
from backend.connections.ml_backends import MLBackend
from backend.errors import Conflict, TandemError, Unavailable
from backend.inference.custody import work_on
from backend.inference.job import PredictionJob
from backend.services import Services

log = logging.getLogger(__name__)

_SLICE_S = 30.0
"""Other background work waits for so long at most, and for one more request."""
_WINDOW = 8
"""Tasks of one request; what a killed process leaves to be asked again."""
_MAX_FAULTS = 50
_FAULTS_IN_A_ROW = 16
"""Single tasks that fail one after the other until nobody asks for more."""
_RETRIES_S = (1, 2, 4, 8, 15)


def predict(job_id: str, attempt: int) -> None:
    """Ask for more of the predictions of a job."""
    with jobs.services() as services, logs.context(job_id=job_id):
        RemoteBatch(services).work(job_id, attempt)


class RemoteBatch:
    """Works on jobs whose predictions another ML backend makes.

    Tasks that have a prediction of its version are not listed, so a process that takes a job up asks for none twice.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def work(self, job_id: str, attempt: int) -> None:
        """Work on a job for a while, and leave the rest to the next slice."""
        every_s = self._services.settings.heartbeat_s
        work_on(self._services.prediction_jobs, job_id, attempt, self._slice, every_s=every_s)

    def _slice(self, job: PredictionJob) -> None:
        backend = self._backend(job)
        mirror = self._services.projects.get(job.project_id)
        if mirror.origin.kind != job.selection["kind"]:
            raise Conflict("the project has moved to where its tasks have other ids; ask again")
        asking = _Asking(self._services, job, backend, open_tasks(self._services, mirror, job.version_name))
        until = time.monotonic() + _SLICE_S
        pauses_s = iter(_RETRIES_S)
        while True:
            try:
                if not asking.go_on():
                    self._services.prediction_jobs.end(job)
                    return
            except Unavailable as error:
                pause_s = next(pauses_s, None)
                if error.code != UNREACHABLE or pause_s is None:
                    raise
                log.warning("asked in vain", extra={"reason": error.message, "again_in_s": pause_s})
                time.sleep(pause_s)
                continue
            pauses_s = iter(_RETRIES_S)
            if time.monotonic() >= until:
                self._services.prediction_jobs.rest(job)
                return

    def _backend(self, job: PredictionJob) -> MLBackend:
        """Return what is to be asked, as it is registered here; else by the address that Label Studio keeps of it."""
        number = job.selection["backend"]
        if number is None:
            url, timeout_s = job.selection["url"], job.selection["timeout_s"]
            return MLBackend(project_id=job.project_id, url=url, timeout_s=timeout_s)
        backend = self._services.ml_backends.find(number)
        if backend is None:
            raise Conflict("the ML backend was removed, so nobody can ask it for more")
        return backend


class _Asking:
    """One slice of a job: some tasks after the other, one at a time once several at once have failed."""

    def __init__(self, services: Services, job: PredictionJob, backend: MLBackend, tasks: OpenTasks) -> None:
        self._services = services
        self._job = job
        self._backend = backend
        self._peer = There(services, backend, services.ml_backends.password(backend))
        self._tasks = tasks
        self._size = _WINDOW
        self._num_faults = 0

    def go_on(self) -> bool:
        """Ask for some more tasks and keep what comes; return False where there are none.

        Raises:
            Unavailable: The backend is down, or answers for no task any more.
        """
        up_to = self._job.selection.get("up_to")
        listed = self._tasks.after(self._job.cursor, limit=self._size)
        tasks = [task for task in listed if up_to is None or task["id"] <= up_to]
        if not tasks:
            return False
        try:
            outcomes = self._peer.predict(tasks)
        except TandemError as error:
            self._require_up(error)
            if len(tasks) > 1:
                log.warning("tasks refused together", extra={"reason": error.message})
                self._size = 1
                return True
            outcomes = [error]
        self._take(tasks, outcomes)
        return True

    def _take(self, tasks: Sequence[dict[str, Any]], outcomes: Sequence[list[dict[str, Any]] | TandemError]) -> None:
        job = self._job
        self._services.prediction_jobs.tell(job)  # a cancelled job writes nothing more
        faults: list[str] = []
        entries: list[Entry] = []
        for task, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, TandemError):
                faults.append(f"task {task['id']}: {outcome.message}")
            else:
                entries += [_entry(task["id"], each, job.version_name) for each in outcome]
        faults += self._tasks.write(entries)
        num_failed = min(len(faults), len(tasks))  # a task may have several predictions
        job.num_done += len(tasks) - num_failed
        job.num_failed += num_failed
        job.faults = [*job.faults, *faults][:_MAX_FAULTS]
        job.cursor = tasks[-1]["id"]
        self._services.prediction_jobs.tell(job)
        self._num_faults = self._num_faults + num_failed if num_failed == len(tasks) else 0
        if self._num_faults >= _FAULTS_IN_A_ROW:
            raise Unavailable(f"the ML backend failed for {self._num_faults} tasks one after the other; {faults[-1]}")

    def _require_up(self, error: TandemError) -> None:
        """Make sure that a backend that failed is there at all; wait a while for one that is not.

        Raises:
            Unavailable: It is down.
        """
        for pause_s in (0, *_RETRIES_S):
            time.sleep(pause_s)
            seen = self._peer.look()
            if seen.is_reachable:
                return
            log.warning("asked in vain", extra={"reason": seen.error})
        if self._backend.id is not None:
            self._services.ml_backends.note(self._backend, is_reachable=False, error=error.message)
        raise Unavailable(f"the ML backend does not answer any more: {error.message}")


def _entry(task_id: int, prediction: dict[str, Any], version_name: str) -> Entry:
    """Return a prediction for a task; one without a name is of the version that was asked for."""
    return {"task": task_id, **prediction, "model_version": prediction["model_version"] or version_name}
