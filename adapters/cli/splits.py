"""Which images to learn from, and which to measure on: `tandem splits set`."""

from __future__ import annotations

from typing import Any

import click

from adapters.cli.answers import print_json
from adapters.cli.asking import asks_server
from adapters.cli.options import given, options_of
from adapters.cli.remote import Remote

_share = click.FloatRange(0, 1)


@click.command("set")
@click.argument("project_id", metavar="PROJECT")
@click.option("--train", type=_share, help="The share to learn from.")
@click.option("--val", type=_share, help="The share to choose the best epoch on.")
@click.option("--test", type=_share, help="The share to measure the model on.")
@options_of("splits set", leave_out={"projectId", "ratios", "strategy"})
@asks_server
def set_(
    remote: Remote, *, train: float | None, val: float | None, test: float | None, as_json: bool, **options: Any
) -> None:
    """Put a project's images into train, val and test: by chance, or with --assign by name.

    PROJECT is an id, or a name. Shares sum to 1; where some are said, the others are 0, and where none is, they are
    0.8, 0.1 and 0.1. To put a single image somewhere: tandem images update.
    """
    asked = given(remote, "splits set", options)
    if "assign" in asked:
        asked["strategy"] = "explicit"
    if (train, val, test) != (None, None, None):
        asked["ratios"] = {"train": train or 0.0, "val": val or 0.0, "test": test or 0.0}
    counts = remote.call("splits set", asked)
    if as_json:
        print_json(counts)
    else:
        click.echo("  ".join(f"{name} {number}" for name, number in counts.items()))
