"""A model taken away as a file: `tandem models download`."""

from __future__ import annotations

from pathlib import Path

import click

from adapters.cli.answers import print_json
from adapters.cli.asking import asks_server
from adapters.cli.bars import transfer_bar
from adapters.cli.remote import Remote, commands
from adapters.cli.saving import digest_of, digest_told, save
from adapters.formats.folders import safe_name
from adapters.replies import Problem


@click.command()
@click.argument("training", metavar="TRAINING")
@click.option(
    "--format",
    type=click.Choice(["onnx", "pth"]),
    default="onnx",
    show_default=True,
    help="For ONNX Runtime, or torch.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="A file or a folder; otherwise this folder. In a folder it is called after its version.",
)
@click.option("--force", is_flag=True, help="Overwrite another file that is there.")
@asks_server
def download(remote: Remote, *, training: str, format: str, output: Path, force: bool, as_json: bool) -> None:
    """Download the model of a completed training, and check that it came whole.

    A download that was cut off goes on where it stopped, when the same command runs again.
    """
    target = output / _name(remote, training, format) if output.is_dir() else output
    asked = commands()["models download"].ask({"trainingId": training, "format": format})
    if not _is_there(remote, training, format, target, force=force):
        with transfer_bar(f"Downloading {target.name}", is_silent=as_json) as bar:
            save(lambda headers: remote.stream(asked, headers), target, told=bar.told)
    digest, num_bytes = digest_of(target), target.stat().st_size
    if as_json:
        print_json(
            {"trainingId": training, "format": format, "path": str(target), "bytes": num_bytes, "sha256": digest}
        )
    else:
        click.echo(f"{target}: {num_bytes / 2**20:.1f} MiB, SHA-256 {digest}")


def _name(remote: Remote, training: str, format: str) -> str:
    version = remote.call("training show", {"trainingId": training, "logTail": 0})["modelVersion"]
    return safe_name(f"{version or training}.{format}", f"model.{format}")


def _is_there(remote: Remote, training: str, format: str, target: Path, *, force: bool) -> bool:
    """Say whether this model lies there already.

    Raises:
        Problem: Something else does, which is not to be overwritten.
    """
    if not target.exists():
        return False
    asked = commands()["models download"].ask({"trainingId": training, "format": format})
    with remote.stream(asked, {"Range": "bytes=0-0"}) as response:
        if digest_told(response) == digest_of(target):
            return True
    if force:
        return False
    raise Problem("CONFLICT", f"{target} is there already, and is not this model; --force overwrites it.", 409)
