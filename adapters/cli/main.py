"""The command `tandem`: its parts by name, and how a failure reads."""

from __future__ import annotations

from typing import Any

import click

from adapters.cli import (
    connect,
    doctor,
    host,
    keys,
    models,
    new,
    predict,
    processes,
    projects,
    review,
    runs,
    up,
    users,
    versions,
    weights,
    workspaces,
)
from backend.errors import TandemError


class _Tandem(click.Group):
    """Shows the sentence of an error that a caller can understand, and no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TandemError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=_Tandem, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tandem-ml", prog_name="tandem")
def main() -> None:
    """An ML backend for Label Studio: it predicts, learns from your labels, and keeps every version.

    Settings are environment variables; see the README.
    """


for command in (
    up.up,
    connect.connect,
    processes.web,
    processes.worker,
    processes.migrate,
    doctor.doctor,
    projects.status,
    projects.train,
    projects.project,
    versions.versions,
    runs.runs,
    weights.weights,
    host.host,
    predict.predict,
    predict.predictions,
    models.models,
    new.new,
    review.next_,
    review.errors,
    users.users,
    keys.keys,
    workspaces.workspaces,
):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="tandem")
