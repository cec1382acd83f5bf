"""What models import, imported in the process of the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.hosting.shim.label_studio_ml import model
from adapters.hosting.shim.label_studio_ml._tandem import phase
from adapters.hosting.shim.label_studio_ml.cache import SqliteCache


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteCache:
    """A store of its own, in place of the one of MODEL_DIR; and no function is registered."""
    made = SqliteCache(tmp_path / "learnt")
    monkeypatch.setattr(model, "CACHE", made)
    monkeypatch.setattr(model, "_registered", {})
    monkeypatch.setattr(phase, "_said_in_setup", {})
    return made


@pytest.fixture
def clean_modules() -> Iterator[None]:
    """Forget the modules that a test imports."""
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if not name.startswith("adapters"):
            del sys.modules[name]
