"""What to look at: `tandem next` lists tasks worth labelling, `tandem errors` annotations that are likely wrong."""

from __future__ import annotations

import click

from adapters.cli.answers import as_json_option, console, percent, print_json, table
from adapters.cli.opening import choose_project, opened_services


@click.command("next")
@click.argument("project", required=False)
@click.option("--num", default=20, show_default=True, type=click.IntRange(min=1), help="How many tasks.")
@click.option(
    "--by",
    type=click.Choice(["diverse", "uncertain"]),
    default="diverse",
    show_default=True,
    help="diverse: uncertain, and unlike the tasks before; uncertain: the least certain first.",
)
@click.option("--among", default=1000, show_default=True, type=click.IntRange(min=1), help="Look at so many tasks.")
@as_json_option
def next_(project: str | None, num: int, by: str, among: int, as_json: bool) -> None:
    """List the tasks that teach most when they are labelled next."""
    from adapters.label_studio.review import Review

    with opened_services() as services:
        review = Review(services, choose_project(services, project))
        found = review.next_tasks(num, is_diverse=by == "diverse", num_looked_at=among)
    if as_json:
        print_json([{"task": one.task_id, "uncertainty": round(one.uncertainty, 4), "link": one.link} for one in found])
    elif not found:
        click.echo("no task without annotations can be predicted")
    else:
        rows = [(one.task_id, percent(one.uncertainty), one.link) for one in found]
        console().print(table(("Task", "Uncertainty", "Where"), rows))


@click.command()
@click.argument("project", required=False)
@click.option("--num", default=50, show_default=True, type=click.IntRange(min=1), help="How many at most.")
@as_json_option
def errors(project: str | None, num: int, as_json: bool) -> None:
    """List annotations that are likely wrong, worst first.

    Those that the model never learnt from come first: what it did learn from, it may have learnt with its mistake.
    """
    from adapters.label_studio.review import Review

    with opened_services() as services:
        found = Review(services, choose_project(services, project)).suspects()[:num]
    if as_json:
        print_json([one.to_json() for one in found])
    elif not found:
        click.echo("no annotation looks wrong")
    else:
        rows = [
            (
                one.task_id,
                one.control,
                one.doubt.reason,
                percent(one.doubt.score),
                "held out" if one.is_held_out else "learnt from",
                one.link,
            )
            for one in found
        ]
        console().print(table(("Task", "Control", "Why", "Doubt", "Model", "Where"), rows))
