from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from backend.settings import Settings


def test_names_that_label_studio_users_know_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PORT": "9191",
        "DATABASE_URL": "postgres://u:p@db/tandem",
        "LABEL_STUDIO_HOST": "http://ls:8080",
        "LABEL_STUDIO_ACCESS_TOKEN": "old-name",
        "BASIC_AUTH_USER": "me",
        "TANDEM_TRAIN_EVERY": "5",
    }.items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert settings.port == 9191
    assert settings.database == "postgresql+psycopg://u:p@db/tandem"
    assert settings.label_studio_url == "http://ls:8080"
    assert settings.label_studio_api_key.get_secret_value() == "old-name"
    assert settings.has_basic_auth
    assert settings.train_every == 5


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASIC_AUTH_PASS", "hunter2")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "hunter2")
    monkeypatch.setenv("WEBHOOK_TOKEN", "hunter2")

    assert "hunter2" not in repr(Settings())


def test_a_long_home_still_gives_a_socket_path_that_fits(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("x" * 200))

    assert len(str(settings.redis_socket)) <= 107


def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "99999")

    with pytest.raises(ValidationError):
        Settings()
