"""What is measured? A whole `tandem up` with a home of its own, and a stand-in for the Label Studio it works for."""

from __future__ import annotations

import os
import re
import socket
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from bench import load, samples
from tests.doubles import FakeLabelStudio
from tests.processes import RunningServer

PROJECT = 7
_CREATED_AT = "2026-11-20T19:33:15.123456Z"
UID = f"{PROJECT}.{int(datetime.fromisoformat(_CREATED_AT).replace(tzinfo=UTC).timestamp())}"
_PATIENCE_S = 1200.0


class Installation:
    """Tandem and a Label Studio with one project, thrown away afterwards. A context manager.

    Attributes:
        label_studio: Holds the annotated tasks.
        server: The processes.
        start_s: Seconds until it was healthy, with an empty home.
    """

    def __init__(self, labels: tuple[str, ...] = samples.DIGITS, **settings: str) -> None:
        self.config = samples.config(labels)
        self._settings = settings
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-bench-"))
        self.label_studio = self._stack.enter_context(FakeLabelStudio())
        self.label_studio.projects[PROJECT] = {
            "id": PROJECT,
            "title": "Bench",
            "label_config": self.config,
            "created_at": _CREATED_AT,
        }
        self.label_studio.tasks[PROJECT] = []
        self.server = RunningServer(
            Path(folder),
            {
                "LABEL_STUDIO_URL": self.label_studio.url,
                "LABEL_STUDIO_API_KEY": self.label_studio.legacy_token,
                **self._settings,
            },
        )
        started = time.perf_counter()
        self.server.start()
        self.start_s = time.perf_counter() - started
        self._stack.callback(self.server.stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def port(self) -> int:
        """Where the server listens."""
        return self.server.port

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.server.home / "tandem.sqlite3"

    # What Label Studio says.

    def setup_request(self) -> bytes:
        """Return a POST /setup as Label Studio sends it when somebody opens the model page."""
        body = {"project": UID, "schema": self.config, "hostname": self.label_studio.url, "access_token": None}
        return load.request("POST", "/setup", body)

    def predict_request(self, tasks: list[dict[str, Any]]) -> bytes:
        """Return a POST /predict."""
        body = {"tasks": tasks, "project": UID, "label_config": self.config, "params": {"context": None}}
        return load.request("POST", "/predict", body)

    def event_request(self, number: int) -> bytes:
        """Return the POST /webhook of a new annotation."""
        details = {"annotation": {"id": number, "task": number, "result": []}, "task": {"id": number, "data": {}}}
        return load.request("POST", "/webhook", self._event("ANNOTATION_CREATED") | details)

    def connect(self) -> None:
        """Set the project up."""
        self.post("/setup", {"project": UID, "schema": self.config, "hostname": self.label_studio.url})

    def label(self, tasks: list[dict[str, Any]]) -> None:
        """Let people label tasks in Label Studio; no event says so."""
        self.label_studio.tasks[PROJECT] += tasks

    def start_training(self) -> str:
        """Press "Start Training"; return the run's id."""
        return str(self.post("/webhook", self._event("START_TRAINING"))["job"])

    # What people ask.

    def version(self) -> str:
        """Return the name of the version that answers."""
        return str(self.get(f"/tandem/projects/{UID}")["model_version"])

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a training run."""
        found: dict[str, Any] = self.get(f"/tandem/runs/{run_id}")
        return found

    def await_run(self, run_id: str, *states: str) -> str:
        """Wait until a run is in one of some states; return it."""
        deadline = time.monotonic() + _PATIENCE_S
        while (state := str(self.run(run_id)["state"])) not in states:
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id} is still {state}")
            time.sleep(0.2)
        return state

    def get(self, path: str) -> Any:
        """Ask for something; return the decoded answer."""
        return _decoded(requests.get(self.server.url + path, timeout=60))

    def post(self, path: str, body: object) -> Any:
        """Say something; return the decoded answer."""
        return _decoded(requests.post(self.server.url + path, json=body, timeout=120))

    # Which process it is.

    def web_pids(self) -> list[int]:
        """Return the processes that answer requests: the children of gunicorn's arbiter."""
        pids = self.server.pids("adapters.cli.main web")
        return [pid for pid in pids if _parent(pid) in pids]

    async def connect_to_each_worker(self) -> dict[int, socket.socket]:
        """Return a connection to every web process, by process id; gunicorn keeps a connection with its process."""
        found: dict[int, socket.socket] = {}
        pids = self.web_pids()
        deadline = time.monotonic() + 60
        while len(found) < len(pids):
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {len(found)} of {len(pids)} web processes could be reached")
            connection = socket.socket()
            connection.setblocking(False)
            await load.exchange(connection, load.request("GET", "/health"), port=self.port)
            pid = _peer_pid(connection, pids)
            if pid is None or pid in found:
                connection.close()
            else:
                found[pid] = connection
        return found

    def _event(self, action: str) -> dict[str, Any]:
        return {"action": action, "project": self.label_studio.projects[PROJECT]}


def _decoded(response: requests.Response) -> Any:
    response.raise_for_status()
    return response.json()


def _parent(pid: int) -> int:
    found = re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def _peer_pid(connection: socket.socket, pids: list[int]) -> int | None:
    """Find out which process holds the other end of a connection on this machine (Linux)."""
    here, there = connection.getsockname()[1], connection.getpeername()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        local, remote = (int(columns[position].rpartition(":")[2], 16) for position in (1, 2))
        if (local, remote) == (there, here):
            return next((pid for pid in pids if f"socket:[{columns[9]}]" in _open_files(pid)), None)
    return None


def _open_files(pid: int) -> set[str]:
    return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
