"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from databases import POSTGRES, Databases, Files, Postgres
from doubles import FakeLabelStudio, FakeWeb, InlineQueue
from flask.testing import FlaskClient

from adapters.web import create_app
from backend.queue import Queue
from backend.services import Services
from backend.settings import Settings


@pytest.fixture
def fake_label_studio() -> Iterator[FakeLabelStudio]:
    """A Label Studio server that knows nothing yet."""
    with FakeLabelStudio() as server:
        yield server


@pytest.fixture
def fake_web() -> Iterator[FakeWeb]:
    """Some other web server."""
    with FakeWeb() as server:
        yield server


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's own settings."""
    for name, info in Settings.model_fields.items():
        for variable in (f"TANDEM_{name.upper()}", *getattr(info.validation_alias, "choices", ())):
            monkeypatch.delenv(str(variable), raising=False)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Makes empty databases, migrated once for all tests."""
    if not POSTGRES:
        yield Files(tmp_path_factory.mktemp("database"))
        return
    with closing(Postgres(POSTGRES)) as postgres:
        yield postgres


@pytest.fixture
def settings(
    tmp_path: Path, databases: Databases, no_settings: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings with a home of its own, where the database is ready."""
    home = tmp_path / "home"
    home.mkdir()
    with databases.make(home) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield Settings(home=home, device="cpu")


@pytest.fixture
def queue() -> InlineQueue:
    return InlineQueue()


@pytest.fixture
def services(settings: Settings, queue: InlineQueue) -> Iterator[Services]:
    with closing(Services.build(settings, queue=queue)) as built:
        yield built


@pytest.fixture
def client(settings: Settings, services: Services) -> FlaskClient:
    """A caller of the web application that uses `services`."""
    return create_app(settings, services).test_client()


@pytest.fixture
def make_client(settings: Settings) -> Iterator[Callable[..., FlaskClient]]:
    """Make callers of further web processes on the same home: with other settings, or just replicas.

    Without a `queue`, they have the real one, and there is no Redis.
    """
    with ExitStack() as stack:

        def make(*, queue: Queue | None = None, **changed: Any) -> FlaskClient:
            changed_settings = Settings(home=settings.home, device="cpu", **changed)
            built = stack.enter_context(closing(Services.build(changed_settings, queue=queue)))
            return create_app(changed_settings, built).test_client()

        yield make
