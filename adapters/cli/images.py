"""Images from and to the disk: `tandem images upload`, `tandem images download`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from adapters.catalogue import STATUS
from adapters.cli.answers import console, counted, print_json, table
from adapters.cli.asking import asks_server
from adapters.cli.bars import Bar, transfer_bar
from adapters.cli.options import options_of
from adapters.cli.remote import Remote, commands
from adapters.cli.saving import digest_of, save
from adapters.formats.folders import safe_name
from adapters.replies import Problem

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_MAX_FILES = 20
_MAX_BATCH_BYTES = 32 * 2**20
"""A batch is in memory while it is sent."""
_MAX_IMAGE_BYTES = 50 * 2**20
_PAUSES_S = (1.0, 3.0, 9.0)
"""Before a batch that did not get through is sent again."""
_MAX_SHOWN = 20
_ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


@click.command()
@click.argument("project_id", metavar="PROJECT")
@click.argument("sources", metavar="FILE|FOLDER|URL...", nargs=-1, required=True)
@options_of("images upload", leave_out={"projectId", "images"})
@click.option("--strict", is_flag=True, help="Exit with 1 if any file was rejected.")
@asks_server
def upload(
    remote: Remote, *, project_id: str, sources: tuple[str, ...], split: str | None, strict: bool, as_json: bool
) -> None:
    """Upload images: files, all JPEG, PNG and WebP below folders, or what the server fetches from addresses.

    PROJECT is an id, or a name. What it has already is not kept twice, so after an interruption the same command goes
    on. It exits with 0 if at least one image was taken or was there already.
    """
    project = project_id
    project_id = remote.find("projectId", project)
    urls = [source for source in sources if source.lower().startswith(("http://", "https://"))]
    files = _files([Path(source) for source in sources if source not in urls])
    if not files and not urls:
        raise Problem("NO_FILES", f"There is no JPEG, PNG or WebP in {', '.join(sources)}.", 400)
    total = sum(file.num_bytes for file in files)
    done = _Uploaded(len(files) + len(urls), keeps_images=as_json)
    with transfer_bar("Uploading", is_silent=as_json) as bar:
        for batch in _batches(files, done):
            _send(remote, project_id, batch, split, done, bar, total)
        for start in range(0, len(urls), _MAX_FILES):
            images = [{"url": url} for url in urls[start : start + _MAX_FILES]]
            given = {"projectId": project_id, "images": images} | ({"split": split} if split else {})
            done.add(_answer(partial(remote.call, "images upload", given)))
    if done.num_new + done.num_there == 0:
        first = done.rejected[0]
        raise Problem(
            first["code"], first["message"], STATUS.get(first["code"], 400), details={"rejected": done.rejected}
        )
    if as_json:
        print_json({"images": done.images, "rejected": done.rejected, "dropped": done.num_dropped})
    else:
        _summarise(done, project)
    if strict and done.rejected:
        raise SystemExit(1)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    num_bytes: int


@dataclass
class _Uploaded:
    """What has become of the images so far."""

    num_all: int
    keeps_images: bool
    images: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    num_new: int = 0
    num_there: int = 0
    num_dropped: int = 0
    num_bytes: int = 0

    @property
    def num_seen(self) -> int:
        return self.num_new + self.num_there + len(self.rejected)

    def add(self, answer: Mapping[str, Any]) -> None:
        images = answer["images"]
        num_there = sum(image["duplicate"] for image in images)
        self.num_there += num_there
        self.num_new += len(images) - num_there
        self.num_dropped += answer["dropped"]
        self.rejected += answer["rejected"]
        if self.keeps_images:
            self.images += images

    def reject(self, file: _File, code: str, message: str) -> None:
        self.rejected.append({"filename": file.path.name, "code": code, "message": message})


def _files(sources: Iterable[Path]) -> list[_File]:
    """Return the files that are meant, each once; folders are walked, but not what is hidden in them."""
    found: dict[Path, _File] = {}
    for source in sources:
        for path in _images_below(source) if source.is_dir() else [source]:
            try:
                found.setdefault(path.resolve(), _File(path, path.stat().st_size))
            except OSError as error:
                raise click.BadParameter(f"{path}: {error.strerror}", param_hint="FILE|FOLDER|URL...") from error
    return list(found.values())


def _images_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in _SUFFIXES and not is_hidden and path.is_file():
            yield path


def _batches(files: Iterable[_File], done: _Uploaded) -> Iterator[list[_File]]:
    """Yield what goes into one request each; what no server would take is rejected here."""
    batch: list[_File] = []
    num_bytes = 0
    for file in files:
        if file.num_bytes > _MAX_IMAGE_BYTES:
            done.reject(file, "IMAGE_TOO_LARGE", f"An image may have {_MAX_IMAGE_BYTES // 2**20} MiB.")
            continue
        if batch and (len(batch) == _MAX_FILES or num_bytes + file.num_bytes > _MAX_BATCH_BYTES):
            yield batch
            batch, num_bytes = [], 0
        batch.append(file)
        num_bytes += file.num_bytes
    if batch:
        yield batch


def _send(
    remote: Remote,
    project_id: str,
    batch: Sequence[_File],
    split: str | None,
    done: _Uploaded,
    bar: Bar,
    total: int,
) -> None:
    """Send a batch, again where it did not get through.

    Raises:
        Problem: It is refused, or does not get through in spite of several attempts.
    """
    parts = []
    for file in batch:
        try:
            parts.append(("files", file.path.name, file.path.read_bytes(), "application/octet-stream"))
        except OSError as error:
            done.reject(file, "IMAGE_INVALID", f"It cannot be read: {error.strerror}.")
    target = commands()["images upload"].ask({"projectId": project_id}).target
    texts = {"split": split} if split else {}

    def show(sent: int, whole: int) -> None:
        share = sent / max(1, whole) * sum(file.num_bytes for file in batch)
        bar.told(done.num_bytes + int(share), total)

    for pause_s in (*_PAUSES_S, None):
        bar.says(f"{done.num_seen}/{done.num_all} images")
        try:
            if parts:
                done.add(_answer(lambda: remote.upload(target, parts, texts, on_sent=show)))
            break
        except Problem as problem:
            if problem.status < 500:
                raise
            if pause_s is None:
                raise _stopped(problem, done) from problem
            time.sleep(pause_s)
    done.num_bytes += sum(file.num_bytes for file in batch)
    bar.says(f"{done.num_seen}/{done.num_all} images")


def _answer(ask: Callable[[], Any]) -> Any:
    """Return what is answered; where no image of a batch was usable, that is no reason to stop."""
    try:
        return ask()
    except Problem as problem:
        if "rejected" not in problem.details:
            raise
        return {"images": [], "rejected": problem.details["rejected"], "dropped": 0}


def _stopped(problem: Problem, done: _Uploaded) -> Problem:
    return Problem(
        problem.code,
        f"{problem.message} {done.num_seen} of {done.num_all} images were sent before; run the same command again, "
        "and it goes on there.",
        problem.status,
        problem.request_id,
        problem.details,
    )


def _summarise(done: _Uploaded, project: str) -> None:
    parts = [f"{counted(done.num_new, 'new image')} in {project}"]
    if done.num_there:
        parts.append(f"{done.num_there} {'was' if done.num_there == 1 else 'were'} there already")
    if done.rejected:
        parts.append(f"{len(done.rejected)} {'was' if len(done.rejected) == 1 else 'were'} rejected:")
    click.echo(", ".join(parts))
    if done.rejected:
        shown = done.rejected[:_MAX_SHOWN]
        rows = [(each["filename"], each["code"], each["message"]) for each in shown]
        console().print(table(("File", "Code", "Why"), rows))
        if len(done.rejected) > len(shown):
            click.echo(f"… and {len(done.rejected) - len(shown)} more; --json tells them all")


@click.command()
@click.argument("image_ids", metavar="IMAGE...", nargs=-1)
@click.option("--project", help="All images of a project instead.")
@click.option("--split", type=click.Choice(["train", "val", "test", "unassigned"]), help="Only those, with --project.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder that they go to; otherwise this one.",
)
@click.option("--max-size", type=click.IntRange(64, 10_000), help="As JPEG whose longer side has at most so many px.")
@click.option("--label-set", help="As JPEG with what was said drawn on it: an id, or PROJECT/NAME.")
@click.option("--training", help="As JPEG with what the model of this training finds drawn on it.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="With --training: how sure the model must be.")
@asks_server
def download(
    remote: Remote,
    *,
    image_ids: tuple[str, ...],
    project: str | None,
    split: str | None,
    output: Path,
    max_size: int | None,
    label_set: str | None,
    training: str | None,
    threshold: float | None,
    as_json: bool,
) -> None:
    """Save images under their own names; those that are there already are not fetched again."""
    if bool(image_ids) == bool(project):
        raise click.UsageError("Name images, or a project with --project.")
    said = {
        "maxSize": max_size,
        "labelSetId": remote.find("labelSetId", label_set) if label_set else None,
        "trainingId": training,
        "threshold": threshold,
    }
    form = {name: value for name, value in said.items() if value is not None}
    if project:
        total, images = _of_project(remote, remote.find("projectId", project), split)
    else:
        total = len(image_ids)
        images = (remote.call("images show", {"imageId": image_id}) for image_id in image_ids)
    saved: list[dict[str, Any]] = []
    taken: set[str] = set()
    with transfer_bar("Downloading", is_silent=as_json) as bar:
        for image in images:
            bar.says(f"{len(saved) + 1}/{total} images")
            path = _fetch(remote, image, output, form, taken, bar)
            saved.append({"imageId": image["id"], "path": str(path), "bytes": path.stat().st_size})
    if as_json:
        print_json({"files": saved})
    else:
        click.echo(f"{counted(len(saved), 'image')} in {output}")


def _of_project(remote: Remote, project_id: str, split: str | None) -> tuple[int, Iterator[Any]]:
    about = remote.call("projects show", {"projectId": project_id})
    asked = {"projectId": project_id} | ({"split": split} if split else {})
    return about["splits"][split] if split else about["imageCount"], remote.pages("images list", asked)


def _fetch(
    remote: Remote, image: Mapping[str, Any], folder: Path, form: Mapping[str, Any], taken: set[str], bar: Bar
) -> Path:
    """Save an image, unless it is there; return where it is.

    Args:
        remote: The server.
        image: What it says about the image.
        folder: Where it goes.
        form: In place of the file as it was uploaded: how large, and what is drawn on it.
        taken: Names that others have got.
        bar: Is told how far it is.
    """
    ending = ".jpg" if form else _ENDINGS.get(image["mimeType"], "")
    name = safe_name(image["filename"] or "", f"{image['id']}{ending}")
    if form:
        size = f"-{form['maxSize']}px" if "maxSize" in form else ""
        drawn = "-drawn" if form.keys() - {"maxSize"} else ""
        name = f"{Path(name).stem}{size}{drawn}{ending}"
    digest = "" if form else image["sha256"] or ""
    for path in (folder / name, folder / f"{Path(name).stem}-{image['id']}{Path(name).suffix}"):
        if path.name.casefold() in taken:
            continue
        if digest and path.exists() and digest_of(path) != digest:
            continue  # somebody else's: it is not overwritten
        break
    taken.add(path.name.casefold())
    if not (digest and path.exists()):
        asked = commands()["images download"].ask({"imageId": image["id"], **form})
        save(lambda headers: remote.stream(asked, headers), path, told=bar.told, sha256=digest)
    return path
