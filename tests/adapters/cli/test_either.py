"""Commands that are about this machine or about a server."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from reachable import ReachableServer

from adapters.cli.credentials import Credentials
from backend.services import Services

Tandem = Callable[..., Result]


@pytest.fixture
def eve(services: Services) -> str:
    """Somebody whom only the database of this machine knows."""
    return services.accounts.create_user("eve@example.com").email


def names(said: Result) -> list[str]:
    found = json.loads(said.stdout)
    return [each["name"] for each in (found["items"] if isinstance(found, dict) else found)]


def test_where_nobody_is_logged_in_it_is_this_machine(tandem: Tandem, eve: str) -> None:
    assert names(tandem("workspaces", "list", "--json")) == [eve]


def test_who_is_logged_in_means_the_server(tandem: Tandem, eve: str, logged_in: ReachableServer) -> None:
    assert names(tandem("workspaces", "list", "--json")) == ["ann@example.com"]
    assert names(tandem("keys", "list", "--json")) == ["test"]


def test_with_local_it_is_this_machine_all_the_same(tandem: Tandem, eve: str, logged_in: ReachableServer) -> None:
    assert names(tandem("workspaces", "list", "--local", "--json")) == [eve]
    assert tandem("keys", "create", "--user", eve).exit_code == 0
    assert names(tandem("keys", "list", "--user=eve@example.com", "--json")) == ["agent"]


def test_workspaces_of_a_server_take_the_same_arguments(tandem: Tandem, reachable: ReachableServer) -> None:
    Credentials().keep(reachable.url, reachable.mint("ann@example.com", scopes=["team:write"]))
    bob = reachable.services.accounts.create_user("bob@example.com")

    made = tandem("workspaces", "create", "Lab", "--json")
    added = tandem("workspaces", "add-member", "Lab", "bob@example.com")
    shown = json.loads(tandem("workspaces", "show", "Lab", "--json").stdout)
    removed = tandem("workspaces", "remove-member", "Lab", f"u_{bob.id}")

    assert json.loads(made.stdout)["name"] == "Lab"
    assert added.output == f"bob@example.com (u_{bob.id}) belongs to 'Lab'\n"
    assert shown["memberCount"] == 2
    assert removed.output == f"removed u_{bob.id}\n"


def test_help_says_what_decides(tandem: Tandem) -> None:
    said = " ".join(tandem("keys", "create", "--help").output.split())

    assert "where nobody is logged in, it is about the database of this machine" in said
    assert "--local" in said


def test_groups_hold_what_is_about_either(tandem: Tandem) -> None:
    said = tandem("models", "--help").output

    assert all(f"\n  {name} " in said for name in ("list", "add", "download", "promote"))
