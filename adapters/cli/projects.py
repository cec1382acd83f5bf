"""What is connected and how it is: `tandem status`, `tandem train`, `tandem project set`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from adapters.cli.answers import ago, as_json_option, console, percent, print_json, table
from adapters.cli.opening import NO_PROJECTS, choose_label_set, choose_project, opened_services

if TYPE_CHECKING:
    from backend.projects.service import Mirror
    from backend.services import Services


@click.command()
@as_json_option
def status(as_json: bool) -> None:
    """Show every project: its connection, the version in use, and the newest training run."""
    with opened_services() as services:
        projects = [_describe(services, project) for project in services.projects.all()]
    if as_json:
        print_json(projects)
    elif not projects:
        console().print(NO_PROJECTS[0].upper() + NO_PROJECTS[1:] + ".")
    else:
        columns = ("Project", "Uid", "Connection", "Last call", "Label set", "Version", "Waiting", "Newest run")
        console().print(table(columns, [row for project in projects for row in _rows(project)]))
        for project in projects:
            if project["error"]:
                console().print(f"{project['title']}: {project['error']}", markup=False)


@click.command()
@click.argument("project", required=False)
@click.option("--label-set", metavar="NAME", help="Only this label set.")
@click.option("--watch", is_flag=True, help="Show how the run goes on, until it ends.")
def train(project: str | None, label_set: str | None, watch: bool) -> None:
    """Train on the labels of a project as they are now.

    PROJECT is an id, a uid, or its number in Label Studio; it may be left out where there is only one.
    """
    from adapters.cli.runs import follow
    from backend.errors import Invalid

    with opened_services() as services:
        chosen = choose_project(services, project)
        label_set_id = choose_label_set(chosen, label_set).id if label_set else None
        wished = services.training.wish(chosen.project.id, reason="tandem train", label_set_id=label_set_id)
        if not wished:
            raise Invalid("the project has nothing that this release can learn; `tandem doctor` says why")
        for run in wished:
            click.echo(f"run {run.id} is {run.state}")
        if watch:
            for run in wished:
                follow(services, run.id)


@click.group()
def project() -> None:
    """Change how a project trains and promotes."""


@project.command("set")
@click.argument("project", required=False)
@click.option(
    "--promotion",
    type=click.Choice(["always", "when_better", "manual"]),
    help="When a new version takes over.",
)
@click.option("--train-every", type=click.IntRange(min=0), metavar="N", help="Train after N changes; 0: by hand only.")
@click.option("--quiet", type=click.FloatRange(min=0), metavar="SECONDS", help="… when none has come for so long.")
def set_(project: str | None, promotion: str | None, train_every: int | None, quiet: float | None) -> None:
    """Set what is named; everything else stays."""
    from backend.projects.service import Promotion

    with opened_services() as services:
        chosen = choose_project(services, project).project
        changed = services.projects.change(
            chosen.id,
            promotion=Promotion(promotion) if promotion else None,
            train_every=train_every,
            train_quiet_s=quiet,
        )
        defaults = services.settings
    every = changed.train_every if changed.train_every is not None else defaults.train_every
    quiet_s = changed.train_quiet_s if changed.train_quiet_s is not None else defaults.train_quiet_s
    when = f"after {every} changes and {quiet_s:g} quiet seconds" if every else "by hand only"
    click.echo(f"{changed.title}: promotion {changed.promotion}, training {when}")


def _describe(services: Services, project: Mirror) -> dict[str, Any]:
    """Return what there is to say about a project, as JSON."""
    connection = services.connections.state(project.project.id)
    current = services.versions.current(project.label_sets)
    runs = services.training.of_project(project.project.id)
    return {
        "id": project.project.id,
        "title": project.project.title,
        "uid": project.origin.uid,
        "state": connection.state.value,
        "readable_state": connection.readable,
        "error": connection.error_message,
        "seen_at": project.origin.seen_at,
        "promotion": project.project.promotion,
        "waiting_changes": services.inbox.num_waiting(project.project.id),
        "label_sets": [
            {
                "name": label_set.name,
                "version": current[label_set.id].name if label_set.id in current else None,
                "accuracy": current[label_set.id].metrics.get("accuracy") if label_set.id in current else None,
                "is_pinned": label_set.is_pinned,
                "newest_run": next(
                    (
                        {"id": run.id, "state": run.state, "fraction": run.progress.get("fraction")}
                        for run in runs
                        if run.label_set_id == label_set.id
                    ),
                    None,
                ),
            }
            for label_set in project.label_sets
        ],
    }


def _rows(project: dict[str, Any]) -> list[tuple[object, ...]]:
    head = (project["title"], project["uid"], project["readable_state"], ago(project["seen_at"]))
    if not project["label_sets"]:
        return [(*head, None, None, project["waiting_changes"], None)]
    return [
        (
            *head,
            label_set["name"],
            _version(label_set),
            project["waiting_changes"],
            _newest_run(label_set["newest_run"]),
        )
        for label_set in project["label_sets"]
    ]


def _version(label_set: dict[str, Any]) -> str:
    if label_set["version"] is None:
        return "untrained"
    notes = [percent(label_set["accuracy"]), "pinned" if label_set["is_pinned"] else None]
    return " ".join([label_set["version"], *(f"({note})" for note in notes if note)])


def _newest_run(run: dict[str, Any] | None) -> str | None:
    if run is None:
        return None
    return f"{run['state']} {percent(run['fraction'])}" if run["state"] == "running" else str(run["state"])
