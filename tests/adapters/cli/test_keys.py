"""`tandem keys`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from click.testing import Result

from backend.accounts.service import USUAL_SCOPES
from backend.errors import Denied
from backend.services import Services
from backend.storage.columns import utc_now

Tandem = Callable[..., Result]


def listed(tandem: Tandem, *arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(tandem("keys", "list", "--json", *arguments).output)
    return found


def test_on_an_empty_server_one_command_makes_the_first_user_and_a_key(tandem: Tandem, services: Services) -> None:
    said = tandem("keys", "create", "--user", "ada@example.com")

    assert re.fullmatch(r"mlp_live_[0-9A-Za-z]{24}\n", said.stdout)
    principal = services.accounts.authenticate(said.stdout.strip())
    assert (principal.email, principal.is_admin) == ("ada@example.com", True)
    assert principal.scopes == USUAL_SCOPES


def test_later_a_user_that_is_not_there_is_no_reason_to_make_one(tandem: Tandem, services: Services) -> None:
    services.accounts.create_user("ada@example.com")

    said = tandem("keys", "create", "--user", "adda@example.com")

    assert said.exit_code == 4
    assert "there is no user 'adda@example.com'; make one: tandem users create adda@example.com" in said.output


def test_the_only_user_need_not_be_named(tandem: Tandem, services: Services) -> None:
    nobody = tandem("keys", "create")
    services.accounts.create_user("ada@example.com")
    one = tandem("keys", "create", "--name", "laptop", "--scope", "projects:read", "--scope", "keys:manage", "--json")
    services.accounts.create_user("bob@example.com")
    several = tandem("keys", "create")

    told = json.loads(one.stdout)
    assert (told["user"], told["name"]) == ("ada@example.com", "laptop")
    assert told["scopes"] == ["keys:manage", "projects:read"]
    assert services.accounts.authenticate(told["secret"]).key_id == told["id"].removeprefix("key_")
    assert "--user you@example.com" in nobody.output
    assert "there are 2 users; say which one with --user" in several.output


def test_a_scope_that_is_none_is_told(tandem: Tandem, services: Services) -> None:
    said = tandem("keys", "create", "--user", "ada@example.com", "--scope", "everything")

    assert said.exit_code == 1
    assert "there is no scope 'everything'; there are projects:read" in said.output


def test_keys_are_listed_without_their_secrets(tandem: Tandem, services: Services) -> None:
    """M-005."""
    secret = tandem("keys", "create", "--user", "ada@example.com", "--prefix", "mlp_sk_").stdout.strip()
    bob = services.accounts.create_user("bob@example.com")
    services.accounts.mint(bob, "his", scopes=["inference:run"], expires_at=utc_now() + timedelta(days=1))

    table = tandem("keys", "list").output

    assert secret not in table
    assert "the usual" in table
    assert "inference:run" in table
    assert [key["user"] for key in listed(tandem)] == ["ada@example.com", "bob@example.com"]
    [his] = listed(tandem, "--user", "bob@example.com")
    assert (his["name"], his["state"], his["last_used_at"]) == ("his", "active", None)


def test_a_revoked_key_is_refused(tandem: Tandem, services: Services) -> None:
    """M-004, as far as it is about the command line."""
    secret = tandem("keys", "create", "--user", "ada@example.com").stdout.strip()
    [key] = listed(tandem)

    said = tandem("keys", "revoke", str(key["id"]))

    assert said.output == f"{key['id']} is refused from now on\n"
    assert listed(tandem)[0]["state"] == "revoked"
    with pytest.raises(Denied):
        services.accounts.authenticate(secret)


def test_a_key_that_is_not_there_is_told(tandem: Tandem, services: Services) -> None:
    said = tandem("keys", "revoke", "key_01jd3z6t9q4m8w2v5x7b1c0n3k")

    assert (said.exit_code, said.output) == (4, "Error: there is no such key; `tandem keys list` lists their ids\n")


def test_without_a_key_the_list_says_how_to_make_one(tandem: Tandem, services: Services) -> None:
    assert tandem("keys", "list").output == "no key yet; make one: tandem keys create\n"
