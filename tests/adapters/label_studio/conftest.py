"""A project that was set up, and a version that answers for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import PROJECT, add_version, setup_body
from flask.testing import FlaskClient

from adapters.label_studio.access import KIND
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
