"""Trains a hosted model off the request path: one job at a time, in a process that serves nothing else."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.hosting.events import START_TRAINING, Delivery
from adapters.hosting.journal import Job, JobState, Journal
from adapters.hosting.process import ModelFailed, ModelProcess, Program
from adapters.hosting.shim.label_studio_ml.cache import SqliteCache
from backend.errors import LimitExceeded, TandemError

log = logging.getLogger(__name__)

MAX_QUEUED = 1000
_NICENESS = 10
"""Training takes what predictions leave."""
_IDLE_S = 60.0
"""For so long the process is kept for further events: it may take a while to load, and events come in a row."""
_MAX_FILES = 20_000
_SKIPPED = {"__pycache__", ".git", ".venv", "venv", "node_modules"}

Files = frozenset[tuple[str, int, int]]


@dataclass(frozen=True)
class _Waiting:
    job: Job
    deliveries: list[Delivery]


class Training:
    """Takes events and calls `fit` for them, in the order in which they came.

    Args:
        program: How a model's process is started.
        journal: Where jobs are written down.
        when_changed: Called after a job that left other files or another version behind.
    """

    def __init__(self, program: Program, journal: Journal, *, when_changed: Callable[[], None]) -> None:
        self._program = program
        self._journal = journal
        self._when_changed = when_changed
        self._store = SqliteCache(program.model_folder)
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue()
        self._adding = threading.Lock()
        self._process: ModelProcess | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        journal.fail_unfinished("the server was stopped before the job had ended")
        self._thread.start()

    def add(self, project: str, event: str, deliveries: list[Delivery]) -> Job:
        """Queue a job and return at once; a project's START_TRAINING joins one that has not begun.

        Raises:
            LimitExceeded: Too many jobs wait.
        """
        with self._adding:
            if self._waiting.qsize() >= MAX_QUEUED:
                raise LimitExceeded(
                    f"{MAX_QUEUED} trainings wait already", code="training_queue_full", retry_after_s=60
                )
            if event == START_TRAINING:
                for job in self._journal.unfinished(project):
                    if (job.event, job.state) == (event, JobState.QUEUED):
                        return job
            job = self._journal.add_job(project, event)
            self._waiting.put(_Waiting(job, deliveries))
        return job

    def close(self) -> None:
        """End the process, whatever it does."""
        self._is_closed = True
        self._waiting.put(None)
        if (process := self._process) is not None:
            process.stop()
        self._thread.join(10)

    def _work(self) -> None:
        while not self._is_closed:
            try:
                waiting = self._waiting.get(timeout=_IDLE_S if self._process else None)
            except queue.Empty:
                self._drop_process()
                continue
            if waiting is not None and not self._is_closed:
                self._do(waiting)

    def _do(self, waiting: _Waiting) -> None:
        job = waiting.job
        before = self._state()
        self._journal.start_job(job.id)
        try:
            result, problems = self._fit(waiting)
        except TandemError as error:
            result, problems = None, [error.message]
            self._drop_process()
        except Exception:  # the boundary of a job
            log.exception("training crashed", extra={"job": job.id})
            result, problems = None, ["training could not be started; the log says more"]
            self._drop_process()
        more = f" (and {len(problems) - 1} more of {len(waiting.deliveries)} events)" if len(problems) > 1 else ""
        error_sentence = f"{problems[0]}{more}" if problems else None
        if not self._is_closed and self._state() != before:
            self._when_changed()  # before the job ends: who waits for its end sees predictions of what it learnt
        self._journal.end_job(job.id, error=error_sentence, result=result)
        fields = {"job": job.id, "event_name": job.event, "project": job.project}
        if error_sentence:
            log.error("training failed", extra={**fields, "reason": error_sentence})
        else:
            log.info("training finished", extra=fields)

    def _fit(self, waiting: _Waiting) -> tuple[Any, list[str]]:
        """Deliver a job's events; return what `fit` returned last, and a sentence for each one that failed."""
        process = self._loaded_process()
        result: Any = None
        problems: list[str] = []
        for delivery in waiting.deliveries:
            body = {"event": delivery.event, "data": delivery.data, "job": waiting.job.id}
            try:
                result = process.call("fit", body, timeout_s=None)["result"]
            except ModelFailed as error:
                problems.append(error.message)
        return result, problems

    def _loaded_process(self) -> ModelProcess:
        if self._process is None or not self._process.is_usable:
            self._drop_process()
            self._process = ModelProcess(self._program)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)
            self._process.loaded.result()
        return self._process

    def _drop_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def _state(self) -> tuple[Files, tuple[tuple[str, str], ...]]:
        """Return what a training may change and a model may hold in memory: files beside it, and versions."""
        folders = {self._program.model_folder, self._program.target.folder}
        files = frozenset(file for folder in folders for file in _files(folder))
        return files, tuple(sorted(self._store.values_of("model_version").items()))


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Yield path, time and size of the first files below a folder; databases are read afresh by whoever asks them."""
    left = _MAX_FILES
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            if name.startswith(("cache.db", "tandem-host.")):
                continue
            path = Path(parent) / name
            try:
                found = path.stat()
            except OSError:  # gone meanwhile
                continue
            yield str(path), found.st_mtime_ns, found.st_size
            left -= 1
            if left == 0:
                return
