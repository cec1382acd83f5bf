"""How a file of the server arrives whole: continued where it was cut off, checked, and complete or absent."""

from __future__ import annotations

import hashlib
import os
import re
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from pathlib import Path

import requests

from adapters.replies import Problem

Fetch = Callable[[Mapping[str, str]], requests.Response]
"""Asks for the file with further headers, and returns the response with its body still to come."""
Told = Callable[[int, int | None], None]
"""Is told how many bytes there are, and how many there will be where the server says."""
_CHUNK_BYTES = 1 << 18
_MAX_ATTEMPTS = 4
_DIGEST = re.compile(r"sha-256=:([^:]*):")


def save(fetch: Fetch, target: Path, *, told: Told, sha256: str = "", pause_s: float = 1.0) -> None:
    """Write a file of the server; what an earlier attempt left beside it is continued, if it is still the same file.

    Args:
        fetch: Asks for it.
        target: Where it goes; replaced only once all of it is there and its digest is right.
        told: Is told how far it is.
        sha256: Of the file, in hexadecimal; "": as the answer says.
        pause_s: How long to wait before a connection that was cut is made again.

    Raises:
        Problem: The server refuses, is gone in spite of several attempts, or sends something else than it says.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(target)
    num_bytes, attempt = partial.num_bytes, 1
    while True:
        try:
            digest = partial.take(fetch, told)
            break
        except (requests.RequestException, Problem) as error:
            if isinstance(error, Problem) and (error.status < 502 or not partial.num_bytes):
                raise
            attempt = 1 if partial.num_bytes > num_bytes else attempt + 1
            num_bytes = partial.num_bytes
            if attempt > _MAX_ATTEMPTS:
                raise Problem("SERVICE_UNAVAILABLE", _cut_off(target, num_bytes), 503) from error
            time.sleep(pause_s)
    partial.finish(sha256 or digest)


def digest_told(response: requests.Response) -> str:
    """Return the SHA-256 in hexadecimal that a response says its file has; "" where it says none."""
    found = _DIGEST.search(response.headers.get("Repr-Digest", ""))
    try:
        return b64decode(found[1], validate=True).hex() if found else ""
    except NotBase64:
        return ""


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Partial:
    """What there is so far of a file, and beside it the tag of the file that it is a part of."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f"{target.name}.partial")
        self._tag = target.with_name(f"{target.name}.partial.etag")

    @property
    def num_bytes(self) -> int:
        return self._path.stat().st_size if self._path.exists() and self._tag.exists() else 0

    def take(self, fetch: Fetch, told: Told) -> str:
        """Write what is still missing; return the digest that the server says.

        Raises:
            requests.RequestException: The connection was cut.
        """
        start = self.num_bytes
        # Lengths and ranges mean the file itself only when it is not compressed on the way.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": self._tag.read_text()}
        try:
            response = fetch(headers)
        except Problem as problem:
            if problem.status != 416:
                raise
            self.discard()  # there is nothing behind what was there, which may as well be too much
            return self.take(fetch, told)
        with response:
            self._write(response, start if response.status_code == 206 else 0, told)
            return digest_told(response)

    def _write(self, response: requests.Response, start: int, told: Told) -> None:
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        tag = response.headers.get("ETag", "")
        if start == 0:
            self.discard()
            if tag and not tag.startswith("W/"):
                self._tag.write_text(tag)
        # We compare lengths ourselves; urllib3 would drop the end of a short body.
        response.raw.enforce_content_length = False
        with self._path.open("ab" if start else "wb") as file:
            told(start, total)
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                told(file.tell(), total)
        if total is not None and self._path.stat().st_size < total:
            raise requests.ConnectionError(f"only {self._path.stat().st_size} of {total} bytes came")

    def finish(self, digest: str) -> None:
        found = digest_of(self._path)
        if digest and found != digest:
            self.discard()
            raise Problem(
                "UPSTREAM_ERROR",
                f"What came for {self._target.name} is not what the server says it sent: its SHA-256 is {found}, not "
                f"{digest}. Nothing was kept; try again.",
                502,
            )
        os.replace(self._path, self._target)
        self._tag.unlink(missing_ok=True)

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)


def _cut_off(target: Path, num_bytes: int) -> str:
    kept = f" The {num_bytes:,} bytes that came are kept: the same command goes on from there." if num_bytes else ""
    return f"The connection was cut off while {target.name} came.{kept}"
