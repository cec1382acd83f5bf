"""Bodies on their way: compressed ones in both directions, and which web pages may ask for them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence

from flask import Request, Response, g, request

from backend.errors import Invalid, LimitExceeded

_CHUNK_BYTES = 64 * 2**10
_WORTH_COMPRESSING = 1024
_HEADERS_OF_PAGES = (
    "Authorization, Content-Type, Idempotency-Key, X-Request-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name"
)


def read_chunks(request: Request, max_bytes: int) -> Iterator[bytes]:
    """Yield a request's body, decompressed where it is gzip, without ever holding all of it.

    What was put into `g.body` because somebody has read it already is read again from there.

    Raises:
        LimitExceeded: It is larger than `max_bytes`, as sent or decompressed.
        Invalid: It is compressed in another way, or broken.
    """
    if "body" in g:
        yield from iter(lambda: g.body.read(_CHUNK_BYTES), b"")
        return
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    request.max_content_length = max_bytes
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise Invalid(
            f"Content-Encoding {encoding!r} is not understood; send gzip or none.", code="unsupported_media_type"
        )
    inflate = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    num_bytes = 0
    while sent := request.stream.read(_CHUNK_BYTES):
        for chunk in _inflated(inflate, sent) if inflate else [sent]:
            num_bytes += len(chunk)
            if num_bytes > max_bytes:
                raise _too_large(max_bytes)
            yield chunk
    if inflate and not inflate.eof:
        raise Invalid("The gzip body ends too early.", code="invalid_json")


def _inflated(inflate: zlib._Decompress, sent: bytes) -> Iterator[bytes]:
    try:
        while sent:
            yield inflate.decompress(sent, _CHUNK_BYTES)
            sent = inflate.unconsumed_tail
    except zlib.error:
        raise Invalid("The body is not gzip, as its Content-Encoding says.", code="invalid_json") from None


def _too_large(max_bytes: int) -> LimitExceeded:
    return LimitExceeded(
        f"The body is larger than {max_bytes // 2**20} MiB.",
        code="payload_too_large",
        details={"limitBytes": max_bytes},
    )


def compress(response: Response) -> None:
    """Compress a JSON answer that is worth it, for a caller who understands gzip."""
    accepts = "gzip" in request.headers.get("Accept-Encoding", "")
    if not accepts or response.mimetype != "application/json" or response.is_streamed:
        return
    body = response.get_data()
    if len(body) >= _WORTH_COMPRESSING:
        response.set_data(gzip.compress(body, compresslevel=1))
        response.headers["Content-Encoding"] = "gzip"
        response.vary.add("Accept-Encoding")


def allow_pages(response: Response, origins: Sequence[str]) -> None:
    """Let the web pages of some origins read an answer."""
    origin = request.headers.get("Origin")
    if origin in origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "X-Request-Id, RateLimit, RateLimit-Policy, Retry-After"
        response.vary.add("Origin")


def preflight(origins: Sequence[str]) -> Response | None:
    """Answer a browser that asks whether a web page may ask; None where nobody asks that."""
    if request.method != "OPTIONS" or request.headers.get("Origin") not in origins:
        return None
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
    response.headers["Access-Control-Allow-Headers"] = _HEADERS_OF_PAGES
    response.headers["Access-Control-Max-Age"] = "600"
    return response
