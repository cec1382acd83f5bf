"""Models as people write them for Label Studio's ML backend, and hosts that serve them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hosted_models import CONFIG, UID

from adapters.hosting import target
from adapters.hosting.contract import create_app
from adapters.hosting.host import Host
from adapters.hosting.journal import Job
from adapters.hosting.process import Program
from backend.settings import Settings


@pytest.fixture(scope="module")
def make_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Host]]:
    """Write a model file, host it, and wait until it is loaded."""
    with ExitStack() as stack:

        def make(source: str, *, num_processes: int = 1, name: str = "model.py", **options: Any) -> Host:
            folder = tmp_path_factory.mktemp("hosted")
            (folder / name).write_text(source)
            program = Program(target.read(name, working_folder=folder), folder / "learnt", **options)
            host = stack.enter_context(closing(Host(program, num_processes=num_processes)))
            host.start()
            host.first_load.result(60)
            return host

        yield make


@pytest.fixture
def ask(tmp_path: Path, no_settings: None) -> Callable[..., FlaskClient]:
    """Return a caller of a host."""

    def make(host: Host, **settings: Any) -> FlaskClient:
        return create_app(Settings(home=tmp_path, **settings), host).test_client()

    return make


@pytest.fixture
def predict() -> Callable[..., Any]:
    """Ask for predictions of texts as Label Studio does."""

    def ask_for(client: FlaskClient, *texts: str, context: Any = None) -> Any:
        tasks = [{"id": number, "data": {"text": text}} for number, text in enumerate(texts, start=1)]
        params = {"login": None, "password": None, "context": context}
        body = {"tasks": tasks, "project": UID, "label_config": CONFIG, "params": params}
        return client.post("/predict", json=body)

    return ask_for


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """Make the body of an event of the project 7.1795203195."""

    def make(action: str, **more: Any) -> dict[str, Any]:
        project = {"id": 7, "created_at": "2026-11-20T19:33:15.5Z", "label_config": CONFIG}
        return {"action": action, "project": project, **more}

    return make


@pytest.fixture
def ended() -> Callable[..., dict[str, Any]]:
    """Wait for the end of the job that an answer to an event names."""

    def wait(client: FlaskClient, answer: Any) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = client.post("/job_status", json={"job": answer.get_json()["job"]}).get_json()
            if status["ended_at"]:
                return dict(status)
            time.sleep(0.05)
        raise AssertionError("the job has not ended within a minute")

    return wait


@pytest.fixture
def ended_job() -> Callable[..., Job]:
    """Wait for the end of a job."""

    def wait(host: Host, job: Job | None) -> Job:
        assert job is not None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = host.journal.job(job.id)
            if found is not None and found.ended_at:
                return found
            time.sleep(0.05)
        raise AssertionError("the job has not ended within a minute")

    return wait
