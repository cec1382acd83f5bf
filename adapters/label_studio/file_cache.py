"""Where fetched files are kept: complete or absent, fetched once at a time, the least recently used dropped first."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

_KEEP_S = 600.0
_PART_S = 3600.0


@dataclass(frozen=True)
class CachedFile:
    """A complete file and the SHA-256 of its content, in hexadecimal."""

    path: Path
    sha256: str


class FileCache:
    """A folder of files by key, shared by threads and processes.

    A file is named ``<hash of key>.<sha256 of content>``, so both are known without reading it; its modification time
    says when it was fetched and its access time when it was last asked for.

    Args:
        folder: Made when needed; nothing else should be in it.
        max_bytes: How much is kept. Files that were asked for within the last ten minutes stay in any case, so that
            whoever was given a path can still open it.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._unaccounted_bytes: int | None = None
        self._lock = threading.Lock()

    def get(self, key: str, *, max_age_s: float | None, write: Callable[[BinaryIO], None]) -> CachedFile:
        """Return the file of a key, and first make it when there is none or only an older one.

        Args:
            key: Anything.
            max_age_s: How old a file may be; None: any age.
            write: Writes the content; what it raises is passed on and leaves nothing behind. While it runs, other
                threads and processes that want the same key wait.
        """
        name = sha256(key.encode()).hexdigest()
        shard = self._folder / name[:2]
        if found := _find(shard, name, max_age_s):
            return found
        shard.mkdir(parents=True, exist_ok=True)
        with _only_one(shard / f"{name}.lock"):
            if found := _find(shard, name, max_age_s):
                return found
            stored = _store(shard, name, write)
        self._account(stored.path.stat().st_size)
        return stored

    def _account(self, num_bytes: int) -> None:
        """Make room from time to time: looking at every file after each download would cost more than it frees."""
        with self._lock:
            if self._unaccounted_bytes is not None:
                self._unaccounted_bytes += num_bytes
                if self._unaccounted_bytes * 50 < self._max_bytes:
                    return
            self._unaccounted_bytes = 0
        self._make_room()

    def _make_room(self) -> None:
        now = time.time()
        files = []
        for path in self._folder.glob("*/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == ".lock":
                continue
            if path.suffix == ".part":
                if now - stat.st_mtime > _PART_S:
                    path.unlink(missing_ok=True)
                continue
            files.append((stat.st_atime, stat.st_size, path))
        excess = sum(size for _, size, _ in files) - self._max_bytes
        num_dropped = 0
        for used_at, size, path in sorted(files):
            if excess <= 0 or now - used_at < _KEEP_S:
                break
            path.unlink(missing_ok=True)
            excess -= size
            num_dropped += 1
        if num_dropped:
            log.info("media cache trimmed", extra={"num_files": num_dropped, "limit_bytes": self._max_bytes})


def _find(shard: Path, name: str, max_age_s: float | None) -> CachedFile | None:
    """Return the newest file of a name that is young enough, and note that it was used."""
    newest: tuple[int, Path] | None = None
    for path in shard.glob(f"{name}.*"):
        if path.suffix in {".lock", ".part"}:
            continue
        try:
            fetched_ns = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
        newest = max(newest or (0, path), (fetched_ns, path))
    if newest is None:
        return None
    fetched_ns, path = newest
    if max_age_s is not None and time.time() - fetched_ns / 1e9 > max_age_s:
        return None
    try:
        os.utime(path, ns=(time.time_ns(), fetched_ns))
    except FileNotFoundError:
        return None
    return CachedFile(path, path.suffix[1:])


def _store(shard: Path, name: str, write: Callable[[BinaryIO], None]) -> CachedFile:
    part = shard / f"{name}.{secrets.token_hex(4)}.part"
    try:
        with part.open("w+b") as file:
            write(file)
            file.flush()
            file.seek(0)
            digest = file_digest(file, "sha256").hexdigest()
        path = shard / f"{name}.{digest}"
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return CachedFile(path, digest)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock between threads and processes; its file exists only while somebody holds or awaits it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_still(path, descriptor):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Say whether a path still leads to an open file; whoever held the lock before us has removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
