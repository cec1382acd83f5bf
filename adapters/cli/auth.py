"""Logging in to servers: `tandem auth login`, `logout`, `status`."""

from __future__ import annotations

import os
import sys

import click

from adapters.cli.answers import print_json
from adapters.cli.asking import server_option, worded
from adapters.cli.credentials import DEFAULT_SERVER, Credentials, find_login, normalized
from adapters.cli.remote import Remote, not_logged_in


@click.group()
def auth() -> None:
    """Log in to a server with a key, so that commands and MCP clients on this machine may use it.

    Keys are kept in credentials.json in TANDEM_CONFIG_DIR, or in your folder for settings; only you can read it. Where
    nothing should be kept, as in CI, set TANDEM_API_KEY and TANDEM_BASE_URL instead.
    """


@auth.command()
@click.option("--key-stdin", is_flag=True, help="Read the key from standard input, and ask nothing.")
@server_option
@worded
def login(server: str | None, key_stdin: bool, *, as_json: bool) -> None:
    """Check a key at a server, and keep it; from then on that server is the current one.

    People make keys with `tandem keys create --user you@example.com` on the server's machine, or get one from whoever
    runs it.
    """
    credentials = Credentials()
    current = credentials.current
    usual = os.environ.get("TANDEM_BASE_URL") or (current.server if current else DEFAULT_SERVER)
    chosen = normalized(server or usual)
    if key_stdin:
        key = sys.stdin.readline().strip()
    else:
        key = str(click.prompt(f"Key for {chosen}", hide_input=True, err=True)).strip()
    me = Remote(chosen, key).call("whoami", {})
    credentials.keep(chosen, key)
    if as_json:
        print_json({"server": chosen, **me})
        return
    click.echo(f"{me['email'] or me['name']} is logged in to {chosen}")
    if "TANDEM_API_KEY" in os.environ:
        click.echo("TANDEM_API_KEY is set, and counts before what was kept now.", err=True)


@auth.command()
@click.option("--all", "everywhere", is_flag=True, help="Of all servers.")
@server_option
@worded
def logout(server: str | None, everywhere: bool, *, as_json: bool) -> None:
    """Forget the key for a server: the one named, or the current one. The key itself stays good until it is revoked."""
    credentials = Credentials()
    current = credentials.servers[:1]
    chosen = credentials.servers if everywhere else [normalized(server)] if server else current
    forgotten = [each for each in chosen if credentials.forget(each)]
    if as_json:
        print_json({"forgotten": forgotten})
    else:
        click.echo(f"logged out of {', '.join(forgotten)}" if forgotten else "nobody was logged in there")


@auth.command()
@server_option
@worded
def status(server: str | None, *, as_json: bool) -> None:
    """Tell which server is meant, who you are there, and where else you are logged in."""
    found = find_login(server)
    if found is None:
        raise not_logged_in(server)
    me = Remote(found.server, found.key).call("whoami", {})
    others = [each for each in Credentials().servers if each != found.server]
    if as_json:
        print_json({"server": found.server, "source": found.source, "others": others, **me})
        return
    click.echo(f"{me['email'] or me['name']} at {found.server}")
    click.echo(f"with the key {me['keyId']} from {found.source}, good for {', '.join(me['scopes'])}")
    if others:
        click.echo(f"logged in also to {', '.join(others)}; to use one of them: --server, or TANDEM_BASE_URL")
