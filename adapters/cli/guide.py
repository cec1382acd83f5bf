"""What a server says about itself to agents: `tandem docs`."""

from __future__ import annotations

import os

import click

from adapters.cli.answers import print_json
from adapters.cli.asking import server_option, worded
from adapters.cli.credentials import DEFAULT_SERVER, find_login, normalized
from adapters.cli.remote import Remote
from adapters.verbs import Asked

_PAGES = ("agents.md", "auth.md", "skill.md", "llms.txt", "llms-full.txt", "openapi.json")


@click.command()
@click.argument("page", type=click.Choice(_PAGES), default=_PAGES[0])
@server_option
@worded
def docs(server: str | None, page: str, *, as_json: bool) -> None:
    """Print a server's guide for agents, or another of its documents. Nobody need be logged in."""
    login = find_login(server)
    address = login.server if login else normalized(server or os.environ.get("TANDEM_BASE_URL") or DEFAULT_SERVER)
    with Remote(address, login.key if login else "").stream(Asked("GET", f"/{page}")) as response:
        text = response.content.decode()
    if as_json:
        print_json({"page": page, "text": text})
    else:
        click.echo(text.rstrip("\n"))
