"""Requests that carry an Idempotency-Key: done once, answered as often as they are repeated."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from hashlib import file_digest, sha256

from flask import Request, Response, g

from adapters.transfer import read_chunks
from backend.errors import Invalid, TandemError
from backend.idempotency import Idempotency

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def answer_once(
    request: Request,
    idempotency: Idempotency,
    user_id: str,
    answer: Callable[[], Response],
    *,
    word: Callable[[TandemError], Response],
    max_bytes: int,
    tells_secret: bool = False,
) -> Response:
    """Answer a request, or give the answer again that it got before.

    Source: agent-surface.md §6, after draft-ietf-httpapi-idempotency-key-header.

    Args:
        request: The request; without an Idempotency-Key it is simply answered.
        idempotency: Where answers are kept.
        user_id: Who asks.
        answer: Does what is asked for.
        word: How an error of `answer` is worded: such answers are kept, too.
        max_bytes: Of a JSON body.
        tells_secret: Whether the answer must not be kept.
    """
    said = request.headers.get("Idempotency-Key")
    if said is None:
        return answer()
    key = said.strip('"')
    if not _KEY.fullmatch(key):
        raise Invalid("An Idempotency-Key has 1 to 255 printable ASCII characters.", code="validation_error")
    asked = (user_id, request.method, request.path, key)
    kept = idempotency.begin(*asked, _fingerprint(request, max_bytes))
    if kept is not None:
        replayed = Response(kept.body, status=kept.status, mimetype="application/json")
        replayed.headers["Idempotency-Replayed"] = "true"
        return replayed
    try:
        response = answer()
    except TandemError as error:
        response = word(error)
    except BaseException:
        idempotency.forget(*asked)
        raise
    if response.status_code >= 500 or response.status_code == 429:
        idempotency.forget(*asked)
    else:
        is_secret = tells_secret and response.status_code < 300
        body = None if is_secret else response.get_data(as_text=True)
        idempotency.finish(*asked, status=response.status_code, body=body)
    return response


def _fingerprint(request: Request, max_bytes: int) -> str:
    """Digest a body; it can still be read afterwards."""
    if request.mimetype == "multipart/form-data":
        parts = [[name, value] for name, value in request.form.items(multi=True)]
        for name, file in request.files.items(multi=True):
            parts.append([name, file.filename or "", file_digest(file.stream, "sha256").hexdigest()])  # type: ignore[arg-type]  # it is a file
            file.stream.seek(0)
        return sha256(json.dumps(parts).encode()).hexdigest()
    body = b"".join(read_chunks(request, max_bytes))
    g.body = io.BytesIO(body)
    return sha256(body).hexdigest()
