"""The processes that a server is made of, one command each: `tandem web`, `worker`, `migrate`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from adapters.cli.opening import read_settings

WORKERS = ("background", "trainer", "clock")


@click.command()
def web() -> None:
    """Answer Label Studio: the web server."""
    settings = read_settings()
    metrics = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(settings.home / "metrics")))
    shutil.rmtree(metrics, ignore_errors=True)  # counts of an earlier start
    metrics.mkdir(parents=True)

    from adapters.gunicorn_conf import Server  # only now: prometheus_client decides at its import where it counts
    from backend import logs

    logs.configure(settings, process="web")
    Server(settings).run()


@click.command()
@click.argument("kind", type=click.Choice(WORKERS))
def worker(kind: str) -> None:
    """Do long work.

    background collects annotations, trainer trains (one per GPU), clock starts what is due (one per installation).
    """
    from backend import worker as workers

    workers.run(kind, read_settings())


@click.command()
def migrate() -> None:
    """Bring the database to the schema of this release.

    With TANDEM_BOOTSTRAP_KEY, and where there is no user yet, it makes one whose key that is.
    """
    from backend.accounts.first_user import make_first_user
    from backend.storage import migrations

    settings = read_settings()
    migrations.upgrade(settings.database)
    make_first_user(settings)
