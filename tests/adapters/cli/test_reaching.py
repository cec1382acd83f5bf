"""Where the server can be reached."""

from __future__ import annotations

import socket

import pytest
from doubles import Answer, FakeWeb, as_json

from adapters.cli.reaching import ask_health, free_port, own_url, urls
from backend.errors import Unavailable
from backend.settings import Settings


def test_a_server_that_listens_everywhere_offers_all_ways_to_it() -> None:
    offered = urls(Settings(host="0.0.0.0", port=9090))

    assert offered[-2:] == ["http://localhost:9090", "http://host.docker.internal:9090"]
    assert not any("127.0.0.1" in url or "0.0.0.0" in url for url in offered)
    assert own_url(Settings(host="0.0.0.0", port=9090)) == "http://127.0.0.1:9090"


def test_a_server_with_one_address_offers_that() -> None:
    assert urls(Settings(host="10.1.2.3", port=9090)) == ["http://10.1.2.3:9090"]
    assert urls(Settings(host="fd00::7", port=9090)) == ["http://[fd00::7]:9090"]
    assert own_url(Settings(host="::", port=9090)) == "http://[::1]:9090"


def test_port_0_means_any_free_port() -> None:
    port = free_port(Settings(host="127.0.0.1", port=0))

    assert free_port(Settings(host="127.0.0.1", port=port)) == port > 0


def test_a_taken_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} is taken by another program"):
            free_port(Settings(host="127.0.0.1", port=port))


def test_an_address_of_somebody_else_is_refused() -> None:
    with pytest.raises(Unavailable, match="see TANDEM_HOST and PORT"):
        free_port(Settings(host="192.0.2.77", port=0))


def test_health_is_asked_for_with_our_credentials_under_any_path(fake_web: FakeWeb) -> None:
    fake_web.answers["/sub/health"] = as_json({"status": "UP"})

    health = ask_health(Settings(basic_auth_user="ada", basic_auth_pass="grün"), f"{fake_web.url}/sub/")

    assert health.is_up
    assert fake_web.asked[0].authorization == "Basic YWRhOmdyw7xu"


@pytest.mark.parametrize(
    ("answer", "status"),
    [(Answer(401), 401), (Answer(200, b"<html>"), 200), (Answer(200, b'"UP"'), 200), (Answer(500, b"{}"), 500)],
)
def test_what_would_not_content_label_studio_is_not_up(fake_web: FakeWeb, answer: Answer, status: int) -> None:
    fake_web.answers["/health"] = answer

    health = ask_health(Settings(), fake_web.url)

    assert (health.status, health.is_up) == (status, False)


def test_where_nothing_answers_the_reason_is_told() -> None:
    health = ask_health(Settings(), f"http://127.0.0.1:{free_port(Settings(host='127.0.0.1', port=0))}")

    assert health.status == 0
    assert "refused" in health.problem
