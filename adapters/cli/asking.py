"""What every command against a server has: which server, how it answers, and how a refusal reads."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from adapters.catalogue import EXIT_CODES, STATUS, code_of
from adapters.cli.answers import Failure, as_json_option
from adapters.cli.remote import chosen_remote
from adapters.replies import Problem
from backend.errors import TandemError

server_option = click.option(
    "--server", metavar="URL", help="Which server; otherwise TANDEM_BASE_URL, or the one you are logged in to."
)

idempotency_option = click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Whatever happens on the way, what is sent again with the same key is done once.",
)


class Refused(Failure):
    """Ends a command with the exit code of a problem: a sentence on standard error, or JSON on standard output."""

    def __init__(self, problem: Problem, *, as_json: bool) -> None:
        super().__init__(problem.message, EXIT_CODES.get(problem.code, 1))
        self._problem, self._as_json = problem, as_json

    def show(self, file: Any = None) -> None:
        """See `click.ClickException`."""
        if self._as_json:
            click.echo(json.dumps(self._problem.described, indent=2, ensure_ascii=False))
            return
        click.echo(f"Error: {self._problem.message}", err=True)
        for line in _more(self._problem.details):
            click.echo(f"  {line}", err=True)
        request = f", request {self._problem.request_id}" if self._problem.request_id else ""
        click.echo(f"  ({self._problem.code}{request})", err=True)


def asks_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command's function a `Remote` in front of its arguments, and `as_json`; word what it raises.

    It belongs below `@click.command` and adds the options `--server` and `--json`.
    """

    @functools.wraps(command)
    def asking(*arguments: Any, server: str | None, **options: Any) -> Any:
        return command(chosen_remote(server), *arguments, **options)

    return server_option(worded(asking))


def worded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Word what a command's function raises; it adds the option `--json`, and gives the function `as_json`."""

    @functools.wraps(command)
    def wording(*arguments: Any, as_json: bool, **options: Any) -> Any:
        try:
            return command(*arguments, as_json=as_json, **options)
        except Problem as problem:
            raise Refused(problem, as_json=as_json) from problem
        except TandemError as error:
            code = code_of(error)
            same = Problem(code, error.message, STATUS[code], details=error.details)
            raise Refused(same, as_json=as_json) from error

    return as_json_option(wording)


def _more(details: Mapping[str, Any]) -> list[str]:
    """Return details as lines; a single wrong field is in the message already."""
    lines = []
    for name, value in details.items():
        if name == "fields" and isinstance(value, dict):
            lines += [f"{field}: {text}" for field, text in value.items()] if len(value) > 1 else []
        elif isinstance(value, list):
            lines += [f"{name}:", *(f"  - {_short(each)}" for each in value)]
        else:
            lines.append(f"{name}: {_short(value)}")
    return lines


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
