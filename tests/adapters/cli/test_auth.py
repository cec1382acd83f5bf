"""`tandem auth`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from reachable import ReachableServer

from adapters.cli.credentials import Credentials, find_login
from adapters.cli.main import main

Tandem = Callable[..., Result]


@pytest.fixture
def key(reachable: ReachableServer) -> str:
    return reachable.mint("ann@example.com")


def log_in(*arguments: str, key: str) -> Result:
    return CliRunner().invoke(main, ["auth", "login", *arguments], input=f"{key}\n", prog_name="tandem")


def test_a_key_that_the_server_knows_is_kept(tandem: Tandem, reachable: ReachableServer, key: str) -> None:
    said = log_in("--server", f"{reachable.url}/", "--key-stdin", key=key)

    assert said.output == f"ann@example.com is logged in to {reachable.url}\n"
    assert tandem("whoami", "--json").exit_code == 0


def test_whoever_types_a_key_does_not_see_it(reachable: ReachableServer, key: str) -> None:
    """S-015."""
    said = log_in("--server", reachable.url, key=key)

    assert said.exit_code == 0
    assert key not in said.output


def test_a_key_that_the_server_does_not_know_is_not_kept(reachable: ReachableServer, key: str) -> None:
    said = log_in("--server", reachable.url, "--key-stdin", key=f"{key[:-1]}!")

    assert said.exit_code == 3
    assert "API_KEY_INVALID" in said.output
    assert Credentials().servers == []


def test_a_server_that_is_not_there_is_told(home: object) -> None:
    said = log_in("--server", "http://127.0.0.1:1", "--key-stdin", key="x")

    assert said.exit_code == 1
    assert "http://127.0.0.1:1 cannot be reached" in said.output


def test_who_logs_out_is_nobody(tandem: Tandem, logged_in: ReachableServer) -> None:
    said = tandem("auth", "logout")

    assert said.output == f"logged out of {logged_in.url}\n"
    assert find_login() is None
    assert tandem("auth", "logout").output == "nobody was logged in there\n"


def test_the_status_tells_who_and_where_but_never_the_key(tandem: Tandem, logged_in: ReachableServer) -> None:
    """S-015."""
    login = find_login()
    assert login is not None
    Credentials().keep("https://elsewhere.example.com", "other")
    Credentials().keep(login.server, login.key)

    text, told = tandem("auth", "status"), tandem("auth", "status", "--json")

    assert text.output.startswith(f"ann@example.com at {logged_in.url}\n")
    assert "https://elsewhere.example.com" in text.output
    assert json.loads(told.output)["email"] == "ann@example.com"
    assert login.key not in text.output + told.output


def test_the_status_of_nobody_is_a_failure_that_says_what_to_do(tandem: Tandem) -> None:
    said = tandem("auth", "status")

    assert said.exit_code == 3
    assert "tandem auth login" in said.output
