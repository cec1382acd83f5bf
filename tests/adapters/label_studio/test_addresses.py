"""Only public addresses are reached, whatever a name server says."""

from __future__ import annotations

import socket

import pytest
import requests

from adapters.label_studio.addresses import (
    PublicOnlyAdapter,
    is_private_address,
    is_same_server,
    names_this_machine,
)
from backend.errors import Denied


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "localhost",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "::1",
        "[::1]",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_addresses_off_the_public_internet_are_private(host: str) -> None:
    assert is_private_address(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "no-such-host.invalid"])
def test_public_addresses_and_unknown_names_are_not_private(host: str) -> None:
    assert not is_private_address(host)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://0.0.0.0:8080/",
        "http://[::1]:8080",
        "http://LOCALHOST.",
        "http://ls.localhost",
    ],
)
def test_a_hostname_from_setup_that_means_this_machine_is_recognised(url: str) -> None:
    """C-024."""
    assert names_this_machine(url)


@pytest.mark.parametrize("url", ["http://ls.example.org", "http://192.168.1.4:8080", "http://localhost.example.org"])
def test_a_hostname_from_setup_that_means_one_machine_for_everybody_is_kept(url: str) -> None:
    assert not names_this_machine(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://ls.example.org.evil.net/x",
        "https://ls.example.org:8443/x",
        "http://ls.example.org/x",
        "https://evil.net/?ls.example.org",
        "https://ls.example.org@evil.net/x",
        "https://evil.net\\@ls.example.org/x",
        "https://evil.net/\\@ls.example.org/x",
        "https://evil.net#@ls.example.org/x",
        "ftp://ls.example.org/x",
    ],
)
def test_a_server_is_told_by_scheme_host_and_port(url: str) -> None:
    assert not is_same_server("https://ls.example.org", url)


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, ["8.8.8.8", "127.0.0.1"])

    with pytest.raises(Denied) as refused, _public_session() as session:
        session.get("http://both.example.org/a.png", timeout=5)

    assert refused.value.code == "media_private_address"


def test_a_name_that_changes_its_address_after_the_check_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: _entries(next(answers), port))
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("urllib3.connection.connection.create_connection", connect)

    with pytest.raises(requests.ConnectionError), _public_session() as session:
        session.get("http://rebinding.example.org/a.png", timeout=5)

    assert connected == [("8.8.8.8", 80)]


def test_a_proxy_is_not_asked_to_reach_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    _resolve_to(monkeypatch, ["10.0.0.1"])

    with pytest.raises(Denied), _public_session() as session:
        session.get("http://inside.example.org/a.png", timeout=5)


def _public_session() -> requests.Session:
    session = requests.Session()
    session.mount("http://", PublicOnlyAdapter())
    return session


def _resolve_to(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: _entries(addresses, port))


def _entries(addresses: list[str], port: int | None) -> list[tuple[object, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]
