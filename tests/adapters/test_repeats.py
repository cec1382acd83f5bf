"""S-011: Idempotency-Key."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, Response, g, request

from adapters.http import answer, error_answer, word_errors
from adapters.repeats import answer_once
from adapters.transfer import read_chunks
from backend import idempotency
from backend.errors import Conflict
from backend.services import Services


class Shop:
    """An application that counts what it does."""

    def __init__(self, services: Services) -> None:
        self.num_done = 0
        self.tells_secret = False
        self.outcome: Any = None
        app = Flask("shop")
        word_errors(app)

        @app.post("/things")
        def make() -> Response:
            return answer_once(
                request,
                services.idempotency,
                "somebody",
                self._make,
                word=error_answer,
                max_bytes=1000,
                tells_secret=self.tells_secret,
            )

        self.client = app.test_client()

    def _make(self) -> Response:
        self.num_done += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        size = len(b"".join(read_chunks(request, 1000))) if "body" in g else len(request.files["f"].read())
        return answer({"number": self.num_done, "size": size}, self.outcome or 201)

    def post(self, key: str, body: bytes = b"{}", **options: Any) -> Any:
        return self.client.post("/things", data=body, headers={"Idempotency-Key": key}, **options)


@pytest.fixture
def shop(services: Services) -> Shop:
    return Shop(services)


def test_a_repeated_request_gets_the_first_answer(shop: Shop) -> None:
    first = shop.post("k1")
    again = shop.post('"k1"')

    assert first.status_code == again.status_code == 201
    assert first.get_json() == again.get_json() == {"number": 1, "size": 2}
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers


def test_another_body_under_the_same_key_is_refused(shop: Shop) -> None:
    shop.post("k1")

    assert shop.post("k1", b'{"other": 1}').get_json()["code"] == "idempotency_key_reused"
    assert shop.num_done == 1


def test_a_refusal_is_kept_and_a_fault_is_not(shop: Shop) -> None:
    shop.outcome = Conflict("not now")
    assert shop.post("refused").status_code == shop.post("refused").status_code == 409
    assert shop.num_done == 1

    shop.outcome = 503
    shop.post("fault")
    shop.outcome = None

    assert shop.post("fault").status_code == 201


def test_a_crash_leaves_the_key_free(shop: Shop) -> None:
    shop.outcome = RuntimeError("broken")
    assert shop.post("k1").status_code == 500
    shop.outcome = None

    assert shop.post("k1").status_code == 201


def test_a_secret_is_not_kept(shop: Shop) -> None:
    shop.tells_secret = True

    assert shop.post("k1").status_code == 201
    assert shop.post("k1").status_code == 409
    assert shop.num_done == 1


def test_files_are_compared_by_their_names_and_contents(shop: Shop) -> None:
    def upload(content: bytes) -> Any:
        headers = {"Idempotency-Key": "k1"}
        return shop.client.post("/things", data={"f": (io.BytesIO(content), "a.png")}, headers=headers)

    assert upload(b"abc").get_json()["size"] == 3
    assert upload(b"abc").headers["Idempotency-Replayed"] == "true"
    assert upload(b"xyz").get_json()["code"] == "idempotency_key_reused"


def test_a_key_may_be_used_again_after_a_day(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.post("k1")
    now = idempotency.utc_now()
    monkeypatch.setattr(idempotency, "utc_now", lambda: now + timedelta(hours=25))

    assert shop.post("k1", b"{} ").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "é"])
def test_a_key_that_is_none_is_refused(shop: Shop, key: str) -> None:
    assert shop.post(key).status_code == 400


def test_without_a_key_everything_is_done_each_time(shop: Shop) -> None:
    for _ in range(2):
        shop.client.post("/things", data={"f": (io.BytesIO(b"abc"), "a.png")})

    assert shop.num_done == 2
