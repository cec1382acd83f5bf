"""A model's process: started, asked over a socket, ended. Everything that it may break, it breaks for itself alone."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.hosting.shim.label_studio_ml._tandem.frames import Frames
from adapters.hosting.target import Target
from backend.errors import TandemError, Unavailable

log = logging.getLogger(__name__)

SHIM = Path(__file__).parent / "shim"
_STOP_S = 3.0


class ModelFailed(TandemError):
    """The model's own code raised something."""

    default_code = "model_failed"


@dataclass(frozen=True)
class Description:
    """What a model's process found out about its class.

    Attributes:
        model_class: The name of the class.
        generation: 1 for label-studio-ml 1.0.9, 2 for its successor.
        train_events: The events that it learns from.
        learns: Whether it learns at all.
    """

    model_class: str
    generation: int
    train_events: frozenset[str]
    learns: bool


@dataclass(frozen=True)
class Program:
    """How a model's process is started.

    Attributes:
        target: The code.
        model_folder: MODEL_DIR: where the model keeps what it learns.
        python: The interpreter; it needs flask, pydantic and label-studio-sdk.
        environment: All of its environment but what is set here.
        fit_wins: Whether a version stored by `fit()` outlives the constant that `setup()` sets.
        keeps_models: Whether a constructed model answers further requests.
        generation: 0 to find out.
    """

    target: Target
    model_folder: Path
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    fit_wins: bool = True
    keeps_models: bool = False
    generation: int = 0

    def command(self, file_descriptor: int) -> list[str]:
        """Return what to execute."""
        asked = {
            "target": self.target.to_json(),
            "fit_wins": self.fit_wins,
            "keeps_models": self.keeps_models,
            "generation": self.generation,
        }
        # NOTE: -P, because the folder where the command was given is not the model's.
        return [self.python, "-P", "-m", "label_studio_ml._tandem.process", str(file_descriptor), json.dumps(asked)]

    def full_environment(self) -> dict[str, str]:
        """Return its environment; set before anything is imported, because models read MODEL_DIR when they are."""
        paths = [str(SHIM), *filter(None, [self.environment.get("PYTHONPATH")])]
        return {
            **self.environment,
            "MODEL_DIR": str(self.model_folder),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
        }


class ModelProcess:
    """One process; many threads may ask it, and it answers predictions one after the other."""

    def __init__(self, program: Program, *, when_ended: Callable[[ModelProcess], None] = lambda _: None) -> None:
        self.loaded: Future[Description] = Future()
        self._when_ended = when_ended
        self._calls: dict[int, Future[Any]] = {}
        self._number = 0
        self._changing = threading.Lock()
        self._is_stopping = False
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - the user named the code to execute
                program.command(theirs.fileno()),
                env=program.full_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._frames = Frames(ours)
        threading.Thread(target=self._read, name=f"model-{self._process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether its code is loaded and it has not ended."""
        return self.loaded.done() and self.loaded.exception() is None and not self._is_stopping

    @property
    def num_waiting(self) -> int:
        """How many calls it has not answered."""
        return len(self._calls)

    def call(self, name: str, body: Mapping[str, Any], *, timeout_s: float | None) -> Any:
        """Ask, and wait for the answer.

        Raises:
            ModelFailed: The model raised something.
            Unavailable: The process ended before it answered, or there is no answer in time; it goes on regardless.
        """
        answer: Future[Any] = Future()
        with self._changing:
            if self._is_stopping:
                raise _ended(self._process.poll())
            self._number += 1
            number = self._number
            self._calls[number] = answer
        try:
            self._frames.send({"id": number, "call": name, "body": body})
        except OSError as error:
            raise _ended(self._process.poll()) from error
        try:
            return answer.result(timeout_s)
        except TimeoutError:
            raise Unavailable(
                f"the model has not answered within {timeout_s:g} s; it goes on, and later requests wait for it",
                code="prediction_timeout",
            ) from None

    def stop(self) -> None:
        """End it, and whatever it has started."""
        with self._changing:
            self._is_stopping = True
        self._bury()

    def _bury(self) -> None:
        """End the conversation, which ends the process; kill what is left of its session."""
        self._frames.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _read(self) -> None:
        try:
            while True:
                self._take(self._frames.receive())
        except EOFError:
            self._note_end()

    def _take(self, said: dict[str, Any]) -> None:
        if said["id"] == 0:
            if "error" in said:
                self.loaded.set_exception(ModelFailed(said["error"]))
            else:
                value = said["value"]
                self.loaded.set_result(Description(**{**value, "train_events": frozenset(value["train_events"])}))
            return
        with self._changing:
            answer = self._calls.pop(said["id"])
        if "error" in said:
            answer.set_exception(ModelFailed(said["error"]))
        else:
            answer.set_result(said["value"])

    def _note_end(self) -> None:
        self._bury()
        with self._changing:
            was_asked_to = self._is_stopping
            self._is_stopping = True
            calls, self._calls = list(self._calls.values()), {}
        error = _ended(self._process.poll())
        if not self.loaded.done():
            self.loaded.set_exception(error)
        for answer in calls:
            answer.set_exception(error)
        if not was_asked_to:
            self._when_ended(self)


def _ended(code: int | None) -> Unavailable:
    how = "" if code is None else f" with signal {signal.Signals(-code).name}" if code < 0 else f" with code {code}"
    return Unavailable(f"the model's process ended{how}", code="model_process_ended", retry_after_s=5)
