"""`tandem host`: a model that somebody has already, served unmodified and in a process of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapters.cli.opening import read_settings
from backend.errors import Conflict, Invalid

if TYPE_CHECKING:
    from adapters.hosting.host import Host
    from adapters.hosting.process import Program
    from backend.settings import Settings

_APP_LOAD_ERROR = 4
"""The exit code by which a worker tells gunicorn that starting another one would not help."""
_LOCK = "tandem-host.lock"


@click.command()
@click.argument("target")
@click.option("--port", type=click.IntRange(0, 65535), help="In place of PORT; 0: any free one.")
@click.option("--host", "address", help="The address to listen at, in place of TANDEM_HOST.")
@click.option(
    "--name", help="Names the folder where the model keeps what it learns; its own folder's name if not given."
)
@click.option("--model-dir", type=click.Path(file_okay=False, path_type=Path), help="That folder itself.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that predict.")
@click.option(
    "--fit-wins/--no-fit-wins",
    default=True,
    show_default=True,
    help="Keep the version that fit() stores, although setup() sets a constant one for every request.",
)
@click.option("--reuse/--no-reuse", help="Construct the model once per project and label config, not per request.")
@click.option(
    "--api", type=click.Choice(["auto", "1", "2"]), default="auto", help="Which label-studio-ml it is written for."
)
@click.option("--python", help="The interpreter that has what the model imports, if it is not Tandem's own.")
def host(
    target: str,
    *,
    port: int | None,
    address: str | None,
    name: str | None,
    model_dir: Path | None,
    workers: int,
    fit_wins: bool,
    reuse: bool,
    api: str,
    python: str | None,
) -> None:
    """Serve a model written for Label Studio's own ML backend, as it is.

    TARGET is a Python file, a folder with model.py, or package.module; add :Class where there are several.
    """
    from adapters.cli.reaching import free_port
    from adapters.hosting import target as targets
    from adapters.hosting.process import Program
    from backend import logs

    settings = read_settings()
    settings = settings.model_copy(
        update={"port": settings.port if port is None else port, "rest_port": None, "host": address or settings.host}
    )
    found = targets.read(target, working_folder=Path.cwd())
    folder = model_dir or (Path(os.environ["MODEL_DIR"]) if os.environ.get("MODEL_DIR") else None)
    is_chosen = bool(folder or name)
    program = Program(
        target=found,
        model_folder=_writable((folder or settings.home / "hosted" / _safe(name or found.name)).absolute()),
        python=_interpreter(python),
        environment=_environment(settings),
        fit_wins=fit_wins,
        keeps_models=reuse,
        generation=0 if api == "auto" else int(api),
    )
    with _claimed(program, is_chosen=is_chosen):
        settings = settings.model_copy(update={"port": free_port(settings)})
        logs.configure(settings, process="host")
        _announce(settings, program)
        _serve(settings, program, workers)


def _serve(settings: Settings, program: Program, num_processes: int) -> None:
    """Answer until somebody stops it. One web process owns the model's processes, and they end with it."""
    from adapters.gunicorn_conf import Server
    from adapters.hosting.contract import create_app
    from adapters.hosting.host import Host

    hosted = Host(program, num_processes=num_processes, predict_timeout_s=settings.predict_timeout_s)

    class _HostServer(Server):
        def load_config(self) -> None:
            super().load_config()
            self.cfg.set("workers", 1)
            self.cfg.set("proc_name", "tandem-host")
            self.cfg.set("worker_exit", lambda server, worker: hosted.close())

        def load(self) -> Any:
            hosted.start()
            threading.Thread(target=_report_load, args=(hosted,), name="report", daemon=True).start()
            return create_app(settings, hosted)

    _HostServer(settings).run()


def _report_load(hosted: Host) -> None:
    """Say what is served; where nothing can be, say why and end everything."""
    try:
        found = hosted.first_load.result()
    except Exception as error:  # noqa: BLE001 - the boundary of a start: whatever it is, it ends it
        click.echo(f"Error: {hosted.program.target.name} cannot be served. {error}", err=True)
        hosted.close()
        os._exit(_APP_LOAD_ERROR)
    learns = "learns from events" if found.learns else "does not learn (it has no fit)"
    click.echo(f"  Model           {found.model_class}, written for label-studio-ml {found.generation}; {learns}")


def _announce(settings: Settings, program: Program) -> None:
    from adapters.cli.banner import ALLOW_PRIVATE_OTHERWISE, needed_settings, webhook_rule
    from adapters.cli.reaching import urls

    addresses = urls(settings)
    target = program.target
    click.echo(
        f"Hosting {target.file or target.module}. Paste into Label Studio (project → Settings → Model → Connect):"
    )
    for url in addresses:
        click.echo(f"  {url}")
    click.echo(f"  Basic auth      {'on' if settings.has_basic_auth else 'off (BASIC_AUTH_USER, BASIC_AUTH_PASS)'}")
    click.echo(f"  Webhooks        {webhook_rule(settings)}")
    click.echo(f"  MODEL_DIR       {program.model_folder}")
    if needed := needed_settings(addresses):
        click.echo(f"  Private address Label Studio 1.23.1 and later needs {needed}")
        click.echo(f"                  in its environment to call such an address (or {ALLOW_PRIVATE_OTHERWISE})")


def _environment(settings: Settings) -> dict[str, str]:
    """Return our own environment, with Label Studio's address and key under the names that models read."""
    made = dict(os.environ)
    url, key = settings.label_studio_url, settings.label_studio_api_key.get_secret_value()
    if url:
        made.update(LABEL_STUDIO_URL=url, LABEL_STUDIO_HOST=url)
    if key:
        made.update(LABEL_STUDIO_API_KEY=key, LABEL_STUDIO_ACCESS_TOKEN=key)
    return made


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid(f"{folder} cannot hold what the model learns ({error.strerror}); choose --model-dir") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Invalid(f"{folder} cannot hold what the model learns (it is not writable); choose --model-dir")
    return folder


@contextlib.contextmanager
def _claimed(program: Program, *, is_chosen: bool) -> Iterator[None]:
    """Make sure that a folder keeps what one model learns, and that one server at a time uses it.

    The lock ends with the process, however it ends. Whoever chooses the folder may hand it from one model to another.
    """
    with (program.model_folder / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"another `tandem host` uses {program.model_folder}; stop it, or choose another --name",
                code="already_running",
            ) from None
        lock.seek(0)
        before, now = lock.read().strip(), str(program.target.file or program.target.module)
        if before not in ("", now) and not is_chosen:
            raise Conflict(f"{program.model_folder} keeps what {before} has learnt; choose another --name for {now}")
        lock.truncate(0)
        lock.write(now)
        lock.flush()
        yield


def _interpreter(python: str | None) -> str:
    found = shutil.which(python) if python else sys.executable
    if not found:
        raise Invalid(f"{python} is no program; --python takes an interpreter, such as .venv/bin/python")
    return found


def _safe(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise Invalid(f"{name!r} is no name for a folder: letters, digits, - . and _ are")
    return name
