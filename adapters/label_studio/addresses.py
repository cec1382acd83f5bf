"""Which hosts may be asked for media: those with public addresses, checked at the moment of connecting."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError
from urllib3.util import parse_url

from backend.errors import Denied

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_private_address(host: str) -> bool:
    """Say whether a host name or address leads, by any of its addresses, to anything but the public internet.

    Private, loopback, link-local, shared (RFC 6598), reserved, unspecified and multicast addresses count. A name
    that does not resolve does not.

    >>> is_private_address("127.0.0.1"), is_private_address("::ffff:10.0.0.1"), is_private_address("8.8.8.8")
    (True, True, False)
    """
    try:
        return not all(is_public(address) for address in _resolve(host.strip("[]"), None))
    except (OSError, UnicodeError):
        return False


def names_this_machine(url: str) -> bool:
    """Say whether a URL's host means "this machine" to whoever reads it, such as localhost, 127.0.0.1 or 0.0.0.0.

    Label Studio sends such a host in /setup when its own HOST is not set; from another machine it is useless.

    >>> names_this_machine("http://localhost:8080"), names_this_machine("https://ls.example.org")
    (True, False)
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = innermost(ipaddress.ip_address(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def is_same_server(known: str, url: str) -> bool:
    """Say whether what may be said to a known URL's server may be said to another URL: same scheme, host and port.

    The usual step from http to https on the same host is as good.

    >>> is_same_server("http://ls.example.org/a", "https://ls.example.org/b")
    True
    >>> is_same_server("https://ls.example.org/", "https://ls.example.org.evil.net/")
    False
    """
    (known_scheme, known_host, known_port), (scheme, host, port) = _origin(known), _origin(url)
    is_upgrade = (known_scheme, known_port, scheme, port) == ("http", 80, "https", 443)
    return host == known_host and (is_upgrade or (scheme, port) == (known_scheme, known_port))


AddressCheck = Callable[[str, "Sequence[IPAddress]"], None]


class CheckedAdapter(HTTPAdapter):
    """Connects only to addresses that pass a check, and never through a proxy, which would look the name up again.

    All addresses of a host are checked, and the connection is made to one that was, so that a name server cannot
    answer differently in between.

    Args:
        check: Called with a host and its addresses; raises where none of them may be called.
        **options: See `HTTPAdapter`.
    """

    def __init__(self, check: AddressCheck, **options: Any) -> None:
        self._check = check
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools that use our connections."""
        super().init_poolmanager(*args, **kwargs)

        class Plain(_CheckedHTTPConnection):
            checks = (self._check,)

        class Secure(_CheckedHTTPSConnection):
            checks = (self._check,)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send without proxies."""
        return super().send(request, *args, **{**kwargs, "proxies": None})


class PublicOnlyAdapter(CheckedAdapter):
    """Connects to public addresses only: a host is refused when any of its addresses is not public.

    Raises:
        Denied: From any request, with the code ``media_private_address``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(_require_public, **options)


class _CheckedHTTPConnection(HTTPConnection):
    checks: ClassVar[Sequence[AddressCheck]] = ()

    def _new_conn(self) -> socket.socket:
        # NOTE: urllib3 connects to _dns_host and uses it for nothing else meanwhile; TLS checks the name afterwards.
        name = self._dns_host
        failure: HTTPError | None = None
        try:
            addresses = _resolve(name, self.port)
            for check in self.checks:
                check(name, addresses)
            for address in addresses:
                self._dns_host = str(address)
                try:
                    return super()._new_conn()
                except HTTPError as error:
                    failure = error
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(name, self, socket.gaierror(str(error))) from error
        finally:
            self._dns_host = name
        assert failure is not None, "a resolved name has at least one address"
        raise failure


class _CheckedHTTPSConnection(_CheckedHTTPConnection, HTTPSConnection):
    pass


def _origin(url: str) -> tuple[str, str, int | None]:
    # NOTE: read as the connection will read it; urlsplit takes http://evil.net\\@ls.example.org/ for ls.example.org.
    parts = parse_url(url)
    scheme = parts.scheme or ""
    return scheme, (parts.host or "").lower(), parts.port or {"http": 80, "https": 443}.get(scheme)


def _require_public(host: str, addresses: Sequence[IPAddress]) -> None:
    if not all(is_public(address) for address in addresses):
        raise Denied(
            f"{host} has a private address, and media are fetched from public ones only; set ALLOW_LOCAL_FETCH=true "
            "if everybody who can add tasks in Label Studio may read from this network.",
            code="media_private_address",
        )


def _resolve(host: str, port: int | None) -> list[IPAddress]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(address[0]) for *_, address in found]


def is_public(address: IPAddress) -> bool:
    """Say whether an address is on the public internet, see `is_private_address`."""
    inner = innermost(address)
    is_site_local = isinstance(inner, ipaddress.IPv6Address) and inner.is_site_local
    return inner.is_global and not (inner.is_multicast or inner.is_reserved or is_site_local)


def innermost(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv6 address carries, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address
