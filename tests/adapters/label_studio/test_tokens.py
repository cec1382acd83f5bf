"""An API key tells its kind by its form, and a personal one is exchanged as rarely as possible."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from doubles import make_jwt

from adapters.label_studio.tokens import ApiKey, KeyKind
from backend.errors import Denied

PERSONAL = make_jwt(token_type="refresh", exp=time.time() + 1e6)


def _no_exchange(_: str) -> str:
    raise AssertionError("nothing to exchange")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", KeyKind.NONE),
        ("0123456789abcdef0123456789abcdef01234567", KeyKind.LEGACY),
        ("a.b.c", KeyKind.LEGACY),
        (PERSONAL, KeyKind.PERSONAL),
        (make_jwt(token_type="access", exp=time.time() + 300), KeyKind.ACCESS),
    ],
)
def test_the_form_of_a_key_tells_its_kind(text: str, kind: KeyKind) -> None:
    assert ApiKey(text, _no_exchange).kind is kind


def test_a_legacy_token_is_sent_as_it_is_without_surrounding_space() -> None:
    assert ApiKey(" abc\n", _no_exchange).header() == "Token abc"


def test_an_expired_personal_token_is_refused_with_its_date_before_anybody_is_asked() -> None:
    key = ApiKey(make_jwt(token_type="refresh", exp=0), _no_exchange)

    with pytest.raises(Denied, match=r"expired on 1970-01-01; create a personal access token") as refused:
        key.header()

    assert refused.value.code == "label_studio_token"


def test_fifty_threads_exchange_a_personal_token_once() -> None:
    """C-120."""
    exchanged: list[str] = []

    def exchange(personal: str) -> str:
        exchanged.append(personal)
        time.sleep(0.02)
        return make_jwt(token_type="access", iat=1000, exp=1300)

    key = ApiKey(PERSONAL, exchange)

    with ThreadPoolExecutor(50) as threads:
        headers = set(threads.map(lambda _: key.header(), range(50)))

    assert exchanged == [PERSONAL]
    assert len(headers) == 1


def test_an_access_token_that_is_about_to_expire_is_exchanged_anew() -> None:
    issued = iter(range(10))
    key = ApiKey(PERSONAL, lambda _: make_jwt(token_type="access", iat=0, exp=9, jti=next(issued)))

    assert key.header() != key.header()


def test_a_refused_access_token_is_forgotten_only_once() -> None:
    issued = iter(range(10))
    key = ApiKey(PERSONAL, lambda _: make_jwt(token_type="access", iat=0, exp=300, jti=next(issued)))
    refused = key.header()

    assert key.forget(refused)
    renewed = key.header()
    assert key.forget(refused)

    assert key.header() == renewed != refused


def test_a_refused_legacy_token_has_no_successor() -> None:
    key = ApiKey("abc", _no_exchange)

    assert not key.forget(key.header())
