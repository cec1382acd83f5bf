"""Prediction jobs: `tandem predict PROJECT`, and `tandem predictions list`, `watch`, `cancel`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from adapters.cli.answers import ago, as_json_option, console, print_json, table
from adapters.cli.opening import choose_project, opened_services

if TYPE_CHECKING:
    from backend.inference.job import PredictionJob
    from backend.services import Services

_POLL_S = 0.5


@click.command()
@click.argument("project", required=False)
@click.option("--unlabelled", is_flag=True, help="Only tasks without annotations.")
@click.option("--view", type=int, help="Only the tasks of this tab of the Data Manager: the number in its address.")
@click.option("--replace", is_flag=True, help="Remove predictions of older versions of Tandem once all new ones exist.")
@click.option("--watch", is_flag=True, help="Wait for the end; the exit code is 1 unless the job completes.")
@as_json_option
@click.pass_context
def predict(
    context: click.Context,
    project: str | None,
    unlabelled: bool,
    view: int | None,
    replace: bool,
    watch: bool,
    as_json: bool,
) -> None:
    """Predict all tasks of a project in the background, and write the predictions into Label Studio.

    Each task gets one prediction of the version in use; tasks that have one are left as they are.
    """
    selection: dict[str, Any] = {**({"is_unlabelled": True} if unlabelled else {}), **({"view": view} if view else {})}
    with opened_services() as services:
        mirror = choose_project(services, project)
        job = services.prediction_jobs.ask(mirror.project.id, selection=selection, is_replacing=replace)
        if not as_json:
            click.echo(f"prediction job {job.id} with {job.version_name}")
        if watch:
            job = _follow(services, job.id, is_quiet=as_json)
    if as_json:
        print_json(describe(job))
    elif not watch:
        click.echo("`tandem predictions watch` shows how far it is")
    if watch:
        context.exit(0 if job.state == "completed" else 1)


@click.group()
def predictions() -> None:
    """Watch prediction jobs, and cancel them."""


@predictions.command("list")
@click.argument("project", required=False)
@as_json_option
def list_(project: str | None, as_json: bool) -> None:
    """List a project's newest prediction jobs."""
    with opened_services() as services:
        found = services.prediction_jobs.of_project(choose_project(services, project).project.id)
    if as_json:
        print_json([describe(job) for job in found])
    elif not found:
        click.echo("no prediction job yet")
    else:
        rows = [(job.id, job.state, job.version_name, _done(job), ago(job.created_at), job.error) for job in found]
        console().print(table(("Job", "State", "Version", "Tasks", "Asked", "Error"), rows))


@predictions.command()
@click.argument("job")
@click.pass_context
def watch(context: click.Context, job: str) -> None:
    """Follow a job until it ends; the exit code is 1 unless it completes."""
    with opened_services() as services:
        ended = _follow(services, job, is_quiet=False)
    context.exit(0 if ended.state == "completed" else 1)


@predictions.command()
@click.argument("job")
def cancel(job: str) -> None:
    """End a job; what it has written stays."""
    with opened_services() as services:
        click.echo(f"prediction job {services.prediction_jobs.cancel(job).id} is cancelled")


def describe(job: PredictionJob) -> dict[str, Any]:
    """Return a job's JSON form."""
    return {
        "id": job.id,
        "state": job.state,
        "version_name": job.version_name,
        "selection": job.selection,
        "is_replacing": job.is_replacing,
        "num_tasks": job.num_tasks,
        "num_done": job.num_done,
        "num_failed": job.num_failed,
        "faults": job.faults,
        "error": job.error,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
    }


def _follow(services: Services, job_id: str, *, is_quiet: bool) -> PredictionJob:
    """Say how far a job is whenever that changes, until it ends."""
    from backend.inference.job import JobState

    said = ""
    while True:
        job = services.prediction_jobs.get(job_id)
        line = f"{job.state}: {_done(job)}"
        if line != said and not is_quiet:
            click.echo(line)
            said = line
        if JobState(job.state).is_final:
            break
        time.sleep(_POLL_S)
    if not is_quiet:
        for fault in job.faults:
            click.echo(f"  {fault}")
        if job.error:
            click.echo(f"error: {job.error}")
    return job


def _done(job: PredictionJob) -> str:
    total = "?" if job.num_tasks is None else str(job.num_tasks)
    failed = f", {job.num_failed} failed" if job.num_failed else ""
    return f"{job.num_done} of {total} predicted{failed}"
