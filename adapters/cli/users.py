"""Who may have keys: `tandem users`."""

from __future__ import annotations

import click

from adapters.cli.answers import ago, as_json_option, console, print_json, table
from adapters.cli.banner import FIRST_KEY
from adapters.cli.opening import opened_services


@click.group()
def users() -> None:
    """Create the people whose agents call this server, and list them."""


@users.command()
@click.argument("email")
@click.option("--name", default="", help="What people call them.")
def create(email: str, name: str) -> None:
    """Create a user with a workspace of their own."""
    with opened_services() as services:
        user = services.accounts.create_user(email, name)
    click.echo(f"{user.email} may have keys now: tandem keys create --user {user.email}")


@users.command("list")
@as_json_option
def list_(as_json: bool) -> None:
    """List all users, oldest first."""
    from adapters.identifiers import spell

    with opened_services() as services:
        found = services.accounts.users()
    if as_json:
        print_json(
            [
                {
                    "id": spell("user_id", user.id),
                    "email": user.email,
                    "name": user.name,
                    "is_admin": user.is_admin,
                    "created_at": user.created_at,
                }
                for user in found
            ]
        )
    elif not found:
        click.echo(f"no user yet; make the first, with a key: {FIRST_KEY}")
    else:
        rows = [(u.email, u.name or None, "yes" if u.is_admin else "", ago(u.created_at)) for u in found]
        console().print(table(("Email", "Name", "Administrator", "Made"), rows))
