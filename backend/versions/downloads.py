"""Model files for those who use them elsewhere: with all that they must know, written once and kept."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from hashlib import file_digest
from pathlib import Path
from typing import Any

from backend.errors import Conflict
from backend.versions.registry import ModelVersion, Versions
from models.checkpoint import ONNX, WEIGHTS, read_manifest
from models.handover import can_explain, explain, onnx_with, write_weights


class Format(StrEnum):
    """What a model file can be."""

    ONNX = "onnx"
    PTH = "pth"
    """Weights for torch."""


_SOURCES = {Format.ONNX: ONNX, Format.PTH: WEIGHTS}


@dataclass(frozen=True, slots=True)
class Download:
    """A file that never changes, and its SHA-256 in hex."""

    path: Path
    sha256: str


class Downloads:
    """Hands out versions as files."""

    def __init__(self, versions: Versions, folder: Path) -> None:
        self._versions = versions
        self._folder = folder

    def formats(self, version: ModelVersion) -> list[Format]:
        """Return the formats that there are of a version: none where it does not look at images."""
        return [form for form, name in _SOURCES.items() if name in version.files and can_explain(version.family)]

    def get(self, version: ModelVersion, form: Format, *, task_type: str) -> Download:
        """Return a version as a file, which says itself how it is used.

        Args:
            version: Which.
            form: As what.
            task_type: What it does, in the words of whoever asks for it.

        Raises:
            Conflict: There is no such format of it ("format_unavailable").
        """
        available = self.formats(version)
        if form not in available:
            raise Conflict(
                f"{version.name} is not available as {form.value}.",
                code="format_unavailable",
                details={"available": [each.value for each in available]},
            )
        folder = self._folder / version.id
        return self._find(folder, form) or self._write(folder, version, form, task_type)

    def discard(self, version: ModelVersion) -> None:
        """Let go of the files of a version."""
        shutil.rmtree(self._folder / version.id, ignore_errors=True)

    @staticmethod
    def _find(folder: Path, form: Format) -> Download | None:
        found = next(folder.glob(f"*.{form.value}"), None)
        return Download(found, found.stem) if found else None

    def _write(self, folder: Path, version: ModelVersion, form: Format, task_type: str) -> Download:
        checkpoint = self._versions.checkpoint(version)
        facts = _facts(version, checkpoint, task_type)
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".partial-")
        os.close(handle)
        partial = Path(name)
        try:
            if form is Format.ONNX:
                partial.write_bytes(onnx_with((checkpoint / ONNX).read_bytes(), facts))
            else:
                write_weights(checkpoint / WEIGHTS, partial, facts)
            with partial.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            path = folder / f"{digest}.{form.value}"
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        return Download(path, digest)


def _facts(version: ModelVersion, checkpoint: Path, task_type: str) -> dict[str, Any]:
    manifest = read_manifest(checkpoint)
    return {
        "labels": list(version.schema.names),
        "taskType": task_type,
        "modelVersion": version.name,
        "architecture": f"{version.family}/{manifest.settings.backbone}",
        **explain(manifest),
    }
