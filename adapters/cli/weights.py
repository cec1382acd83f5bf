"""Weights that others trained: `tandem weights list`, `tandem weights fetch`."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from adapters.cli.answers import as_json_option, console, print_json, table
from adapters.cli.opening import read_settings
from backend.errors import Invalid

if TYPE_CHECKING:
    from backend.settings import Settings

_TORCH = "https://download.pytorch.org/models"
_SAM = "https://huggingface.co/vietanhdev/segment-anything-onnx-models/resolve/main"
_SAM_2 = "https://huggingface.co/vietanhdev/segment-anything-2-onnx-models/resolve/main"


@dataclass(frozen=True, slots=True)
class Known:
    """Weights that can be fetched.

    Attributes:
        purpose: What they are good for.
        url: Where they are: a file, or a ZIP archive with ONNX files.
        file: What the file is called here; an archive is unpacked into a folder with the weights' name.
        sha256: Of the file, or how it begins; "" where it is not known.
    """

    purpose: str
    url: str
    file: str
    sha256: str = ""


def _backbone(name: str, sha256: str, stem: str = "") -> Known:
    purpose = "first weights of training on images"
    return Known(purpose, f"{_TORCH}/{stem or name}-{sha256}.pth", f"{name}-{sha256}.pth", sha256)


def _sam(base: str, name: str, sha256: str = "") -> Known:
    return Known("answers clicks, boxes and strokes", f"{base}/{name}.zip", f"{name}.zip", sha256)


KNOWN: dict[str, Known] = {
    "resnet18": _backbone("resnet18", "f37072fd"),
    "mobilenet_v3_small": _backbone("mobilenet_v3_small", "047dcff4"),
    "mobilenet_v3_large": _backbone("mobilenet_v3_large", "5c1a4163"),
    "efficientnet_b0": _backbone("efficientnet_b0", "7f5810bc", stem="efficientnet_b0_rwightman"),
    "convnext_tiny": _backbone("convnext_tiny", "983f1562"),
    "mobile_sam": _sam(_SAM, "mobile_sam_20230629"),
    "sam_vit_b": _sam(_SAM, "sam_vit_b_01ec64"),
    "sam2_tiny": _sam(_SAM_2, "sam2_hiera_tiny", "7454c3afd835b2acaad863afe3acb11f4e4af039c96e886989ad3873a338e1ec"),
    "sam2_small": _sam(_SAM_2, "sam2_hiera_small"),
}
"""By the name to fetch them by."""


@click.group()
def weights() -> None:
    """See which pretrained weights are here, and fetch more.

    They lie in TANDEM_WEIGHTS, or in the folder weights of TANDEM_HOME. Nothing needs them: without, training begins
    with random weights, and clicks are answered by colours and edges.
    """


@weights.command("list")
@as_json_option
def list_(as_json: bool) -> None:
    """List the weights that are here, what answers clicks, and what can be fetched."""
    settings = read_settings()
    here = [*_backbones(settings.weights_folder), *_segmenters(settings)]
    answers = next((found["name"] for found in here if found.get("answers_clicks")), None)
    missing = {name: known for name, known in KNOWN.items() if not _is_here(name, settings.weights_folder)}
    if as_json:
        can_fetch = {name: {"purpose": known.purpose, "url": known.url} for name, known in missing.items()}
        print_json(
            {"folder": str(settings.weights_folder), "here": here, "clicks": answers, "can_be_fetched": can_fetch}
        )
        return
    click.echo(f"Folder: {settings.weights_folder}")
    if here:
        console().print(table(("Here", "For", "State"), [(one["name"], one["purpose"], one["state"]) for one in here]))
    click.echo(f"Clicks are answered by: {answers or 'what a project learnt, else colours and edges (no weights)'}")
    rows = [(name, known.purpose, known.url) for name, known in missing.items()]
    console().print(table(("Can be fetched", "For", "From"), rows))


@weights.command()
@click.argument("name", type=click.Choice(sorted(KNOWN)))
def fetch(name: str) -> None:
    """Fetch weights; a fetch that was cut off goes on where it stopped. A server that runs uses them at once."""
    from adapters.cli.downloads import download

    folder, known = read_settings().weights_folder, KNOWN[name]
    if _is_here(name, folder):
        click.echo(f"{name} is in {folder} already")
        return
    target = folder / known.file
    with click.progressbar(length=1000, label=f"fetching {known.file}") as bar:

        def told(num_bytes: int, total: int | None) -> None:
            if total:
                bar.update(int(1000 * num_bytes / total) - bar.pos)

        download(known.url, target, sha256=known.sha256, told=told)
    if target.suffix == ".zip":
        _unpack(target, folder / name)
    click.echo(f"{name} is in {folder}: {known.purpose}")


def _is_here(name: str, folder: Path) -> bool:
    known = KNOWN[name]
    return any((folder / name).glob("*.onnx")) if known.file.endswith(".zip") else (folder / known.file).exists()


def _backbones(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.pth")):
        size = f"{path.stat().st_size / 2**20:.1f} MiB"
        yield {"name": path.name, "purpose": "first weights of training on images", "state": size}


def _segmenters(settings: Settings) -> Iterator[dict[str, Any]]:
    """Load what could answer clicks, as the server does; the first that can is the one that does."""
    from backend.inference.segmenters import load_pretrained

    is_taken = False
    for found in load_pretrained(settings.weights_folder, device=settings.device_name):
        is_usable = found.segmenter is not None
        state = found.problem or ("passed over: another one comes first" if is_taken else "in use")
        purpose = "answers clicks, boxes and strokes" if is_usable else "nothing"
        answers_clicks = is_usable and not is_taken
        yield {"name": found.folder.name, "purpose": purpose, "state": state, "answers_clicks": answers_clicks}
        is_taken = is_taken or is_usable


def _unpack(archive: Path, folder: Path) -> None:
    """Take the ONNX files out of an archive, and drop it.

    Raises:
        Invalid: It is none, or holds none.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if name.endswith(".onnx") and "__MACOSX" not in name]
            for name in names:  # under their last names only: no path leads out of the folder
                with opened.open(name) as source, (partial / PurePosixPath(name).name).open("wb") as file:
                    shutil.copyfileobj(source, file)
    except zipfile.BadZipFile:
        names = []
    if not names:
        shutil.rmtree(partial)
        archive.unlink()
        raise Invalid(f"{archive.name} is no archive with ONNX files; it was removed", code="weights_archive")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    archive.unlink()
