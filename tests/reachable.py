"""A server that commands reach over HTTP, in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubles import InlineQueue
from werkzeug.serving import WSGIRequestHandler, make_server

from adapters.web import create_app
from backend.services import Services
from backend.settings import Settings
from backend.storage import migrations


@dataclass
class ReachableServer:
    """Where a server is, and what is behind it."""

    url: str
    services: Services

    def mint(self, email: str, **options: Any) -> str:
        """Return a key for somebody, who need not be there yet."""
        accounts = self.services.accounts
        _, key = accounts.mint(accounts.find_user(email) or accounts.create_user(email), "test", **options)
        return key


@contextmanager
def serving(folder: Path) -> Iterator[ReachableServer]:
    """Serve a new home for the length of a block; jobs wait in an `InlineQueue`."""
    folder.mkdir()
    settings = Settings(home=folder, device="cpu")
    migrations.upgrade(settings.database)
    with closing(Services.build(settings, queue=InlineQueue())) as services:
        web = make_server("127.0.0.1", 0, create_app(settings, services), threaded=True, request_handler=_Silent)
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield ReachableServer(f"http://127.0.0.1:{web.port}", services)
        finally:
            web.shutdown()
            thread.join()
            web.server_close()


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""
