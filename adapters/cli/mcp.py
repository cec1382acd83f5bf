"""`tandem mcp`: tools for a client that starts its servers itself."""

from __future__ import annotations

import click

from adapters.cli.asking import Refused, server_option
from adapters.cli.credentials import find_login
from adapters.cli.remote import Remote, not_logged_in


@click.command()
@server_option
@click.option(
    "--toolsets",
    default="core",
    show_default=True,
    envvar="TANDEM_MCP_TOOLSETS",
    help="Groups of tools, separated by commas, or all.",
)
def mcp(server: str | None, toolsets: str) -> None:
    """Offer a server's tools over standard input and output, in the Model Context Protocol.

    For desktop clients: "command": "tandem", "args": ["mcp"], with TANDEM_BASE_URL and TANDEM_API_KEY in "env", or
    after `tandem auth login`. Clients that speak HTTP need no program: the server is one itself, at /mcp.
    """
    login = find_login(server)
    if login is None:
        raise Refused(not_logged_in(server), as_json=False)
    from adapters.mcp.stdio import serve  # half a second, which no other command should take
    from adapters.web import SPOKEN

    remote = Remote(login.server, "", say=lambda sentence: click.echo(sentence, err=True))
    serve(remote, SPOKEN, toolsets=toolsets, headers={"Authorization": f"Bearer {login.key}"})
