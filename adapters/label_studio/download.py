"""How the body of a file arrives whole: within limits, and continued where a server stopped early."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import BinaryIO

import requests

from backend.errors import LimitExceeded, Unavailable

_CHUNK_BYTES = 1 << 16
_FILE_S = 300.0


def save_body(
    open_at: Callable[[Mapping[str, str]], requests.Response], file: BinaryIO, *, max_bytes: int, shown: str
) -> None:
    """Write what a server sends, to the last byte that it announced.

    Label Studio stops after 20 s when it passes a file of a cloud storage on, and answers a request for a range with
    8 MiB at most, so an early end is met by asking for the rest, again and again while that helps.

    Args:
        open_at: Sends the request with these more headers and returns the answer: 200, or 206 or 416 to a range.
        file: Where to write; on errors it holds a part.
        max_bytes: How large the file may be.
        shown: The file's address for people.

    Raises:
        LimitExceeded: The file is larger.
        Unavailable: The rest could not be had, or it takes more than five minutes.
    """
    deadline = time.monotonic() + _FILE_S
    num_bytes, total, validator, is_cut = 0, None, None, False
    while True:
        with open_at({"Range": f"bytes={num_bytes}-"} if num_bytes else {}) as response:
            if num_bytes == 0:
                total, validator = _announced_bytes(response), response.headers.get("ETag")
            elif total is None and (response.status_code == 416 or (response.status_code == 200 and not is_cut)):
                break
            else:
                start, whole = _content_range(response)
                if start != num_bytes or response.headers.get("ETag") != validator or whole != (total or whole):
                    raise _truncated(shown, num_bytes, total)
                total = whole
            if (total or 0) > max_bytes:
                raise too_large(shown, max_bytes)
            # We compare lengths ourselves; urllib3 would drop the end of a short body.
            response.raw.enforce_content_length = False
            before, is_cut = num_bytes, False
            try:
                for chunk in response.iter_content(_CHUNK_BYTES):
                    num_bytes += len(chunk)
                    if num_bytes > max_bytes:
                        raise too_large(shown, max_bytes)
                    if time.monotonic() > deadline:
                        raise Unavailable(
                            f"{shown} was not complete after {_FILE_S:.0f} s; try again.", code="media_slow"
                        )
                    file.write(chunk)
            except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
                is_cut = True
            may_hide_more = total is None and response.headers.get("Accept-Ranges") == "bytes"
        if num_bytes == total or (total is None and not is_cut and not may_hide_more):
            break
        if num_bytes == before or num_bytes > (total or num_bytes):
            raise _truncated(shown, num_bytes, total)
    if num_bytes == 0:
        raise Unavailable(
            f"{shown} came without content; Label Studio may expect a web server in front of it (X-Accel-Redirect): "
            "point LABEL_STUDIO_URL at that one.",
            code="media_empty",
        )


def _announced_bytes(response: requests.Response) -> int | None:
    """Return the length of the body as written to the file, when it is known beforehand."""
    is_encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() and not is_encoded else None


def _content_range(response: requests.Response) -> tuple[int, int | None]:
    """Return where a partial body begins, and the length of the whole."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status_code != 206 or found is None:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def too_large(shown: str, max_bytes: int) -> LimitExceeded:
    """Return the error to raise for a file that is larger than allowed."""
    return LimitExceeded(
        f"{shown} is larger than {max_bytes / 2**20:.0f} MiB; raise TANDEM_MAX_MEDIA_BYTES if that is right.",
        code="media_too_large",
    )


def _truncated(shown: str, num_bytes: int, total: int | None) -> Unavailable:
    return Unavailable(
        f"{shown} ended after {num_bytes} of {'an unknown number of' if total is None else total} bytes and could not "
        "be continued; try again, or raise RESOLVER_PROXY_TIMEOUT in Label Studio.",
        code="media_truncated",
    )
