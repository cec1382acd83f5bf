"""What is said about images, from and to the disk: `tandem labels set`, `import`, `export`."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import click
import requests

from adapters.cli.answers import console, counted, print_json, table
from adapters.cli.asking import asks_server, idempotency_option
from adapters.cli.options import given, options_of
from adapters.cli.remote import Remote, commands
from adapters.formats.folders import FOLDERS, unpack, write_body
from adapters.operations import MAX_JSON_BYTES
from adapters.replies import Problem
from backend.errors import Invalid

_MAX_SHOWN = 20
_CHUNK_BYTES = 1 << 18


@click.command("set")
@click.argument("label_set_id", metavar="LABEL_SET")
@click.argument("image_id", metavar="IMAGE")
@click.argument("annotations", metavar="@FILE|-|JSON")
@options_of("labels set", leave_out={"labelSetId", "imageId", "annotations"})
@asks_server
def set_(remote: Remote, *, annotations: str, as_json: bool, **options: Any) -> None:
    """Say what is in an image, in place of all that was said before.

    LABEL_SET is an id, or PROJECT/NAME. The annotations are a JSON list from a file (@file.json), from standard input
    (-), or as they stand: '[{"label": "car", "bbox": [10, 20, 100, 50]}]'. `[]` says that somebody looked and there is
    nothing.
    """
    said = _read(annotations)
    told = remote.call("labels set", {**said, **given(remote, "labels set", options)})
    if as_json:
        print_json(told)
        return
    counts = Counter(each["label"] for each in told["annotations"])
    named = ", ".join(f"{number} {label}" for label, number in counts.items())
    click.echo(f"{told['imageId']}: {named or 'labelled as containing nothing'}")


@click.command("import")
@click.argument("label_set_id", metavar="LABEL_SET")
@click.argument("path", metavar="FILE|FOLDER", type=click.Path(exists=True, path_type=Path))
@options_of("labels import", leave_out={"labelSetId", "data"})
@click.option("--strict", is_flag=True, help="Exit with 1 if anything in the file was left out.")
@idempotency_option
@asks_server
def import_(
    remote: Remote, *, path: Path, strict: bool, idempotency_key: str | None, as_json: bool, **options: Any
) -> None:
    """Label many images at once, by a data set on disk.

    LABEL_SET is an id, or PROJECT/NAME. native, coco and labelstudio are a JSON file; csv is a text with the columns
    filename,label; yolo is a folder with data.yaml or classes.txt, and a text for each image there or in its folder
    labels; voc is a folder of XML files. Images that the data set names are labelled afterwards, those without
    annotations as containing nothing. Try it with --dry-run first.
    """
    said = given(remote, "labels import", options)
    target = commands()["labels import"].ask(said).target
    with TemporaryFile() as body:
        write_body(path, body, {name: value for name, value in said.items() if name != "labelSetId"})
        if body.tell() > MAX_JSON_BYTES:
            raise Problem(
                "PAYLOAD_TOO_LARGE",
                f"{path} comes to {body.tell() / 2**20:.0f} MiB, of which a server takes {MAX_JSON_BYTES >> 20} at "
                "once. Import it in parts.",
                413,
                details={"limitBytes": MAX_JSON_BYTES},
            )
        told = remote.send_json(target, body, idempotency_key=idempotency_key)
    if as_json:
        print_json(told)
    else:
        _summarise(told)
    if strict and (told["errors"] or told["unmatched"] or told["skipped"]):
        raise SystemExit(1)


@click.command()
@options_of("labels export", leave_out={"raw"})
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The file that it goes to, for yolo and voc the folder; otherwise it is printed.",
)
@asks_server
def export(remote: Remote, *, output: Path | None, as_json: bool, **options: Any) -> None:
    """Hand out what counts for all labelled images, in any format that can be imported.

    LABEL_SET is an id, or PROJECT/NAME.
    """
    asked = given(remote, "labels export", options)
    format = asked.setdefault("format", "native")
    if output is None and as_json:
        print_json(remote.call("labels export", asked))
        return
    if output is None and format in FOLDERS:
        raise click.UsageError(f"{format} is a folder; say where it goes with --output.")
    if output is not None and format in FOLDERS and output.exists() and (output.is_file() or any(output.iterdir())):
        raise Invalid(f"{output} is there already and not an empty folder; name another one with --output.")
    with (
        TemporaryFile() as exported,
        remote.stream(commands()["labels export"].ask({**asked, "raw": True})) as response,
    ):
        _receive(response, exported)
        if output is None:
            _copy(exported, sys.stdout.buffer)
            return
        num_images = _place(exported, output, format)
    if as_json:
        print_json({"format": format, "path": str(output), "images": num_images})
    else:
        about = "" if num_images is None else f", {counted(num_images, 'image')}"
        click.echo(f"{output}: {format}{about}")


def _read(written: str) -> dict[str, Any]:
    """Return the body that is meant.

    Raises:
        Invalid: It is none.
    """
    try:
        match written[:1]:
            case "@":
                text, name = Path(written[1:]).read_text(encoding="utf-8-sig"), written[1:]
            case _ if written == "-":
                text, name = sys.stdin.read(), "standard input"
            case _:
                text, name = written, "the argument"
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{written[1:]} cannot be read: {error}.", code="validation_error") from error
    try:
        said = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{name} is not JSON: {error}.", code="invalid_json") from error
    if isinstance(said, list):
        return {"annotations": said}
    if isinstance(said, dict) and "annotations" in said:
        return said
    raise Invalid(
        f'{name} must be a list of annotations, such as [{{"label": "car", "bbox": [10, 20, 100, 50]}}].',
        code="validation_error",
    )


def _summarise(told: Mapping[str, Any]) -> None:
    would = "would be " if told["dryRun"] else ""
    images = counted(told["matchedImages"], "image")
    click.echo(f"{images} {would}labelled, with {counted(told['created'], 'annotation')}.")
    counts = {"Replaced": told["replaced"], "Left out": told["skipped"]}
    for title, number in counts.items():
        if number:
            click.echo(f"  {title}: {counted(number, 'annotation')}")
    if told["newLabels"]:
        click.echo(f"  New labels: {', '.join(told['newLabels'])}")
    if told["unmatched"]:
        names = told["unmatched"]
        more = f" … ({len(names)} or more)" if len(names) > _MAX_SHOWN else ""
        click.echo(f"  Not in the project: {', '.join(names[:_MAX_SHOWN])}{more}")
    if told["errors"]:
        rows = [(each["ref"], each["code"], each["message"]) for each in told["errors"][:_MAX_SHOWN]]
        console().print(table(("Where", "Code", "Why"), rows))
        if len(told["errors"]) > _MAX_SHOWN:
            click.echo("… and more; --json tells up to 100")


def _receive(response: requests.Response, file: IO[bytes]) -> None:
    try:
        for chunk in response.iter_content(_CHUNK_BYTES):
            file.write(chunk)
    except requests.RequestException as error:
        raise Problem("SERVICE_UNAVAILABLE", "The connection was cut off; nothing was kept. Try again.", 503) from error
    file.seek(0)


def _place(exported: IO[bytes], output: Path, format: str) -> int | None:
    """Put what was exported where it belongs; return how many images it is about, where it is a file for each."""
    if format in FOLDERS:
        return unpack(exported, output, format)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    with partial.open("wb") as file:
        _copy(exported, file)
    os.replace(partial, output)
    return None


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while chunk := source.read(_CHUNK_BYTES):
        target.write(chunk)
    target.flush()
