"""Is everything well, and if not, what is to be done? `tandem doctor`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from adapters.cli.answers import as_json_option, console, print_json
from adapters.cli.findings import Finding, Outcome, examine

if TYPE_CHECKING:
    from backend.settings import Settings

_MARKS = {Outcome.FINE: "[green]✓[/]", Outcome.DOUBTFUL: "[yellow]![/]", Outcome.BROKEN: "[bold red]✗[/]"}


@click.command()
@as_json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check the whole path, from Label Studio to the GPU, and say what to do.

    The exit code is 1 when something is broken.
    """
    from adapters.cli.opening import read_settings

    settings = read_settings()
    waiting = contextlib.nullcontext() if as_json else console().status("Looking …")
    with waiting:
        findings = list(_examine_all(settings))
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        _print(findings)
    context.exit(1 if any(finding.outcome is Outcome.BROKEN for finding in findings) else 0)


def _examine_all(settings: Settings) -> Iterator[Finding]:
    from adapters.cli import label_studio_checks as label_studio
    from adapters.cli import machine_checks as machine

    checks = {
        "server": machine.check_server,
        "webhooks": machine.check_webhooks,
        "database": machine.check_database,
        "redis": machine.check_queue,
        "weights": machine.check_weights,
        "gpu": machine.check_gpu,
        "disk": machine.check_disk,
        "address": label_studio.check_address,
        "label studio": label_studio.check_label_studio,
        "projects": label_studio.check_projects,
    }
    for subject, check in checks.items():
        yield from examine(subject, partial(check, settings))


def _print(findings: list[Finding]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    shown = Table("", "What", "How it is", box=SIMPLE_HEAD, pad_edge=False)
    for finding in findings:
        advice = f"\n[bold]→[/] {escape(finding.advice)}" if finding.advice else ""
        shown.add_row(_MARKS[finding.outcome], escape(finding.subject), escape(finding.text) + advice)
    console().print(shown)
