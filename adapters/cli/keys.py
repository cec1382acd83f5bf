"""What agents prove with who they work for: `tandem keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapters.cli.answers import ago, as_json_option, console, print_json, table
from adapters.cli.opening import choose_user, opened_services
from backend.errors import NotFound

if TYPE_CHECKING:
    from backend.accounts.service import ApiKey, Principal, User
    from backend.services import Services


@click.group()
def keys() -> None:
    """Make the keys that agents call a server with, list them, and revoke them.

    With --local or --user, or where nobody is logged in, the database of this machine is meant: whoever has access to
    it may make keys for everybody. Otherwise it is the server that you are logged in to, and your own keys.
    """


@keys.command()
@click.option("--user", "email", metavar="EMAIL", help="Whose; needed where there are several users.")
@click.option("--name", default="agent", show_default=True, help="What people recognise it by.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="What it is good for; may be repeated.")
@click.option("--prefix", default="mlp_live_", show_default=True, help="How it begins: that, or mlp_sk_.")
@as_json_option
def create(email: str | None, name: str, scopes: tuple[str, ...], prefix: str, as_json: bool) -> None:
    """Make a key and print it, this once.

    Only the key itself goes to standard output. Without --scope it is good for everything but making keys and inviting
    people. Where there are no users yet, --user creates the first.
    """
    from adapters.identifiers import spell

    with opened_services() as services:
        is_first = email and not services.accounts.users()
        user = services.accounts.create_user(email) if email and is_first else choose_user(services, email)
        key, secret = services.accounts.mint(user, name, scopes=scopes or None, prefix=prefix)
    key_id = spell("key_id", key.id)
    if as_json:
        print_json({"id": key_id, "user": user.email, "name": key.name, "scopes": key.scopes, "secret": secret})
        return
    click.echo(f"{key.name}, a key of {user.email}. Keep it: it is shown this once.", err=True)
    click.echo(secret)
    click.echo(f"To revoke it: tandem keys revoke {key_id}", err=True)


@keys.command("list")
@click.option("--user", "email", metavar="EMAIL", help="Only theirs.")
@as_json_option
def list_(email: str | None, as_json: bool) -> None:
    """List keys, newest first; never the keys themselves."""
    from adapters.identifiers import spell

    with opened_services() as services:
        users = [choose_user(services, email)] if email else services.accounts.users()
        found = [(user, key) for user in users for key in services.accounts.keys(services.accounts.local(user))]
    if as_json:
        print_json([_describe(user, key) for user, key in found])
    elif not found:
        click.echo("no key yet; make one: tandem keys create")
    else:
        rows = [
            (
                spell("key_id", key.id),
                key.name,
                key.preview,
                user.email,
                _scopes(key),
                _state(key),
                ago(key.last_used_at),
            )
            for user, key in found
        ]
        console().print(table(("Id", "Name", "Key", "User", "Good for", "State", "Last used"), rows))


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """Make KEY, an id, useless at once."""
    from adapters.identifiers import read_id, spell

    with opened_services() as services:
        key_id = read_id("key_id", key)
        services.accounts.revoke(_owner(services, key_id), key_id)
    click.echo(f"{spell('key_id', key_id)} is refused from now on")


def _owner(services: Services, key_id: str) -> Principal:
    for principal in map(services.accounts.local, services.accounts.users()):
        if any(key.id == key_id for key in services.accounts.keys(principal)):
            return principal
    raise NotFound("there is no such key; `tandem keys list` lists their ids")


def _describe(user: User, key: ApiKey) -> dict[str, object]:
    from adapters.identifiers import spell

    return {
        "id": spell("key_id", key.id),
        "user": user.email,
        "name": key.name,
        "preview": key.preview,
        "scopes": key.scopes,
        "state": _state(key),
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _state(key: ApiKey) -> str:
    from datetime import UTC, datetime

    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= datetime.now(UTC) else "active"


def _scopes(key: ApiKey) -> str:
    from backend.accounts.service import USUAL_SCOPES

    return "the usual" if set(key.scopes) == USUAL_SCOPES else ", ".join(key.scopes)
