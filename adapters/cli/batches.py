"""What a model says about many images: `tandem infer-all`, `tandem evaluate`, and their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import click

from adapters.cli.answers import console, percent, print_json, table
from adapters.cli.asking import asks_server, idempotency_option
from adapters.cli.options import given, options_of
from adapters.cli.remote import Remote
from adapters.cli.waiting import (
    TIMED_OUT,
    Ended,
    Patience,
    Progress,
    display,
    interruptible,
    measured,
    states,
    wait_options,
    words,
)

_USUAL_POLL_S = 5.0
_PAGE = 200
_MAX_CONFUSED = 12
"""Of how many labels a table of confusions is still readable."""
_wait = click.option("--wait", is_flag=True, help="Show how it is going until it has ended, and then what came of it.")


@click.command("infer-all")
@options_of("infer-all")
@_wait
@wait_options
@idempotency_option
@asks_server
def infer_all(
    remote: Remote,
    *,
    wait: bool,
    timeout: float | None,
    poll_seconds: float | None,
    idempotency_key: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Let a model look at all images of a split, in the background.

    With --wait it exits with 0 once the run has completed, with 1 where it failed or was cancelled, and with 8 after
    --timeout.
    """
    begun = remote.call("infer-all", given(remote, "infer-all", options), idempotency_key=idempotency_key)
    if not wait:
        _announce(begun, "infer-all results", as_json=as_json)
        return
    ended = _until_ended(remote, "infer-all results", begun["run"], Patience(poll_seconds, timeout), is_silent=as_json)
    if as_json:
        print_json({"run": ended["run"]})
    else:
        _describe_run(ended["run"])
        click.echo(f"To see what was found: tandem infer-all results {ended['run']['trainingId']}")
    _leave(ended["run"])


@click.command("results")
@options_of("infer-all results")
@click.option("--all", "is_whole", is_flag=True, help="All pages in one.")
@asks_server
def infer_all_results(remote: Remote, *, is_whole: bool, as_json: bool, **options: Any) -> None:
    """Return what a model found in the images of a split, oldest image first; nothing before the run has completed."""
    asked = given(remote, "infer-all results", options)
    found = _all_results(remote, asked) if is_whole else remote.call("infer-all results", asked)
    if as_json:
        print_json(found)
        return
    _describe_run(found["run"])
    if found["predictions"]:
        rows = [(each["imageId"], *_finds(each["predictions"])) for each in found["predictions"]]
        console().print(table(("Image", "Found", "Best score"), rows))
    if found["errors"]:
        rows = [(each["imageId"], each["code"], each["message"]) for each in found["errors"]]
        console().print(table(("Image", "Error", "Why"), rows))
    if found["hasMore"]:
        click.echo(f"There is more: --all, or --cursor {found['nextCursor']}")


@click.command()
@options_of("evaluate")
@_wait
@wait_options
@idempotency_option
@asks_server
def evaluate(
    remote: Remote,
    *,
    wait: bool,
    timeout: float | None,
    poll_seconds: float | None,
    idempotency_key: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure a model on the labelled images of a split, in the background.

    With --wait it prints what was measured, and exits with 0 once the run has completed, with 1 where it failed or was
    cancelled, and with 8 after --timeout.
    """
    begun = remote.call("evaluate", given(remote, "evaluate", options), idempotency_key=idempotency_key)
    if not wait:
        _announce(begun, "evaluate results", as_json=as_json)
        return
    ended = _until_ended(remote, "evaluate results", begun["run"], Patience(poll_seconds, timeout), is_silent=as_json)
    _show_evaluation(ended, as_json=as_json)
    _leave(ended["run"])


@click.command("results")
@options_of("evaluate results")
@asks_server
def evaluate_results(remote: Remote, *, as_json: bool, **options: Any) -> None:
    """Return what was measured: all in all, and for each label."""
    _show_evaluation(remote.call("evaluate results", given(remote, "evaluate results", options)), as_json=as_json)


def _announce(begun: Mapping[str, Any], results: str, *, as_json: bool) -> None:
    if as_json:
        print_json(begun)
        return
    _describe_run(begun["run"])
    click.echo(f"To see what came of it: tandem {results} {begun['run']['trainingId']}")


def _until_ended(
    remote: Remote, results: str, run: Mapping[str, Any], patience: Patience, *, is_silent: bool
) -> dict[str, Any]:
    """Show how a batch run is going; return the answer in which it has ended, or is when it takes too long."""
    asked: dict[str, Any] = {"trainingId": run["trainingId"], "runId": run["id"]}
    if run["kind"] == "infer-all":
        asked["limit"] = 1
    again = f"tandem {results} {run['trainingId']} --run-id {run['id']}"
    told: dict[str, Any] = {"run": run, "metrics": None, "confusion": None}

    def ask() -> Any:
        return remote.call(results, asked)

    def status(answer: Any) -> str:
        return str(answer["run"]["status"])

    with interruptible(run["id"], again), display(run["kind"], is_silent=is_silent) as shown:
        try:
            for told in states(ask, status, patience, usual_s=_USUAL_POLL_S):
                shown.show(_progress(told["run"]))
        except Ended:
            click.echo(f"{run['id']} goes on, and took longer than --timeout. To look again: {again}", err=True)
    return told


def _leave(run: Mapping[str, Any]) -> None:
    """End with the exit code of how a batch run ended.

    Raises:
        SystemExit: It did not complete.
    """
    if run["status"] in ("failed", "cancelled"):
        raise SystemExit(1)
    if run["status"] != "completed":
        raise SystemExit(TIMED_OUT)


def _progress(run: Mapping[str, Any]) -> Progress:
    failed = f", {run['failed']} failed" if run["failed"] else ""
    return Progress(run["status"], run["progress"], f"{run['done']} of {run['total']} images{failed}")


def _describe_run(run: Mapping[str, Any]) -> None:
    failed = f", {run['failed']} of them could not be read" if run["failed"] else ""
    seen = run["done"] + run["failed"]
    so_far = "" if run["status"] == "completed" else f" of {run['total']}"
    click.echo(
        f"{run['id']} ({run['kind']}, split {run['split']}, threshold {run['threshold']:g}) is {run['status']}: "
        f"{seen}{so_far} images{failed}"
    )
    if run["error"]:
        click.echo(f"  {run['error']}")


def _finds(predictions: list[dict[str, Any]]) -> tuple[str, str | None]:
    """Say what was found in an image, and the best score.

    >>> _finds([{"label": "car", "score": 0.9}, {"label": "bus", "score": 0.5}, {"label": "car", "score": 0.4}])
    ('2 car, bus', '90.0 %')
    """
    counts = Counter(each["label"] for each in predictions if "label" in each)
    named = ", ".join(label if number == 1 else f"{number} {label}" for label, number in counts.items())
    return named or "nothing", percent(max((each["score"] for each in predictions), default=None))


def _all_results(remote: Remote, asked: dict[str, Any]) -> dict[str, Any]:
    """Return all pages as one."""
    pages = _pages(remote, asked)
    whole = next(pages)
    for page in pages:
        whole["predictions"] += page["predictions"]
        whole["errors"] += page["errors"]
    return {**whole, "nextCursor": None, "hasMore": False}


def _pages(remote: Remote, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cursor = asked.get("cursor")
    while True:
        page = remote.call("infer-all results", {"limit": _PAGE, **asked, "cursor": cursor})
        yield page
        # A run that is named stays the one that is read, even where a newer one begins.
        asked["runId"], cursor = page["run"]["id"], page["nextCursor"]
        if cursor is None:
            return


def _show_evaluation(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    _describe_run(found["run"])
    metrics = found["metrics"]
    if metrics is None:
        return
    click.echo(f"Measured on {metrics['evaluatedImages']} images of {metrics['split']}:")
    console().print(
        table(
            ("Metric", "Value"),
            [(words(name), _figure(value)) for name, value in measured(metrics).items()],
        )
    )
    per_label = metrics["perClass"]
    if per_label:
        columns = list(dict.fromkeys(name for each in per_label for name in each))
        rows = [[_figure(each.get(name)) for name in columns] for each in per_label]
        console().print(table([words(name).capitalize() for name in columns], rows))
    _show_confusion(found["confusion"])


def _show_confusion(confusion: Mapping[str, Any] | None) -> None:
    if confusion is None or len(confusion["labels"]) > _MAX_CONFUSED:
        return
    rows = [(label, *counts) for label, counts in zip(confusion["labels"], confusion["matrix"], strict=False)]
    console().print(table(("Said ↓  found →", *confusion["labels"]), rows))


def _figure(value: object) -> object:
    return f"{value:.3f}" if isinstance(value, float) else value
