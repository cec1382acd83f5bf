"""Workspaces of a server, with the arguments that commands about this machine have, too."""

from __future__ import annotations

import click

from adapters.cli.answers import print_json
from adapters.cli.asking import asks_server
from adapters.cli.remote import Remote
from adapters.cli.shown import show

_repeatable = click.option(
    "--idempotency-key", metavar="KEY", help="Whatever happens on the way, what is sent again with it is done once."
)


@click.command()
@click.argument("name")
@_repeatable
@asks_server
def create(remote: Remote, *, name: str, idempotency_key: str | None, as_json: bool) -> None:
    """Create a workspace, which you own. Whatever is trained in it is paid for by its owner's tokens."""
    made = remote.call("workspaces create", {"name": name}, idempotency_key=idempotency_key)
    if as_json:
        print_json(made)
    else:
        show(made)


@click.command()
@click.argument("workspace")
@click.argument("user", metavar="EMAIL")
@_repeatable
@asks_server
def add_member(remote: Remote, *, workspace: str, user: str, idempotency_key: str | None, as_json: bool) -> None:
    """Let somebody with an account belong to WORKSPACE: all their keys reach its projects from now on.

    WORKSPACE is an id, or a name. In place of EMAIL the id of a user will do.
    """
    told = {
        "workspaceId": remote.find("workspaceId", workspace),
        "email" if "@" in user else "userId": user,
    }
    added = remote.call("workspaces add-member", told, idempotency_key=idempotency_key)
    if as_json:
        print_json(added)
    else:
        click.echo(f"{added['email']} ({added['userId']}) belongs to {workspace!r}")
