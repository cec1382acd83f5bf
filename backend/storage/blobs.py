"""Files by their content: images, snapshots and checkpoints, each kept once under its SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from backend.errors import NotFound

_CHUNK_BYTES = 1 << 20


class BlobStore:
    """A folder of immutable files named by the SHA-256 of what they hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes) -> str:
        """Keep bytes; return their SHA-256 in hex. Keeping them again changes nothing."""
        digest = hashlib.sha256(content).hexdigest()
        if not self._path(digest).exists():
            with self._fresh_file() as partial:
                partial.write_bytes(content)
                self._settle(partial, digest)
        return digest

    def put_file(self, source: Path) -> str:
        """Keep a copy of a file; return its SHA-256 in hex."""
        with source.open("rb") as file:
            return self.put_stream(file)

    def put_stream(self, stream: BinaryIO) -> str:
        """Keep what an open file holds from its beginning to its end; return its SHA-256 in hex."""
        stream.seek(0)
        hashed = hashlib.sha256()
        while chunk := stream.read(_CHUNK_BYTES):
            hashed.update(chunk)
        digest = hashed.hexdigest()
        if not self._path(digest).exists():
            stream.seek(0)
            with self._fresh_file() as partial:
                with partial.open("wb") as file:
                    shutil.copyfileobj(stream, file)
                self._settle(partial, digest)
        return digest

    def path(self, digest: str) -> Path:
        """Return where a blob lies; it must not be changed.

        Raises:
            NotFound: There is no such blob (any more).
        """
        path = self._path(digest)
        if not path.exists():
            raise NotFound(f"the stored file {digest[:12]} is missing; restore it from a backup", code="blob_missing")
        return path

    def has(self, digest: str) -> bool:
        """Say whether a blob is here."""
        return self._path(digest).exists()

    def remove(self, digest: str) -> None:
        """Let go of a blob that nothing needs any more; nothing happens where there is none."""
        self._path(digest).unlink(missing_ok=True)

    def materialize(self, files: Mapping[str, str], folder: Path) -> Path:
        """Lay out blobs as a folder of named files (hard links where possible); atomic, idempotent.

        Args:
            files: Digest by file name.
            folder: Where; returned as it is when it already exists.

        Raises:
            NotFound: A blob is missing.
        """
        if folder.exists():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".partial-"))
        try:
            for name, digest in files.items():
                source = self.path(digest)
                try:
                    os.link(source, partial / name)
                except OSError:
                    shutil.copyfile(source, partial / name)
            with contextlib.suppress(OSError):  # another process was first: its folder is as good as ours
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return folder

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest

    @contextlib.contextmanager
    def _fresh_file(self) -> Iterator[Path]:
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".partial-")
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _settle(self, partial: Path, digest: str) -> None:
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        target = self._path(digest)
        target.parent.mkdir(exist_ok=True)
        os.chmod(partial, 0o444)
        os.replace(partial, target)
