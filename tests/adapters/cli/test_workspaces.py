"""`tandem workspaces`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from backend.accounts.service import User
from backend.services import Services

Tandem = Callable[..., Result]


@pytest.fixture
def ada(services: Services) -> User:
    return services.accounts.create_user("ada@example.com", "Ada")


@pytest.fixture
def bob(services: Services, ada: User) -> User:
    return services.accounts.create_user("bob@example.com", "Bob")


def listed(tandem: Tandem, name: str) -> dict[str, Any]:
    [found] = [each for each in json.loads(tandem("workspaces", "list", "--json").output) if each["name"] == name]
    return dict(found)


def test_every_user_has_one(tandem: Tandem, bob: User) -> None:
    assert listed(tandem, "Ada")["members"] == ["ada@example.com"]
    assert listed(tandem, "Bob")["owner"] == "bob@example.com"
    assert "unlimited" in tandem("workspaces", "list").output


def test_without_users_there_is_none(tandem: Tandem, services: Services) -> None:
    assert tandem("workspaces", "list").output.startswith("no workspace yet")


def test_people_come_and_go(tandem: Tandem, bob: User) -> None:
    made = tandem("workspaces", "create", "Lab", "--user", "ada@example.com")
    workspace_id = made.output.split()[-1]

    came = tandem("workspaces", "add-member", "Lab", "bob@example.com")
    during = listed(tandem, "Lab")["members"]
    went = tandem("workspaces", "remove-member", workspace_id, "bob@example.com")

    assert made.output == f"'Lab' belongs to ada@example.com: {workspace_id}\n"
    assert came.output == "bob@example.com belongs to 'Lab'\n"
    assert during == ["ada@example.com", "bob@example.com"]
    assert went.output == "bob@example.com belongs to 'Lab' no longer\n"
    assert listed(tandem, "Lab")["members"] == ["ada@example.com"]


def test_what_training_may_take_is_set(tandem: Tandem, services: Services, ada: User) -> None:
    said = tandem("workspaces", "allowance", "Ada", "10", "--bundle", "3")
    limited = listed(tandem, "Ada")
    tandem("workspaces", "allowance", "Ada", "unlimited")
    unlimited = listed(tandem, "Ada")

    assert said.output == "'Ada' may take 10 tokens a month, and 3 that do not expire\n"
    assert (limited["allowance"], limited["remaining"], limited["bundle"]) == (10, 13, 3)
    assert (unlimited["allowance"], unlimited["remaining"], unlimited["bundle"]) == (None, None, 3)
    assert limited["id"].startswith("ws_")


@pytest.mark.parametrize("tokens", ["many", "1.5", "²"])
def test_what_is_no_number_of_tokens_is_told(tandem: Tandem, ada: User, tokens: str) -> None:
    said = tandem("workspaces", "allowance", "Ada", tokens)

    assert said.exit_code == 2
    assert 'a number of tokens, or "unlimited"' in said.output


def test_a_name_must_be_of_one_workspace(tandem: Tandem, ada: User) -> None:
    tandem("workspaces", "create", "Lab")
    tandem("workspaces", "create", "Lab")

    several, none = (tandem("workspaces", "allowance", name, "1") for name in ("Lab", "Lib"))

    assert several.output == "Error: there are 2 workspaces 'Lab'; say which one by its id\n"
    assert none.output == "Error: there is no workspace 'Lib'; `tandem workspaces list` lists them\n"
