"""Real servers under test: Label Studio as its users meet it, and Tandem as Label Studio and its operator do."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
from e2e.pictures import Picture, choice, label_config
from processes import RunningServer, wait_for

LABEL_STUDIO_LIVE = Path(
    os.environ.get("TANDEM_LABEL_STUDIO_LIVE", Path(__file__).parents[3] / "shared" / "tools" / "label-studio-live")
)
_FILES_PER_IMPORT = 100
RUN_TIMEOUT_S = 600


class Tandem(RunningServer):
    """`tandem up` with Basic auth, and what its operator asks it."""

    USER, PASSWORD = "tandem", "correct horse"

    @property
    def environment(self) -> dict[str, str]:
        user, password = self.auth
        environment = {**super().environment, "BASIC_AUTH_USER": user, "BASIC_AUTH_PASS": password}
        return {"TANDEM_BASE_URL": self.url, **environment}

    @property
    def auth(self) -> tuple[str, str]:
        return self.USER, self.settings.get("BASIC_AUTH_PASS", self.PASSWORD)

    def is_healthy(self) -> bool:
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return self.ask("GET", "/health").status_code == 200
        return False

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        url: str | None = None,
    ) -> requests.Response:
        """Send a request with user and password, over a connection of its own."""
        return requests.request(method, f"{url or self.url}{path}", json=body, auth=self.auth, timeout=100)

    def get(self, path: str) -> Any:
        return _json(self.ask("GET", path))

    def post(self, path: str, body: object = None) -> Any:
        return _json(self.ask("POST", path, body))

    def project(self, uid: str) -> dict[str, Any]:
        """Return what /tandem/status says about a project."""
        return next(project for project in self.get("/tandem/status")["projects"] if project["uid"] == uid)

    def runs(self, uid: str) -> list[dict[str, Any]]:
        """Return a project's runs, newest first."""
        return list(self.get(f"/tandem/projects/{self.project(uid)['id']}/runs")["runs"])

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.get(f"/tandem/runs/{run_id}"))

    def version_names(self, uid: str) -> list[str]:
        """Return the names of a project's versions, oldest first."""
        versions = self.get(f"/tandem/projects/{self.project(uid)['id']}/versions")["versions"]
        return [version["name"] for version in versions]

    def setup(self, uid: str, config: str, *, url: str | None = None) -> str:
        """Set a project up as Label Studio does; return the version that answers."""
        body = {"project": uid, "schema": config, "hostname": "http://localhost:8080", "extra_params": None}
        return str(_json(self.ask("POST", "/setup", body, url=url))["model_version"])

    def train(self, uid: str, pictures: Sequence[Picture]) -> str:
        """Start a run on pictures that come along with the request; return its id."""
        tasks = [
            {"id": number, "data": {"image": picture.data_url}, "annotations": [_annotation(number, picture.label)]}
            for number, picture in enumerate(pictures, 1)
        ]
        config = label_config(sorted({picture.label for picture in pictures}))
        return str(self.post("/train", {"annotations": tasks, "project": uid, "label_config": config})["job"])

    def await_run(self, run_id: str, claim: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """Wait until something is true of a run; return it."""
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while not claim(run := self.run(run_id)):
            assert run["state"] not in ("failed", "cancelled"), f"the run has {run['state']}: {run['error']}"
            assert time.monotonic() < deadline, f"the run has not {what}: {run['progress']}"
            time.sleep(0.2)
        return run

    def await_completed(self, run_id: str) -> dict[str, Any]:
        return self.await_run(run_id, lambda run: run["state"] == "completed", "completed")

    def await_epochs(self, run_id: str, number: int = 3) -> dict[str, Any]:
        """Wait until a run has learnt for some epochs, and is not about to end."""
        run = self.await_run(run_id, lambda run: len(run["history"]) >= number, f"learnt for {number} epochs")
        assert run["state"] == "running", "the run was too short for this test"
        return run

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log since the last start."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def num_answered(self, route: str) -> int:
        """Return how many requests of a route were answered since the last start."""
        return sum(event["event"] == "request answered" and event["route"] == route for event in self.events)

    @property
    def troubles(self) -> list[dict[str, Any]]:
        """What the log calls an error."""
        return [event for event in self.events if event["level"].upper() in ("ERROR", "CRITICAL")]

    def end(self) -> None:
        """Stop it; nothing may be left running."""
        assert self.stop() == 0, self.log[-2000:]
        assert self.pids() == []


@dataclass
class LabelStudio:
    """A real Label Studio, used through its API by its administrator."""

    url: str
    token: str
    username: str
    password: str
    _session: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Token {self.token}"}
        return self._session.request(method, f"{self.url}{path}", headers=headers, timeout=180, **options)

    def get(self, path: str, **params: Any) -> Any:
        return _json(self.ask("GET", path, params=params))

    def post(self, path: str, body: object = None, **params: Any) -> Any:
        return _json(self.ask("POST", path, json=body if body is not None else {}, params=params))

    @cached_property
    def personal_access_token(self) -> str:
        """The only one that its user may have."""
        return str(self.post("/api/token/")["token"])

    def create_project(self, title: str, config: str) -> Project:
        made = self.post("/api/projects/", {"title": title, "label_config": config})
        return Project(self, made["id"], title, config)

    def close(self) -> None:
        self._session.close()


@dataclass
class Project:
    """A project in Label Studio, and what people do with it."""

    label_studio: LabelStudio
    id: int
    title: str
    config: str
    task_ids: dict[str, int] = field(default_factory=dict)
    """Of imported pictures, by their names."""
    backend: int = 0
    """Id of the connection to Tandem."""

    @property
    def uid(self) -> str:
        """How Label Studio names the project to backends."""
        created_at = self.label_studio.get(f"/api/projects/{self.id}/")["created_at"]
        return f"{self.id}.{int(datetime.fromisoformat(created_at).timestamp())}"

    def upload(self, pictures: Sequence[Picture]) -> None:
        """Import image files, as the import dialog does."""
        for start in range(0, len(pictures), _FILES_PER_IMPORT):
            part = pictures[start : start + _FILES_PER_IMPORT]
            files = [(picture.name, (picture.name, picture.content)) for picture in part]
            imported = _json(self.label_studio.ask("POST", f"/api/projects/{self.id}/import", files=files))
            assert imported["task_count"] == len(part), imported
        for task in self.tasks():
            [address] = task["data"].values()
            self.task_ids[address.rpartition("/")[2].partition("-")[2]] = task["id"]

    def tasks(self) -> list[dict[str, Any]]:
        listed = self.label_studio.get("/api/tasks/", project=self.id, page_size=1000, fields="all")
        return list(listed["tasks"])

    def connect(self, tandem: Tandem, *, password: str = Tandem.PASSWORD) -> requests.Response:
        """Do what "Validate and Save" does."""
        body = {
            "project": self.id,
            "url": tandem.url,
            "title": "Tandem",
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": Tandem.USER,
            "basic_auth_pass": password,
            "is_interactive": True,
        }
        response = self.label_studio.ask("POST", "/api/ml/", json=body)
        if response.status_code == 201:
            self.backend = response.json()["id"]
        return response

    def connection(self) -> dict[str, Any]:
        """Return the connection as the settings page shows it."""
        return dict(self.label_studio.get(f"/api/ml/{self.backend}"))

    def annotate(self, pictures: Iterable[Picture]) -> None:
        for picture in pictures:
            path = f"/api/tasks/{self.task_ids[picture.name]}/annotations/"
            self.label_studio.post(path, {"result": choice(picture.label), "lead_time": 1.0})

    def start_training(self) -> None:
        """Do what the menu "Start Training" does."""
        response = self.label_studio.ask("POST", f"/api/ml/{self.backend}/train", json={})
        assert response.status_code == 200, response.text

    def retrieve_predictions(self, pictures: Iterable[Picture]) -> dict[str, Any]:
        """Do what the action "Retrieve Predictions" does for selected tasks."""
        chosen = [self.task_ids[picture.name] for picture in pictures]
        body = {"selectedItems": {"all": False, "included": chosen}, "ordering": [], "filters": None}
        said = self.label_studio.post("/api/dm/actions", body, id="retrieve_tasks_predictions", project=self.id)
        return dict(said)

    def predictions(self, picture: Picture | None = None) -> list[dict[str, Any]]:
        """Return the stored predictions, of all tasks or of one."""
        which = {"task": self.task_ids[picture.name]} if picture else {"project": self.id}
        return list(self.label_studio.get("/api/predictions/", **which))

    def predicted(self, version: str) -> dict[str, str | None]:
        """Return the labels that a version gave to pictures, by their names."""
        return {name: _label(prediction["result"]) for name, prediction in self._by_name(version)}

    def scores(self, version: str) -> dict[str, float]:
        """Return how sure a version was of pictures, by their names."""
        return {name: prediction["score"] for name, prediction in self._by_name(version)}

    def _by_name(self, version: str) -> Iterator[tuple[str, dict[str, Any]]]:
        name_of = {task_id: name for name, task_id in self.task_ids.items()}
        for prediction in self.predictions():
            if prediction["model_version"] == version:
                yield name_of[prediction["task"]], prediction


@contextlib.contextmanager
def run_label_studio(**settings: str) -> Iterator[LabelStudio]:
    """Run a Label Studio of its own; skip where the tool that starts it is missing."""
    if not LABEL_STUDIO_LIVE.exists():
        pytest.skip(f"{LABEL_STUDIO_LIVE} is missing; TANDEM_LABEL_STUDIO_LIVE says where it is")
    options = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
    with subprocess.Popen(
        [LABEL_STUDIO_LIVE, "--die-with-parent", *options], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "Label Studio did not start; the reason is above"
            said = json.loads(line)
            server = LabelStudio(said["url"], said["token"], said["username"], said["password"])
            with contextlib.closing(server):
                yield server
        finally:
            process.terminate()


@contextlib.contextmanager
def run_tandem(folder: Path, **settings: str) -> Iterator[Tandem]:
    """Run a `tandem up` of its own, and make sure that nothing is left of it."""
    tandem = Tandem(folder, settings)
    tandem.start()
    try:
        wait_for(lambda: tandem.pids("worker trainer"), "the trainer runs")
        yield tandem
    except BaseException:
        print(tandem.log[-4000:])
        raise
    finally:
        tandem.end()


def needs(*programs: str) -> None:
    """Skip where a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")


def _annotation(number: int, label: str) -> dict[str, Any]:
    return {"id": number, "result": choice(label), "was_cancelled": False, "updated_at": "2026-11-20T19:33:15Z"}


def _label(result: Sequence[dict[str, Any]]) -> str | None:
    return str(result[0]["value"]["choices"][0]) if result else None


def _json(response: requests.Response) -> Any:
    assert response.ok, f"{response.request.method} {response.url}: {response.status_code} {response.text[:1000]}"
    return response.json()
