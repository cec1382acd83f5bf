"""Commands that are about this machine, or about a server, and how it is decided which."""

from __future__ import annotations

import inspect
from typing import Any

import click

from adapters.cli.credentials import find_login

RULE = (
    "With --local or --user, or where nobody is logged in, it is about the database of this machine; otherwise about "
    "the server that you are logged in to (`tandem auth status`)."
)


class Either(click.Command):
    """A command about this machine and one about a server, under one name.

    Args:
        local: The one for `--local`, for `--user`, and where nobody is logged in.
        remote: The other.
    """

    def __init__(self, local: click.Command, remote: click.Command) -> None:
        super().__init__(local.name, help=local.help, short_help=local.get_short_help_str(200))
        self._local, self._remote = _explained(local), _explained(remote)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """See `click.Command`."""
        said = args[: args.index("--")] if "--" in args else args
        is_local = any(each == "--local" or each.partition("=")[0] == "--user" for each in said)
        chosen = self._local if is_local or find_login() is None else self._remote
        return chosen.make_context(info_name, args, parent, **extra)


def _explained(command: click.Command) -> click.Command:
    """Return a command that also takes `--local`, which has been heeded before, and says what it is for."""
    return click.Command(
        command.name,
        params=[*command.params, click.Option(["--local"], is_flag=True, expose_value=False, help="This machine.")],
        help=f"{inspect.cleandoc(command.help or '')}\n\n{RULE}",
        short_help=command.short_help,
        epilog=command.epilog,
        callback=command.callback,
    )
