"""How does a large file arrive whole: continued where an earlier attempt stopped, checked, and complete or absent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests

from backend.errors import Conflict, Unavailable

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = (5.0, 30.0)


def download(url: str, target: Path, *, sha256: str = "", told: Callable[[int, int | None], None]) -> None:
    """Fetch a file, unless it is there; what an earlier attempt left beside it is continued.

    Args:
        url: Where it is.
        target: Where it goes.
        sha256: Of the content, in hexadecimal, or how that begins; "" where nobody knows.
        told: Is told how many bytes there are, and how many there will be where the server says.

    Raises:
        Unavailable: The server cannot be reached, refuses, or stops in the middle.
        Conflict: The content is not the one that was expected; nothing is kept.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    host = urlsplit(url).hostname
    try:
        _fetch(url, partial, told)
    except requests.RequestException as error:
        kept = f"; the {partial.stat().st_size:,} bytes that came are kept, so try again" if partial.exists() else ""
        raise Unavailable(
            f"{host} cannot be reached from this machine ({type(error).__name__}){kept}. Without internet, fetch {url} "
            f"elsewhere and put it at {target}",
            code="download_failed",
        ) from error
    digest = _digest(partial)
    if not digest.startswith(sha256):
        partial.unlink()
        raise Conflict(
            f"what {host} sent for {target.name} is not the expected file: its SHA-256 is {digest}, not {sha256}…",
            code="download_differs",
        )
    os.replace(partial, target)


def _fetch(url: str, partial: Path, told: Callable[[int, int | None], None]) -> None:
    """Write what a server sends behind what is there.

    Raises:
        requests.RequestException: It fails, or stops before the end that it announced.
    """
    start = partial.stat().st_size if partial.exists() else 0
    # Lengths and ranges mean the file itself only when it is not compressed on the way.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if start and response.status_code == 416:  # there is nothing behind what is there
            return
        response.raise_for_status()
        if response.status_code != 206:
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        # We compare lengths ourselves; urllib3 would drop the end of a short body.
        response.raw.enforce_content_length = False
        with partial.open("ab" if start else "wb") as file:
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                told(file.tell(), total)
        if total is not None and partial.stat().st_size < total:
            raise requests.ConnectionError(f"only {partial.stat().st_size} of {total} bytes came")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
