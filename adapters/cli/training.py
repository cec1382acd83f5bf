"""Trainings as somebody at a terminal follows them: `tandem training start`, `wait`, `show`, `logs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from adapters.cli.answers import ago, console, counted, duration, print_json, table
from adapters.cli.asking import asks_server, idempotency_option
from adapters.cli.remote import Remote, commands
from adapters.cli.waiting import (
    ENDED,
    TIMED_OUT,
    Ended,
    Patience,
    Progress,
    display,
    figures,
    interruptible,
    states,
    wait_options,
    words,
)

_USUAL_POLL_S = 30.0
_LOG_LINES = 20
_MAX_LOG_LINES = 5000
_training = click.argument("training", metavar="TRAINING")


@click.command()
@_training
@click.option("--wait", is_flag=True, help="Show how it is going until it has ended.")
@wait_options
@idempotency_option
@asks_server
def start(
    remote: Remote,
    *,
    training: str,
    wait: bool,
    timeout: float | None,
    poll_seconds: float | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Start a training. It spends at least 1 token of the workspace.

    Starting one that is queued or running already changes nothing, so trying again is safe. With --wait it exits with 0
    once the training has completed, with 1 where it failed or was cancelled, and with 8 after --timeout.
    """
    started = remote.call("training start", {"trainingId": training}, idempotency_key=idempotency_key)
    if wait:
        _wait(remote, training, Patience(poll_seconds, timeout), as_json=as_json)
    elif as_json:
        print_json(started)
    else:
        click.echo(f"{started['id']} is {started['status']}; it {_cost(started)}")
        click.echo(f"To see how it is going: tandem training wait {started['id']}")


@click.command()
@_training
@wait_options
@asks_server
def wait(remote: Remote, *, training: str, timeout: float | None, poll_seconds: float | None, as_json: bool) -> None:
    """Show how a training is going until it has ended.

    Exits with 0 once it has completed, with 1 where it failed or was cancelled, and with 8 after --timeout. Ctrl-C ends
    the waiting only.
    """
    _wait(remote, training, Patience(poll_seconds, timeout), as_json=as_json)


@click.command()
@_training
@click.option("--follow", is_flag=True, help="Go on until it has ended, as `training wait` does.")
@click.option(
    "--log-tail",
    type=click.IntRange(0, _MAX_LOG_LINES),
    help=f"How many lines of the log; {_LOG_LINES} unless with --json.",
)
@click.option("--history", is_flag=True, help="Also the metrics of every epoch.")
@wait_options
@asks_server
def show(
    remote: Remote,
    *,
    training: str,
    follow: bool,
    log_tail: int | None,
    history: bool,
    timeout: float | None,
    poll_seconds: float | None,
    as_json: bool,
) -> None:
    """Tell how a training is going: status, progress, metrics, and the end of the log."""
    if follow:
        _wait(remote, training, Patience(poll_seconds, timeout), as_json=as_json)
        return
    asked: dict[str, Any] = {"trainingId": training}
    if log_tail is not None or not as_json:
        asked["logTail"] = _LOG_LINES if log_tail is None else log_tail
    if history:
        asked["include"] = "history"
    told = remote.call("training show", asked)
    if as_json:
        print_json(told)
        return
    _describe(told)
    _show_history(told["history"])
    if told["log"]:
        click.echo(f"\n{told['log'].rstrip()}")


@click.command()
@_training
@click.option("--follow", is_flag=True, help="Go on until the training has ended.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="How many bytes to leave out.")
@wait_options
@asks_server
def logs(
    remote: Remote,
    *,
    training: str,
    follow: bool,
    offset: int,
    timeout: float | None,
    poll_seconds: float | None,
    as_json: bool,
) -> None:
    """Print the log of a training, and nothing else."""
    if not follow:
        text = _log(remote, training, offset).decode(errors="replace")
        if as_json:
            print_json({"log": text})
        else:
            click.echo(text, nl=False)
        return
    if as_json:
        raise click.UsageError("--follow prints lines as they come, and --json all of them at once; choose one.")
    with interruptible(training, f"tandem training logs {training} --follow"):
        try:
            for _ in _states(remote, training, Patience(poll_seconds, timeout)):
                new = _log(remote, training, offset)
                offset += len(new)
                sys.stdout.buffer.write(new)
                sys.stdout.buffer.flush()
        except Ended:
            raise SystemExit(TIMED_OUT) from None


def _wait(remote: Remote, training: str, patience: Patience, *, as_json: bool) -> None:
    """Show how it is going; leave with the exit code of how it ended.

    Raises:
        SystemExit: It did not complete, or not in time.
    """
    is_late = False
    with interruptible(training, f"tandem training wait {training}"), display("training", is_silent=as_json) as shown:
        try:
            for told in _states(remote, training, patience):
                shown.show(_progress(told))
        except Ended:
            is_late = True
    told = remote.call("training show", {"trainingId": training})
    if as_json:
        print_json(told)
    else:
        _describe(told)
    if is_late and told["status"] not in ENDED:
        click.echo(
            f"It goes on, and took longer than --timeout. To wait again: tandem training wait {training}", err=True
        )
        raise SystemExit(TIMED_OUT)
    if told["status"] != "completed":
        raise SystemExit(1)


def _states(remote: Remote, training: str, patience: Patience) -> Iterator[Any]:
    asked = {"trainingId": training, "logTail": 0, "include": "history"}
    return states(
        lambda: remote.call("training show", asked),
        lambda told: str(told["status"]),
        patience,
        usual_s=_USUAL_POLL_S,
    )


def _progress(told: Mapping[str, Any]) -> Progress:
    newest: Mapping[str, Any] = (told["history"] or [{}])[-1]
    is_over = told["status"] in ENDED
    parts = [
        "" if is_over else newest.get("stage", ""),
        f"epoch {told['epoch']}/{told['epochs'] or '?'}" if told["epoch"] else "",
        figures(told["metrics"] if is_over else newest) or figures(told["metrics"]),
    ]
    return Progress(told["status"], told["progress"], "  ".join(filter(None, parts)), told["etaSeconds"])


def _describe(told: Mapping[str, Any]) -> None:
    name = f" ({told['name']})" if told["name"] else ""
    click.echo(f"{told['id']}{name} {_outcome(told)}")
    counts = told["dataset"]
    rows = [
        ("Images", f"{counts['train']} to learn from, {counts['val']} to validate, {counts['test']} to test"),
        ("Epoch", f"{told['epoch']} of {told['epochs'] or '?'}" if told["epoch"] else None),
        ("Metrics", figures(told["metrics"]) or None),
        ("Model", f"{told['modelVersion']} ({', '.join(told['formats'])})" if told["modelVersion"] else None),
        ("Tokens", _cost(told)),
    ]
    for title, text in rows:
        if text is not None:
            click.echo(f"  {title:<8} {text}")
    if told["error"]:
        click.echo(f"  {told['error']['message']} ({told['error']['code']})")
        click.echo(f"  {told['error']['hint']}")


def _outcome(told: Mapping[str, Any]) -> str:
    match told["status"]:
        case "pending":
            return f"is pending: tandem training start {told['id']}"
        case "running":
            left = f", about {duration(told['etaSeconds'])} left" if told["etaSeconds"] else ""
            return f"is running: {told['progress']:.0f} %{left}"
        case "completed" | "failed" as status:
            return f"{'has ' if status == 'completed' else ''}{status} {_when(told['finishedAt'])}"
        case "cancelled":
            return f"was cancelled {_when(told['finishedAt'])}"
    return f"is {told['status']}"


def _when(moment: str | None) -> str:
    from datetime import datetime

    return ago(datetime.fromisoformat(moment)) or "" if moment else ""


def _cost(told: Mapping[str, Any]) -> str:
    tokens = told["tokens"]
    if told["status"] in ENDED:
        return f"took {counted(tokens['consumed'], 'token')}"
    if tokens["reserved"]:
        return (
            f"takes {counted(tokens['reserved'], 'token')}, which {'is' if tokens['reserved'] == 1 else 'are'} reserved"
        )
    return "takes nothing before it is started"


def _show_history(rows: list[dict[str, Any]]) -> None:
    if rows:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        headings = [words(name).capitalize() for name in columns]
        console().print(table(headings, [[_short(row.get(name)) for name in columns] for row in rows]))


def _short(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value


def _log(remote: Remote, training: str, offset: int) -> bytes:
    with remote.stream(commands()["training logs"].ask({"trainingId": training, "offset": offset})) as response:
        return response.content
