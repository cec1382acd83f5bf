"""A project that was set up, a version that answers for it, and what fetches its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from builders import PROJECT, add_version, setup_body
from doubles import FakeLabelStudio
from flask.testing import FlaskClient
from pictures import IMAGE

from adapters.label_studio.access import KIND
from adapters.label_studio.client import LabelStudio
from adapters.label_studio.media import Media
from backend.projects.service import Mirror
from backend.services import Services
from backend.versions.registry import ModelVersion


@pytest.fixture
def mirror(client: FlaskClient, services: Services) -> Mirror:
    """The project of `builders.PROJECT`, set up over HTTP."""
    assert client.post("/setup", json=setup_body()).status_code == 200
    found = services.projects.find(KIND, PROJECT)
    assert found is not None
    return found


@pytest.fixture
def version(services: Services, mirror: Mirror, tmp_path: Path) -> ModelVersion:
    """The version in use: it tells red from green."""
    return add_version(services, mirror.label_sets[0], tmp_path / "checkpoint")


@pytest.fixture(params=["pat", "legacy_token"])
def token(request: pytest.FixtureRequest, fake_label_studio: FakeLabelStudio) -> str:
    """Bearer and Token."""
    return str(getattr(fake_label_studio, request.param))


@pytest.fixture
def make_media(fake_label_studio: FakeLabelStudio, tmp_path: Path) -> Callable[..., Media]:
    """Make what fetches files, by default from the fake Label Studio."""

    def make(token: str | None = None, **options: object) -> Media:
        known = LabelStudio(fake_label_studio.url, fake_label_studio.legacy_token if token is None else token)
        arguments = {"max_file_bytes": 10**6, "label_studio": known, **options}
        return Media(tmp_path / "cache", 10**9, **arguments)  # type: ignore[arg-type]  # options of any kind

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of local files, with a secret beside it."""
    (tmp_path / "root" / "photos").mkdir(parents=True)
    (tmp_path / "root" / "photos" / "a b.png").write_bytes(IMAGE)
    (tmp_path / "secret.png").write_bytes(b"secret")
    return tmp_path / "root"
