"""`tandem users`."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

from backend.services import Services

Tandem = Callable[..., Result]


def test_nobody_is_there_at_first(tandem: Tandem, services: Services) -> None:
    said = tandem("users", "list").output

    assert said == "no user yet; make the first, with a key: tandem keys create --user you@example.com\n"


def test_a_user_is_created_and_listed(tandem: Tandem, services: Services) -> None:
    said = tandem("users", "create", "ada@example.com", "--name", "Ada")
    tandem("users", "create", "bob@example.com")

    told = json.loads(tandem("users", "list", "--json").output)

    assert said.output == "ada@example.com may have keys now: tandem keys create --user ada@example.com\n"
    assert [(user["email"], user["name"], user["is_admin"]) for user in told] == [
        ("ada@example.com", "Ada", True),
        ("bob@example.com", "", False),
    ]
    assert told[0]["id"].startswith("u_")
    assert "Ada" in tandem("users", "list").output


def test_an_address_that_is_taken_is_told(tandem: Tandem, services: Services) -> None:
    tandem("users", "create", "ada@example.com")

    said = tandem("users", "create", "ada@example.com")

    assert (said.exit_code, said.output) == (5, "Error: ada@example.com has an account already.\n")
