from __future__ import annotations

import gzip
import tracemalloc

import pytest
from flask import Flask, Response, request
from flask.testing import FlaskClient

from adapters.http import word_errors
from adapters.transfer import allow_pages, compress, preflight, read_chunks

MAX_BYTES = 100_000
PAGES = ("https://page.example",)


@pytest.fixture
def client() -> FlaskClient:
    app = Flask("transfer")
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.before_request(lambda: preflight(PAGES))
    word_errors(app)

    @app.post("/count")
    def count() -> dict[str, int]:
        return {"bytes": sum(map(len, read_chunks(request, MAX_BYTES)))}

    @app.get("/long")
    def long() -> Response:
        response = Response('{"x":"' + "y" * 5000 + '"}', mimetype="application/json")
        compress(response)
        allow_pages(response, PAGES)
        return response

    return app.test_client()


def test_a_body_at_the_cap_passes_and_one_byte_more_does_not(client: FlaskClient) -> None:
    assert client.post("/count", data=b"x" * MAX_BYTES).json == {"bytes": MAX_BYTES}

    refused = client.post("/count", data=b"x" * (MAX_BYTES + 1))

    assert refused.status_code == 413
    assert refused.json is not None
    assert refused.json["code"] == "payload_too_large"


def test_a_gzip_body_is_read_as_what_it_holds(client: FlaskClient) -> None:
    body = gzip.compress(b"x" * 5000)

    assert client.post("/count", data=body, headers={"Content-Encoding": "gzip"}).json == {"bytes": 5000}


def test_a_gzip_bomb_is_refused_at_the_cap_without_being_unpacked(client: FlaskClient) -> None:
    """S-014."""
    bomb = gzip.compress(bytes(200 * 2**20), compresslevel=1)
    client.post("/count", data=gzip.compress(b"warm"), headers={"Content-Encoding": "gzip"})
    tracemalloc.start()

    refused = client.post("/count", data=bomb[: MAX_BYTES - 1], headers={"Content-Encoding": "gzip"})
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert refused.status_code == 413
    assert peak_bytes < 2 * 2**20


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"not gzip at all", "gzip"), (gzip.compress(b"x" * 5000, mtime=0)[:-12], "gzip"), (b"x", "br")],
)
def test_a_body_that_is_not_what_its_encoding_says_is_refused(client: FlaskClient, body: bytes, encoding: str) -> None:
    assert client.post("/count", data=body, headers={"Content-Encoding": encoding}).status_code == 400


def test_a_long_answer_is_compressed_for_those_who_understand(client: FlaskClient) -> None:
    plain = client.get("/long")
    packed = client.get("/long", headers={"Accept-Encoding": "gzip"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(plain.data)
    assert gzip.decompress(packed.data) == plain.data


def test_only_pages_that_were_named_may_read_answers(client: FlaskClient) -> None:
    allowed = client.get("/long", headers={"Origin": PAGES[0]})
    other = client.get("/long", headers={"Origin": "https://other.example"})

    assert allowed.headers["Access-Control-Allow-Origin"] == PAGES[0]
    assert "Access-Control-Allow-Origin" not in other.headers
    assert client.options("/long", headers={"Origin": PAGES[0]}).status_code == 204
    assert client.options("/long", headers={"Origin": "https://other.example"}).status_code == 405
