"""Somebody at a terminal, and a server that they reach over HTTP in this process; it can be made to fail."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from click.testing import CliRunner, Result
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from adapters.cli.main import main
from backend.services import Services


@dataclass(frozen=True)
class Fault:
    """What goes wrong with an answer.

    Attributes:
        path: How the path of the request ends.
        status: In place of the answer; 0: the answer itself.
        cut_at: How many bytes of the body come before the connection is cut.
        change: Is done to the body.
    """

    path: str
    status: int = 0
    cut_at: int | None = None
    change: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True)
class Heard:
    """A request that came; the names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@dataclass
class Terminal:
    """Runs commands with a key against a server.

    Attributes:
        faults: Used up one by one, by the requests that they fit.
        heard: All requests, in order.
    """

    app: Flask
    services: Services
    key: str
    faults: list[Fault] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def tandem(self, *arguments: object, stdin: str | None = None) -> Result:
        """Run a command."""
        env = {"TANDEM_BASE_URL": f"http://127.0.0.1:{self._server.server_port}", "TANDEM_API_KEY": self.key}
        return CliRunner().invoke(main, [str(each) for each in arguments], prog_name="tandem", env=env, input=stdin)

    def ok(self, *arguments: object, stdin: str | None = None) -> str:
        """Run a command that must succeed; return what it wrote to standard output."""
        result = self.tandem(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def data(self, *arguments: object, stdin: str | None = None) -> Any:
        """Run a command that must succeed with --json; return what it says."""
        return json.loads(self.ok(*arguments, "--json", stdin=stdin))

    def num_heard(self, path: str) -> int:
        """Return how many requests came to paths that end so."""
        return sum(each.path.endswith(path) for each in self.heard)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if name[:5] == "HTTP_"}
        self.heard.append(Heard(environ["REQUEST_METHOD"], path, headers))
        fault = next((each for each in self.faults if path.endswith(each.path)), None)
        if fault is None:
            return [self._body(environ, start_response)]
        self.faults.remove(fault)
        if fault.status:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(f"{fault.status} Fault", [("Content-Length", "0")])
            return []
        return self._spoilt(fault, environ, start_response)

    def _spoilt(self, fault: Fault, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        body = self._body(environ, start_response)
        yield (fault.change(body) if fault.change else body)[: fault.cut_at]
        if fault.cut_at is not None:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    def _body(self, environ: dict[str, Any], start_response: Any) -> bytes:
        """Read an answer whole: the server leaves files open whose reader has gone away."""
        answer: Any = self.app(environ, start_response)
        with contextlib.closing(answer):
            return b"".join(answer)
