"""Fixtures for tests of the mlp API: people with keys, and what they train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import agent_projects
import pytest
from described_trainings import QuickFit, create, show, start
from doubles import InlineQueue
from flask.testing import FlaskClient
from labelled_projects import make_label_set, make_project
from trained_projects import add_training, build_detector
from werkzeug.test import TestResponse

from backend.accounts.service import User
from backend.projects.service import LabelSet, Project
from backend.services import Services
from backend.settings import Settings
from backend.training.execution import Execution
from backend.training.run import TrainingRun
from models.labels import Objective


class Agent:
    """A program with one person's key. Its answers are Werkzeug's; `ok` returns the `data` of one that must succeed."""

    def __init__(self, client: FlaskClient, user: User, key: str) -> None:
        self.client = client
        self.user = user
        self.key = key

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **options)

    def ok(self, method: str, path: str, **options: Any) -> Any:
        response = self.ask(method, path, **options)
        assert 200 <= response.status_code < 300, response.get_data(as_text=True)
        if response.status_code == 204:
            return None
        body = response.get_json()
        assert body["ok"] is True
        assert body["requestId"] == response.headers["X-Request-Id"]
        return body["data"]

    def error(self, method: str, path: str, **options: Any) -> tuple[int, str, dict[str, Any]]:
        """Return the status, the code and the details of an answer that must be an error."""
        response = self.ask(method, path, **options)
        body = response.get_json()
        assert body["ok"] is False, body
        return response.status_code, body["error"]["code"], body["error"]["details"]


@pytest.fixture
def make_agent(client: FlaskClient, services: Services) -> Callable[..., Agent]:
    """Make a person, by default with a workspace of their own, and a key."""

    def make(email: str = "ann@example.com", **minted: Any) -> Agent:
        user = services.accounts.find_user(email) or services.accounts.create_user(email)
        _, key = services.accounts.mint(user, "test", **minted)
        return Agent(client, user, key)

    return make


@pytest.fixture
def agent(make_agent: Callable[..., Agent]) -> Agent:
    return make_agent()


@pytest.fixture
def stranger(make_agent: Callable[..., Agent], agent: Agent) -> Agent:
    """Somebody who shares nothing with `agent`."""
    return make_agent("bob@example.com")


@pytest.fixture
def project(services: Services, agent: Agent) -> Project:
    workspace = services.accounts.authenticate(agent.key).workspace_ids[0]
    return make_project(services, workspace)


@pytest.fixture
def cars(services: Services, project: Project) -> LabelSet:
    return make_label_set(services, project, Objective.DETECTION, ["car", "bus"])


@pytest.fixture
def label_set(services: Services, agent: Agent) -> LabelSet:
    """To be overridden where it is not about red and green boxes."""
    [workspace_id] = services.accounts.local(agent.user).workspace_ids
    project = make_project(services, workspace_id)
    return make_label_set(services, project, Objective.DETECTION, ["red", "green"])


@pytest.fixture
def run(services: Services, label_set: LabelSet, tmp_path: Path) -> TrainingRun:
    """A detector of what is red and what is green."""
    return add_training(services, label_set, build_detector(tmp_path / "detector", label_set.schema))


@pytest.fixture
def work(
    services: Services, queue: InlineQueue, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Be clock and worker until nothing waits."""
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")

    def do() -> None:
        for _ in range(20):
            services.prediction_jobs.advance()
            if not queue.jobs:
                return
            queue.run_all()

    return do


@pytest.fixture
def fit() -> QuickFit:
    return QuickFit()


@pytest.fixture
def workspace_id(services: Services, agent: Any) -> str:
    [workspace_id] = services.accounts.local(agent.user).workspace_ids
    return workspace_id


@pytest.fixture
def colours(services: Services, workspace_id: str) -> LabelSet:
    """Red or green."""
    return agent_projects.make_label_set(services, workspace_id)


@pytest.fixture
def labelled(services: Services, colours: LabelSet) -> LabelSet:
    """A label set with ten red and ten green images."""
    agent_projects.add_images(services, colours, ["red", "green"] * 10)
    return colours


@pytest.fixture
def collect(
    services: Services, queue: InlineQueue, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Let the clock tick and the background work, until runs wait for a trainer."""
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")

    def do() -> None:
        services.training.advance()
        for job_id, (job, args) in list(queue.jobs.items()):
            if job.endswith(".collect"):
                del queue.jobs[job_id]
                resolve_name(job)(*args)
        services.training.advance()

    return do


@pytest.fixture
def train_all(
    services: Services, queue: InlineQueue, settings: Settings, collect: Callable[[], None], fit: QuickFit
) -> Callable[[], None]:
    """Let all workers work, the trainer with `fit`."""
    parts = (services.database, services.training, services.versions, services.projects, services.blobs, settings)
    execution = Execution(*parts, fitter=lambda _: fit)

    def do() -> None:
        collect()
        while queue.jobs:
            _, args = queue.jobs.pop(next(iter(queue.jobs)))
            execution.execute(*args)

    return do


@pytest.fixture
def completed(agent: Any, labelled: LabelSet, train_all: Callable[[], None]) -> Any:
    training = create(agent, labelled)
    start(agent, training)
    train_all()
    return show(agent, training)
