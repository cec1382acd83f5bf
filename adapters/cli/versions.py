"""Which model version answers, and changing that: `tandem versions`."""

from __future__ import annotations

from typing import Any

import click

from adapters.cli.answers import ago, as_json_option, console, percent, print_json, table
from adapters.cli.opening import choose_label_set, choose_project, opened_services

_project = click.argument("project", required=False)
_label_set = click.option("--label-set", metavar="NAME", help="Needed where the project has several.")


@click.group()
def versions() -> None:
    """List model versions, pin one, go back to an earlier one.

    PROJECT is an id, a uid, or its number in Label Studio; it may be left out where there is only one.
    """


@versions.command("list")
@_project
@as_json_option
def list_(project: str | None, as_json: bool) -> None:
    """List a project's versions, oldest first."""
    with opened_services() as services:
        chosen = choose_project(services, project)
        label_sets = {label_set.id: label_set for label_set in chosen.label_sets}
        found = services.versions.of_project(chosen.project.id)
    described: list[dict[str, Any]] = []
    for version in found:
        label_set = label_sets.get(version.label_set_id)
        is_in_use = label_set is not None and label_set.version_id == version.id
        described.append(
            {
                "name": version.name,
                "id": version.id,
                "label_set": label_set.name if label_set else None,
                "is_in_use": is_in_use,
                "is_pinned": is_in_use and label_set is not None and label_set.is_pinned,
                "metrics": version.metrics,
                "weights_source": version.weights_source,
                "snapshot": version.snapshot,
                "run_id": version.run_id,
                "created_at": version.created_at,
            }
        )
    if as_json:
        print_json(described)
    elif not described:
        click.echo("no version yet: the project has not been trained")
    else:
        columns = ("Version", "Label set", "In use", "Accuracy", "Macro F1", "First weights", "Made")
        console().print(table(columns, [_row(version) for version in described]))


@versions.command()
@click.argument("version")
@_project
def pin(version: str, project: str | None) -> None:
    """Let VERSION answer, and no newer one take over until `unpin`."""
    with opened_services() as services:
        found = services.versions.named(choose_project(services, project).project.id, version)
        services.versions.pin(found)
    click.echo(f"{found.name} answers, and stays until `tandem versions unpin`")


@versions.command()
@_project
@_label_set
def unpin(project: str | None, label_set: str | None) -> None:
    """Let new versions take over again."""
    with opened_services() as services:
        chosen = choose_label_set(choose_project(services, project), label_set)
        services.versions.unpin(chosen.id)
    click.echo(f"new versions of {chosen.name!r} take over again")


@versions.command()
@_project
@_label_set
def rollback(project: str | None, label_set: str | None) -> None:
    """Let the version answer that answered before, and pin it."""
    with opened_services() as services:
        found = services.versions.roll_back(choose_label_set(choose_project(services, project), label_set).id)
    click.echo(f"{found.name} answers, and stays until `tandem versions unpin`")


def _row(version: dict[str, Any]) -> tuple[object, ...]:
    metrics = version["metrics"]
    in_use = ("pinned" if version["is_pinned"] else "yes") if version["is_in_use"] else ""
    return (
        version["name"],
        version["label_set"],
        in_use,
        percent(metrics.get("accuracy")),
        percent(metrics.get("macro_f1")),
        version["weights_source"],
        ago(version["created_at"]),
    )
