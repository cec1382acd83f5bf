"""What people share, and what it may cost: `tandem workspaces`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from adapters.cli.answers import ago, as_json_option, console, print_json, table
from adapters.cli.opening import choose_user, opened_services
from backend.errors import Invalid, NotFound

if TYPE_CHECKING:
    from backend.accounts.service import Principal, Workspace
    from backend.services import Services

_workspace = click.argument("workspace")


@click.group()
def workspaces() -> None:
    """Share projects among people, and say what training may take.

    WORKSPACE is an id or a name. With --local, or where nobody is logged in, `create`, `list`, `add-member` and
    `remove-member` are about the database of this machine; otherwise about the server that you are logged in to. `show`
    is always about that server, `allowance` always about this machine.
    """


@workspaces.command()
@click.argument("name")
@click.option("--user", "email", metavar="EMAIL", help="Its owner; needed where there are several users.")
def create(name: str, email: str | None) -> None:
    """Create a workspace."""
    from adapters.identifiers import spell

    with opened_services() as services:
        owner = choose_user(services, email)
        made = services.workspaces.create(services.accounts.local(owner), name)
    click.echo(f"{made.name!r} belongs to {owner.email}: {spell('workspace_id', made.id)}")


@workspaces.command("list")
@as_json_option
def list_(as_json: bool) -> None:
    """List all workspaces: who belongs to them, and what they have spent this month."""
    with opened_services() as services:
        found = [_describe(services, owner, workspace) for owner, workspace in _owned(services)]
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no workspace yet: every user has one; `tandem users create` makes a user")
    else:
        columns = ("Id", "Name", "Owner", "Members", "Tokens a month", "Used", "Reserved", "Left", "Bundle", "Made")
        console().print(table(columns, [_row(each) for each in found]))


@workspaces.command()
@_workspace
@click.argument("email")
def add_member(workspace: str, email: str) -> None:
    """Let a user see and change everything in WORKSPACE, and train at its owner's expense."""
    with opened_services() as services:
        owner, chosen = _choose(services, workspace)
        added = services.workspaces.add_member(owner, chosen.id, choose_user(services, email).id)
    click.echo(f"{added.email} belongs to {chosen.name!r}")


@workspaces.command()
@_workspace
@click.argument("email")
def remove_member(workspace: str, email: str) -> None:
    """Let a user belong to WORKSPACE no longer; their keys lose it at once."""
    with opened_services() as services:
        owner, chosen = _choose(services, workspace)
        user = choose_user(services, email)
        services.workspaces.remove_member(owner, chosen.id, user.id)
    click.echo(f"{user.email} belongs to {chosen.name!r} no longer")


@workspaces.command()
@_workspace
@click.argument("tokens")
@click.option("--bundle", type=click.IntRange(min=0), help="Tokens on top that do not expire with the month.")
def allowance(workspace: str, tokens: str, bundle: int | None) -> None:
    """Let training in WORKSPACE take so many TOKENS a month: a number, or "unlimited"."""
    if tokens != "unlimited" and not tokens.isdecimal():
        raise click.BadParameter('a number of tokens, or "unlimited"', param_hint="TOKENS")
    monthly = None if tokens == "unlimited" else int(tokens)
    with opened_services() as services:
        owner, chosen = _choose(services, workspace)
        changed = services.workspaces.set_allowance(owner, chosen.id, allowance=monthly, bundle=bundle)
    rest = f", and {changed.bundle} that do not expire" if changed.bundle else ""
    click.echo(f"{changed.name!r} may take {tokens} tokens a month{rest}")


def _owned(services: Services) -> list[tuple[Principal, Workspace]]:
    """Return all workspaces, each with its owner."""
    owners = map(services.accounts.local, services.accounts.users())
    return [
        (owner, workspace)
        for owner in owners
        for workspace in services.workspaces.all(owner)
        if workspace.owner_id == owner.user_id
    ]


def _choose(services: Services, name: str) -> tuple[Principal, Workspace]:
    from adapters.identifiers import read_id

    workspace_id = read_id("workspace_id", name)
    fitting = [found for found in _owned(services) if found[1].id == workspace_id or found[1].name == name]
    if not fitting:
        raise NotFound(f"there is no workspace {name!r}; `tandem workspaces list` lists them")
    if len(fitting) > 1:
        raise Invalid(f"there are {len(fitting)} workspaces {name!r}; say which one by its id")
    return fitting[0]


def _describe(services: Services, owner: Principal, workspace: Workspace) -> dict[str, Any]:
    from adapters.identifiers import spell

    usage = services.allowances.usage(workspace.id)
    return {
        "id": spell("workspace_id", workspace.id),
        "name": workspace.name,
        "owner": owner.email,
        "members": [member.email for member in services.workspaces.members(owner, workspace.id)],
        "allowance": usage.allowance,
        "used": usage.used,
        "reserved": usage.reserved,
        "remaining": usage.remaining,
        "bundle": usage.bundle,
        "created_at": workspace.created_at,
    }


def _row(workspace: dict[str, Any]) -> tuple[object, ...]:
    shown = {**workspace, "members": len(workspace["members"]), "created_at": ago(workspace["created_at"])}
    for field in ("allowance", "remaining"):
        shown[field] = "unlimited" if shown[field] is None else shown[field]
    return tuple(shown.values())
