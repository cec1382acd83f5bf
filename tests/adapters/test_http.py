from __future__ import annotations

import json

import pytest
from builders import basic
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st

from adapters.http import BasicAuth, answer, error_answer, plain_error, read_json, reason_phrase, storable
from backend.errors import Conflict, Denied, Invalid, LimitExceeded, NotFound, TandemError, Unavailable

APP = Flask("test")


@given(st.text())
def test_a_reason_phrase_is_one_printable_line_of_latin_1(sentence: str) -> None:
    phrase = reason_phrase(sentence)

    assert phrase.isprintable()
    assert len(phrase) <= 180
    assert phrase.encode("latin-1").splitlines() in ([], [phrase.encode("latin-1")])


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Invalid("x"), 400, None),
        (Denied("x"), 403, None),
        (NotFound("x"), 404, None),
        (Conflict("x"), 409, None),
        (LimitExceeded("x"), 413, None),
        (LimitExceeded("x", retry_after_s=7), 429, "7"),
        (Unavailable("x"), 503, None),
        (Unavailable("x", retry_after_s=5), 503, "5"),
        (Unavailable("x", code="prediction_timeout", retry_after_s=30), 504, "30"),
        (Unavailable("x", code="label_studio_unreachable"), 502, None),
        (Denied("x", code="label_studio_token"), 502, None),
        (TandemError("x"), 500, None),
    ],
)
def test_each_class_of_error_has_its_status(error: TandemError, status: int, retry_after: str | None) -> None:
    response = error_answer(error)

    assert response.status == f"{status} x"
    assert response.get_json() == {"detail": "x", "code": error.code}
    assert response.headers.get("Retry-After") == retry_after


def test_an_error_of_http_has_its_name_as_code() -> None:
    assert plain_error(405, "not this way").get_json() == {"detail": "not this way", "code": "method_not_allowed"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_never_leave(number: float) -> None:
    """C-005."""
    with pytest.raises(ValueError, match="JSON compliant"):
        answer({"score": number})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "utf-8-sig"])
def test_json_is_read_in_every_encoding_of_unicode(encoding: str) -> None:
    with APP.test_request_context(method="POST", data=json.dumps({"a": "é"}).encode(encoding)):
        assert read_json(request) == {"a": "é"}


@given(st.text())
def test_ordinary_text_can_be_stored(text: str) -> None:
    if "\0" not in text:
        assert storable("name", text) == text


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "\udfff x"])
def test_text_that_no_database_keeps_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"^name: "):
        storable("name", text)


@given(user=st.text(), password=st.text(), encoding=st.sampled_from(["utf-8", "latin-1"]))
def test_whoever_knows_the_user_and_the_password_is_admitted(user: str, password: str, encoding: str) -> None:
    if encoding == "latin-1" and not all(character <= "\xff" for character in user + password):
        return
    auth = BasicAuth(user, password)

    with APP.test_request_context(headers=basic(user, password, encoding=encoding)):
        assert auth.admits(request)
        assert auth.proves(request) == auth.is_on


@given(header=st.text(st.characters(max_codepoint=255)))
def test_nothing_else_is_admitted(header: str) -> None:
    auth = BasicAuth("ls", "secret")

    with APP.test_request_context(environ_overrides={"HTTP_AUTHORIZATION": header}):
        assert not auth.admits(request)


def test_without_user_and_password_everybody_is_admitted_and_nobody_proven() -> None:
    auth = BasicAuth("", "")

    with APP.test_request_context(headers=basic("", "")):
        assert (auth.is_on, auth.admits(request), auth.proves(request)) == (False, True, False)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_the_scheme_may_be_written_in_any_case(scheme: str) -> None:
    header = basic("ls", "secret")["Authorization"].replace("Basic", scheme)

    with APP.test_request_context(headers={"Authorization": header}):
        assert BasicAuth("ls", "secret").admits(request)
