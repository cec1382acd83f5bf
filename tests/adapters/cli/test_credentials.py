"""Logins as they are kept on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.cli.credentials import Credentials, find_login, normalized
from backend.errors import Invalid

NEAR, FAR = "http://127.0.0.1:9090", "https://tandem.example.com"


@pytest.fixture
def path(home: Path) -> Path:
    return Credentials().path


def test_only_their_owner_may_read_them(path: Path) -> None:
    Credentials().keep(FAR, "mlp_live_x")

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_others_could_read_they_no_longer_can(path: Path) -> None:
    Credentials().keep(FAR, "mlp_live_x")
    path.chmod(0o644)

    Credentials()

    assert path.stat().st_mode & 0o777 == 0o600


def test_the_last_login_is_the_current_one(path: Path) -> None:
    Credentials().keep(FAR, "far")
    Credentials().keep(NEAR, "near")

    assert Credentials().servers == [NEAR, FAR]
    assert find_login() == Credentials().current == Credentials().find(NEAR)
    found = find_login(f"{FAR}/")
    assert found is not None
    assert (found.server, found.key) == (FAR, "far")


def test_who_logs_out_of_one_server_is_still_logged_in_to_another(path: Path) -> None:
    Credentials().keep(FAR, "far")
    Credentials().keep(NEAR, "near")

    gone = [Credentials().forget(NEAR), Credentials().forget(NEAR)]

    assert gone == [True, False]
    assert Credentials().servers == [FAR]
    assert find_login() == Credentials().find(FAR)


def test_the_environment_counts_before_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Credentials().keep(FAR, "far")
    Credentials().keep(NEAR, "near")
    monkeypatch.setenv("TANDEM_BASE_URL", FAR)
    named = find_login()
    monkeypatch.setenv("TANDEM_API_KEY", "other")
    both = find_login()
    monkeypatch.delenv("TANDEM_BASE_URL")
    key_alone = find_login()

    assert [(each.server, each.key) for each in (named, both, key_alone) if each] == [
        (FAR, "far"),
        (FAR, "other"),
        (NEAR, "other"),
    ]


def test_a_server_that_nobody_logged_in_to_has_no_login(path: Path) -> None:
    Credentials().keep(FAR, "far")

    assert find_login(NEAR) is None


def test_a_login_shows_no_key(path: Path) -> None:
    """S-015."""
    Credentials().keep(FAR, "mlp_live_secret")

    assert "secret" not in repr(find_login())


@pytest.mark.parametrize("written", ["{", "[]", '{"servers": 1, "current": null}'])
def test_a_broken_file_is_named(path: Path, written: str) -> None:
    path.parent.mkdir()
    path.write_text(written)

    with pytest.raises(Invalid, match=r"credentials\.json cannot be read .*tandem auth login"):
        find_login()


@pytest.mark.parametrize("written", ["ftp://x", "", "http://", "http://u:p@x", "http://x?y=1"])
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(Invalid, match="is no address of a server"):
        normalized(written)
