"""A hosted model: processes that answer, one that learns, and what keeps them running."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from adapters.hosting.events import deliveries
from adapters.hosting.journal import Job, Journal
from adapters.hosting.process import Description, ModelProcess, Program
from adapters.hosting.shim.label_studio_ml._tandem.first_generation import TrainOutputs
from adapters.hosting.shim.label_studio_ml.cache import SqliteCache
from adapters.hosting.training import Training
from backend.errors import TandemError, Unavailable

log = logging.getLogger(__name__)

_SETUP_S = 2.0
"""Label Studio waits three seconds for a set-up."""
_MAX_PAUSE_S = 30.0
_STEADY_S = 60.0
"""After so long a process' earlier crashes no longer count."""


@dataclass(frozen=True)
class Answer:
    """What a model said to tasks.

    Attributes:
        entries: One for each task: a prediction, or a list of them.
        reasons: Why some of them are empty.
        version: Which version answered.
    """

    entries: list[Any]
    reasons: list[str]
    version: str


class Host:
    """Serves one model class. Its processes are started by `start` and end with `close`, or with this process.

    Args:
        program: What to serve.
        num_processes: How many processes predict; each makes one prediction at a time.
        predict_timeout_s: How long a prediction may take, and how long it waits for the model to be loaded.
    """

    def __init__(self, program: Program, *, num_processes: int = 1, predict_timeout_s: float = 90.0) -> None:
        self.program = program
        self.journal = Journal(program.model_folder)
        self.first_load: Future[Description] = Future()
        self._num_processes = num_processes
        self._predict_timeout_s = predict_timeout_s
        self._store = SqliteCache(program.model_folder)
        self._processes: list[ModelProcess] = []
        self._changed = threading.Condition()
        self._crashes: list[float] = []
        self._is_closed = False
        self._training: Training | None = None

    def start(self) -> None:
        """Begin to load the model; `first_load` says when that has ended, and how."""
        self._training = Training(self.program, self.journal, when_changed=self.reload)
        for _ in range(self._num_processes):
            self._start_process()

    def close(self) -> None:
        """End all processes."""
        with self._changed:
            self._is_closed = True
            processes, self._processes = self._processes, []
            self._changed.notify_all()
        if self._training is not None:
            self._training.close()
        for process in processes:
            process.stop()

    @property
    def description(self) -> Description | None:
        """What is known of the class; None until it is loaded for the first time."""
        is_known = self.first_load.done() and self.first_load.exception() is None
        return self.first_load.result() if is_known else None

    @property
    def num_ready(self) -> int:
        """How many processes can answer now."""
        return sum(process.is_usable for process in self._processes)

    def setup(self, project_id: str, body: Mapping[str, Any]) -> str:
        """Tell the model about a project; return the version in use.

        While the model is loaded or does not answer, this is the version that it stored last.

        Raises:
            ModelFailed: The model refuses the project.
            Unavailable: It does not answer in time, and has never stored a version.
        """
        try:
            process = self._choose(timeout_s=_SETUP_S / 2)
            return str(process.call("setup", body, timeout_s=_SETUP_S)["model_version"])
        except Unavailable as error:
            version = self.known_version(project_id)
            if version is None:
                raise
            log.warning("set-up answered from the store", extra={"project": project_id, "reason": error.message})
            return version

    def predict(self, body: Mapping[str, Any]) -> Answer:
        """Predict tasks; exactly one entry for each.

        Raises:
            ModelFailed: The model failed on all of them.
            Unavailable: It does not answer in time, or its process ended.
        """
        deadline = time.monotonic() + self._predict_timeout_s
        process = self._choose(timeout_s=self._predict_timeout_s)
        said = process.call("predict", body, timeout_s=max(deadline - time.monotonic(), 0.1))
        return Answer(said["results"], said["reasons"], said["model_version"])

    def learn(self, project: str, action: str, body: Mapping[str, Any]) -> Job | None:
        """Queue a training for an event and return at once; None where the model does not learn from it.

        Raises:
            Unavailable: The model has not been loaded yet, so nobody knows what it learns from.
            LimitExceeded: Too many trainings wait.
        """
        description = self.description
        if description is None or self._training is None:
            raise Unavailable("the model is still being loaded", code="model_loading", retry_after_s=5)
        if not description.learns:
            return None
        calls = deliveries(action, body, description.train_events)
        return self._training.add(project, action, calls) if calls else None

    def versions(self) -> list[str]:
        """Return the versions in use, over all projects."""
        found = set(self._store.values_of("model_version").values())
        if self.description is not None and self.description.generation == 1:
            found = {TrainOutputs(self._store).latest() or "INITIAL"}
        return sorted(found)

    def known_version(self, project_id: str) -> str | None:
        """Return the version that a project's model stored last, or None; asks no process."""
        if self.description is not None and self.description.generation == 1:
            return TrainOutputs(self._store).last(project_id) or "INITIAL"
        return self._store[project_id, "model_version"]

    def reload(self) -> None:
        """Put fresh processes in place of those that predict; these finish what they were asked before they end."""
        with self._changed:
            old = list(self._processes)
        for process in old:
            fresh = ModelProcess(self.program, when_ended=self._restart)
            try:
                fresh.loaded.result(600)
            except (TandemError, TimeoutError) as error:
                log.error("model not reloaded, the old one goes on", extra={"reason": str(error)})
                fresh.stop()
                return
            with self._changed:
                if self._is_closed or process not in self._processes:
                    fresh.stop()
                    return
                self._processes[self._processes.index(process)] = fresh
                self._changed.notify_all()
            threading.Thread(target=self._retire, args=(process,), name="retire", daemon=True).start()
        log.info("model reloaded", extra={"processes": len(old)})

    def _retire(self, process: ModelProcess) -> None:
        deadline = time.monotonic() + self._predict_timeout_s
        while process.num_waiting and time.monotonic() < deadline:
            time.sleep(0.05)
        process.stop()

    def _choose(self, *, timeout_s: float) -> ModelProcess:
        """Return the usable process with the least to do, waiting for one if need be."""

        def usable() -> list[ModelProcess]:
            return [process for process in self._processes if process.is_usable]

        with self._changed:
            if not self._changed.wait_for(lambda: self._is_closed or usable(), timeout_s) or self._is_closed:
                raise Unavailable("the model is still being loaded", code="model_loading", retry_after_s=5)
            return min(usable(), key=lambda process: process.num_waiting)

    def _start_process(self) -> None:
        process = ModelProcess(self.program, when_ended=self._restart)
        with self._changed:
            if self._is_closed:
                process.stop()
                return
            self._processes.append(process)
        process.loaded.add_done_callback(self._note_loaded)

    def _note_loaded(self, loaded: Future[Description]) -> None:
        error = loaded.exception()
        with self._changed:
            if not self.first_load.done() and error is None:
                self.first_load.set_result(loaded.result())
            elif not self.first_load.done() and error is not None:
                self.first_load.set_exception(error)
            self._changed.notify_all()

    def _restart(self, ended: ModelProcess) -> None:
        """Start another process for one that ended by itself, later each time; never if none was ever loaded."""
        with self._changed:
            if self._is_closed or ended not in self._processes:
                return
            self._processes.remove(ended)
        if self.description is None:
            return
        now = time.monotonic()
        self._crashes = [moment for moment in self._crashes if now - moment < _STEADY_S] + [now]
        pause_s = min(0.5 * 2.0 ** (len(self._crashes) - 1), _MAX_PAUSE_S)
        log.error("model process ended", extra={"process_id": ended.pid, "restart_in_s": pause_s})
        timer = threading.Timer(pause_s, self._start_process)
        timer.daemon = True
        timer.start()
