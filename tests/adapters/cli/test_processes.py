"""The processes of a server, started by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from backend.services import Services
from backend.settings import Settings

KEY = "mlp_sk_" + "0" * 24


def test_migrate_makes_the_first_user_where_a_key_is_given(
    tandem: Callable[..., Result], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_BOOTSTRAP_KEY", KEY)
    monkeypatch.setenv("TANDEM_BOOTSTRAP_USER", "ada@example.com")

    said = [tandem("migrate") for _ in range(2)]

    assert [(each.exit_code, each.output) for each in said] == [(0, ""), (0, "")]
    services = Services.build(Settings(home=home))
    assert services.accounts.authenticate(KEY).email == "ada@example.com"
    services.close()


def test_migrate_ends_with_a_sentence_where_the_key_is_none(
    tandem: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_BOOTSTRAP_KEY", "hunter2")

    said = tandem("migrate")

    assert said.exit_code != 0
    assert "Error: TANDEM_BOOTSTRAP_KEY does not read as a key" in said.output
    assert "hunter2" not in said.output
