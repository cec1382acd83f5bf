"""Training runs: `tandem runs list`, `show`, `watch`, `cancel`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from adapters.cli.answers import ago, as_json_option, console, duration, percent, print_json, table
from adapters.cli.opening import choose_project, opened_services

if TYPE_CHECKING:
    from rich.progress import Progress

    from backend.services import Services
    from backend.training.run import TrainingRun

_POLL_S = 0.5
_METRICS = ("loss", "accuracy", "macro_f1")


@click.group()
def runs() -> None:
    """Watch training runs, and cancel them."""


@runs.command("list")
@click.argument("project", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@as_json_option
def list_(project: str | None, limit: int, as_json: bool) -> None:
    """List a project's newest runs."""
    with opened_services() as services:
        found = services.training.of_project(choose_project(services, project).project.id, limit)
    if as_json:
        print_json([_describe(run) for run in found])
    elif not found:
        click.echo("no run yet")
    else:
        rows = [(r.id, _state(r), r.reason, ago(r.created_at), _took(r), r.error) for r in found]
        console().print(table(("Run", "State", "Why", "Wished", "Took", "Error"), rows))


@runs.command()
@click.argument("run")
@as_json_option
def show(run: str, as_json: bool) -> None:
    """Show a run: its progress by epoch, and its log."""
    with opened_services() as services:
        found = services.training.get(run)
        lines = services.training.log_lines(run)
    if as_json:
        log = [{"number": line.number, "at": line.at, "text": line.text} for line in lines]
        print_json({**_describe(found), "log": log})
        return
    click.echo(f"run {found.id}: {_state(found)}, because of {found.reason}")
    if found.error:
        click.echo(f"error: {found.error}")
    if found.history:
        columns = list(dict.fromkeys(name for epoch in found.history for name in epoch))
        shown = table(columns, [[_number(epoch.get(name)) for name in columns] for epoch in found.history])
        console().print(shown)
    for line in lines:
        click.echo(f"{line.at:%H:%M:%S}  {line.text}")


@runs.command()
@click.argument("run")
def cancel(run: str) -> None:
    """End a run for good."""
    with opened_services() as services:
        click.echo(f"run {services.training.cancel(run).id} is cancelled")


@runs.command()
@click.argument("run", required=False)
@click.pass_context
def watch(context: click.Context, run: str | None) -> None:
    """Follow RUN, or the newest one of the only project, until it ends.

    The exit code is 1 unless the run completes.
    """
    from backend.errors import NotFound

    with opened_services() as services:
        if run is None:
            newest = services.training.of_project(choose_project(services, None).project.id, 1)
            if not newest:
                raise NotFound("there is no run yet")
            run = newest[0].id
        ended = follow(services, run)
    context.exit(0 if ended.state == "completed" else 1)


def follow(services: Services, run_id: str) -> TrainingRun:
    """Show a run's log, and on a terminal a bar with its progress, until it ends; return it as it ended."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    from backend.training.run import RunState

    terminal = console()
    number = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        shown = bar.add_task("", total=1.0, note="")
        while True:
            run = services.training.get(run_id)
            for line in services.training.log_lines(run_id, number):
                number = line.number
                bar.console.print(f"{line.at:%H:%M:%S}  {line.text}", markup=False, soft_wrap=True)
            _advance(bar, shown, run)
            if RunState(run.state).is_final:
                break
            time.sleep(_POLL_S)
    outcome = f"failed: {run.error}" if run.error else run.state
    terminal.print(f"run {run.id} {outcome}", markup=False, soft_wrap=True)
    return run


def _advance(bar: Progress, shown: Any, run: TrainingRun) -> None:
    progress = run.progress
    stage = progress.get("stage", run.state) if run.state == "running" else run.state
    epoch = f" {progress['epoch']}/{progress.get('num_epochs', '?')}" if "epoch" in progress else ""
    metrics = progress.get("metrics") or {}
    notes = [f"{name} {_number(metrics[name])}" for name in _METRICS if name in metrics]
    if progress.get("eta_s"):
        notes.append(f"{duration(progress['eta_s'])} left")
    bar.update(shown, completed=progress.get("fraction", 0.0), description=f"{stage}{epoch}", note="  ".join(notes))


def _describe(run: TrainingRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "project_id": run.project_id,
        "label_set_id": run.label_set_id,
        "state": run.state,
        "reason": run.reason,
        "attempt": run.attempt,
        "progress": run.progress,
        "history": run.history,
        "error": run.error,
        "version_id": run.version_id,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }


def _state(run: TrainingRun) -> str:
    fraction = percent(run.progress.get("fraction"))
    return f"{run.state} {fraction}" if run.state == "running" and fraction else run.state


def _took(run: TrainingRun) -> str | None:
    if run.started_at is None or run.finished_at is None:
        return None
    return duration((run.finished_at - run.started_at).total_seconds())


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
