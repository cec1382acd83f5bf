"""The application in this process as a server: a tool's request takes the way of every other request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from adapters.replies import Reply
from adapters.verbs import Asked

_KEPT = ("HTTP_HOST", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")

Environment = Mapping[str, Any]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Within:
    """Answers requests that come up while another one is answered, in its thread (PEP 3333).

    Attributes:
        application: Who answers.
        outer: The environment of the other request, whose caller, address and server are those of all within it.
    """

    application: Application
    outer: Environment

    def __call__(self, asked: Asked, headers: Mapping[str, str]) -> Reply:
        """See `adapters.replies.Server`.

        NOTE: in a context of its own: Flask would let a request within another one share its `g`.
        """
        return Context().run(self._answer, self._environment(asked, headers))

    def _answer(self, environ: dict[str, Any]) -> Reply:
        said: list[tuple[int, dict[str, str]]] = []
        written: list[bytes] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], None]:
            said.append((int(status[:3]), {name.lower(): value for name, value in headers}))
            return written.append

        chunks = self.application(environ, start)
        try:
            written.extend(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return Reply(*said[-1], body=b"".join(written))

    def _environment(self, asked: Asked, headers: Mapping[str, str]) -> dict[str, Any]:
        path, _, query = asked.target.partition("?")
        body = b"" if asked.body is None else json.dumps(asked.body).encode()
        environ: dict[str, Any] = {name: self.outer[name] for name in _KEPT if name in self.outer}
        environ |= {name: self.outer[name] for name in self.outer if name.startswith("wsgi.")}
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        if asked.body is not None:
            environ["CONTENT_TYPE"] = "application/json"
        return environ | {
            "REQUEST_METHOD": asked.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
            "wsgi.file_wrapper": FileWrapper,
        }
