"""Who may speak MCP over HTTP: from which pages, under which names of this server, and with which key."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from flask import Request

from adapters.pace import count
from backend.accounts.service import Principal
from backend.errors import Denied
from backend.services import Services
from backend.settings import Settings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OPEN_METHOD = "server/discover"
MAX_OPEN_BYTES = 64 * 2**10
"""Of a message without a key."""


class Misdirected(Denied):
    """The server is not called that, as far as MCP is concerned."""


class Door:
    """Decides on the settings of one server."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = [host.removesuffix(":*").lower() for host in listed(settings.mcp_allowed_hosts)]
        self.origins = [*listed(settings.cors_origins), *listed(settings.mcp_allowed_origins)]

    def check(self, request: Request) -> None:
        """Make sure that a request was meant for this server, and that no foreign page sent it.

        Raises:
            Misdirected: The server is called otherwise.
            Denied: The page is not one of those that may.
        """
        host, name = request.host.lower(), _name(request.host)
        is_near = name in _LOOPBACK
        if self._hosts and not is_near and host not in self._hosts and name not in self._hosts:
            raise Misdirected("This server is not called that; see MCP_ALLOWED_HOSTS.")
        origin = request.headers.get("Origin")
        if origin is None or origin in self.origins:
            return
        page = urlsplit(origin).netloc.lower()
        if page != host and not (is_near and _name(page) in _LOOPBACK):
            raise Denied("Web pages of that origin may not call this server; see MCP_ALLOWED_ORIGINS.")

    def admit(self, services: Services, request: Request) -> Principal:
        """Return who asks. Only those are counted who are refused; calls of tools are counted where they arrive.

        Raises:
            Denied: Nobody who has a valid key.
            LimitExceeded: The same address was refused too often.
        """
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        try:
            return services.accounts.authenticate(key.strip() if scheme.lower() == "bearer" else "")
        except Denied:
            count(services, f"address:{request.remote_addr}")
            raise


def is_open(message: bytes) -> bool:
    """Say whether a message may be answered without a key: one that asks what there is."""
    try:
        said = json.loads(message)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("method") == _OPEN_METHOD


def listed(written: str) -> list[str]:
    """Return the parts of a setting that are separated by commas."""
    return [part.strip() for part in written.split(",") if part.strip()]


def _name(host: str) -> str:
    """Return a host without its port.

    >>> _name("[::1]:9090"), _name("gpu-box:9090"), _name("gpu-box")
    ('::1', 'gpu-box', 'gpu-box')
    """
    return urlsplit(f"//{host}").hostname or ""
