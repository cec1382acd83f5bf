"""Where this server can be reached, and whether it answers there."""

from __future__ import annotations

import base64
import contextlib
import errno
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from backend.errors import Unavailable
from backend.settings import Settings

EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - read, not bound
FROM_DOCKER = "host.docker.internal"
"""What a container calls the machine that it runs on (Docker Desktop; elsewhere with --add-host)."""


@dataclass(frozen=True)
class Health:
    """How a server answered /health; status 0 where nothing answered."""

    status: int
    body: Any = None
    problem: str = ""

    @property
    def is_up(self) -> bool:
        """Whether Label Studio would be content."""
        return 200 <= self.status < 300 and isinstance(self.body, dict)


def own_url(settings: Settings) -> str:
    """Return the URL at which this machine reaches the server."""
    host = settings.host
    if host in EVERYWHERE:
        host = "::1" if host == "::" else "127.0.0.1"
    return _url(host, settings.port)


def urls(settings: Settings) -> list[str]:
    """Return the URLs at which Label Studio may reach the server, the best one first."""
    if settings.host not in EVERYWHERE:
        return [_url(settings.host, settings.port)]
    return [_url(host, settings.port) for host in [*_addresses(), "localhost", FROM_DOCKER]]


def ask_health(settings: Settings, url: str, *, timeout_s: float = 1.0) -> Health:
    """Ask a server for its health as Label Studio does: with our credentials, for at most a second."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    user, password = settings.basic_auth_user, settings.basic_auth_pass.get_secret_value()
    said = base64.b64encode(f"{user}:{password}".encode()).decode()
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/health", headers={"Authorization": f"Basic {said}"})
        response = connection.getresponse()
        body = response.read(1 << 20)
    except (OSError, http.client.HTTPException) as error:
        return Health(0, problem=str(error) or type(error).__name__)
    finally:
        connection.close()
    try:
        return Health(response.status, json.loads(body), response.reason)
    except ValueError:
        return Health(response.status, None, response.reason)


def free_port(settings: Settings) -> int:
    """Return the port to serve: the one that is set, or with PORT=0 any free one.

    Raises:
        Unavailable: It is taken, or not ours to take.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Unavailable(_port_problem(settings, error)) from error
        return int(probe.getsockname()[1])


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _port_problem(settings: Settings, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {settings.port} is taken by another program; stop it, or choose another port: "
            f"PORT={settings.port % 65535 + 1} tandem up"
        )
    if error.errno == errno.EACCES:
        return f"port {settings.port} may only be used by root; choose one above 1023, such as PORT=9090"
    return f"{settings.host}:{settings.port} cannot be served ({error.strerror}); see TANDEM_HOST and PORT"


def _addresses() -> list[str]:
    """Return this machine's IPv4 addresses as others see them, the one that leads outside first."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route, contextlib.suppress(OSError):
        route.connect(("192.0.2.1", 9))  # sends nothing; the system only chooses the address to send from
        found.append(route.getsockname()[0])
    with contextlib.suppress(OSError):
        found += [str(address[0]) for *_, address in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    return [address for address in dict.fromkeys(found) if not address.startswith("127.")]
