"""Commands made of the declarations: every verb that has a command, unless `special` has one written by hand."""

from __future__ import annotations

import copy
import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from adapters.cli.answers import print_json
from adapters.cli.asking import asks_server
from adapters.cli.either import Either
from adapters.cli.options import described, example, given, parameters
from adapters.cli.remote import Remote, commands
from adapters.cli.shown import show
from adapters.cli.special import WHERE
from adapters.discovery.openapi import written_path
from adapters.verbs import Place, Verb

_DONE = {"delete": "deleted", "remove": "removed", "revoke": "revoked", "clear": "cleared"}
_PAGE = 200


def find(words: str) -> click.Command:
    """Return the command of some words: "projects list"."""
    if words not in WHERE:
        return command_of(commands()[words])
    module, _, attribute = WHERE[words].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, click.Command)
    return found


def group_of(word: str, help_: str, local: click.Group | None = None) -> click.Command:
    """Return the commands that begin with a word; where the word alone is one, too, a group that does that as well.

    Args:
        word: Such as "projects".
        help_: What they are about.
        local: Commands about this machine that have the same first word.
    """
    found = {words: find(words) for words in dict.fromkeys((*commands(), *WHERE)) if words.split()[0] == word}
    alone = found.pop(word, None)
    if alone is None:
        group: click.Group = _Ordered(word, help=help_)
    elif found:
        group = _WithDefault(word, alone, others=list(found))
    else:
        return alone
    for words, command in found.items():
        group.add_command(command, words.split()[1])
    for name, command in (local.commands if local else {}).items():
        there = group.commands.get(name)
        group.add_command(Either(command, there) if there else command, name)
    return group


def command_of(verb: Verb) -> click.Command:
    """Return the command that a verb comes to, whose answers are JSON."""
    declare = click.command(
        verb.command.split()[-1],
        params=[*parameters(verb), *_common(verb)],
        help=described(verb),
        epilog=_epilog(verb),
    )
    return declare(asks_server(functools.partial(_ask, verb=verb)))


class _Ordered(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See `click.Group`."""
        return list(self.commands)


class _WithDefault(_Ordered):
    """A group whose name alone is a command, too: `infer-all TRAINING` beside `infer-all results TRAINING`."""

    def __init__(self, name: str, default: click.Command, others: Sequence[str]) -> None:
        super().__init__(name, help=default.help, short_help=default.short_help)
        also = ", ".join(f"tandem {words} --help" for words in others)
        self._default = copy.copy(default)
        self._default.epilog = f"{default.epilog or ''}\n\nSee also: {also}"

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """See `click.Command`."""
        is_group = args[0] in self.commands if args else extra.get("resilient_parsing", False)
        chosen = super().make_context if is_group else self._default.make_context
        return chosen(info_name, args, parent, **extra)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """See `click.Command`."""
        return super().shell_complete(ctx, incomplete) + self._default.shell_complete(ctx, incomplete)


def _common(verb: Verb) -> list[click.Parameter]:
    """Return the options that verbs of a kind have."""
    made: list[click.Parameter] = []
    if verb.operation.method == "POST":
        help_ = "Whatever happens on the way, what is sent again with the same key is done once."
        made.append(click.Option(["--idempotency-key"], metavar="KEY", help=help_))
    if any(argument.name == "cursor" for argument in verb.arguments):
        made.append(click.Option(["--all", "every_page"], is_flag=True, help="All pages."))
    return made


def _ask(
    remote: Remote,
    *,
    verb: Verb,
    as_json: bool,
    idempotency_key: str | None = None,
    every_page: bool = False,
    **values: Any,
) -> None:
    told = given(remote, verb, values)
    data = _all(remote, verb, told) if every_page else remote.call(verb, told, idempotency_key=idempotency_key)
    if as_json:
        print_json(data)
    elif data is None:
        click.echo(_confirmation(verb, told))
    else:
        show(data)
        if isinstance(data, dict) and data.get("nextCursor"):
            click.echo(f"There are more: --cursor {data['nextCursor']}, or --all", err=True)


def _all(remote: Remote, verb: Verb, told: Mapping[str, Any]) -> Any:
    """Return all pages of a list as one."""
    whole = remote.call(verb, {"limit": _PAGE, **told})
    while cursor := whole.get("nextCursor"):
        page = remote.call(verb, {"limit": _PAGE, **told, "cursor": cursor})
        whole = {**page, "items": whole["items"] + page["items"]}
    return whole


def _confirmation(verb: Verb, told: Mapping[str, Any]) -> str:
    word = verb.command.split()[-1].partition("-")[0]
    named = [str(told[argument.name]) for argument in verb.arguments if argument.place is Place.PATH]
    return f"{_DONE.get(word, 'done:')} {named[-1]}" if named else "done"


def _epilog(verb: Verb) -> str:
    lines = ["\b"]
    if shown := example(verb):
        lines.append(f"Example: tandem {shown}")
    tool = f", as a tool: {verb.tool}" if verb.tool else ""
    lines.append(f"Over HTTP: {verb.operation.method} {written_path(verb.operation.path)}{tool}")
    return "\n".join(lines)
