"""Bodies that make no sense, on every route that takes one: a clear 4xx, never a 500, and nothing is lost."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from builders import CONFIG, POSTS, PROJECT, predict_body, task
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.projects.service import Mirror
from backend.settings import Settings
from backend.versions.registry import ModelVersion

MakeClient = Callable[..., FlaskClient]
NESTED = 100_000


# --- Bodies ----------------------------------------------------------------------------------------------------------


def test_bodies_of_256_mib_are_accepted_by_default() -> None:
    """C-004; the limit itself is tested with a smaller one."""
    assert Settings(home="/nowhere").max_body_bytes >= 256 * 2**20


def test_a_body_over_the_limit_is_413(make_client: MakeClient) -> None:
    """C-004."""
    client = make_client(max_body_bytes=2000)

    for path in POSTS:
        response = client.post(f"/{path}", data=b'{"a":"' + b"x" * 2000 + b'"}', content_type="application/json")
        assert response.status_code == 413, path
        assert response.get_json()["code"] == "body_too_large"
    assert client.get("/health").status_code == 200


def test_a_compressed_body_is_not_unpacked(make_client: MakeClient) -> None:
    """agent-surface 12.14: Label Studio never sends one, and what is not unpacked cannot blow up."""
    bomb = gzip.compress(b'{"action": "X"}'.ljust(50 * 2**20))

    response = make_client(max_body_bytes=2**17).post("/webhook", data=bomb, headers={"Content-Encoding": "gzip"})

    assert response.status_code == 400


def test_a_body_at_the_limit_is_read(make_client: MakeClient) -> None:
    body = json.dumps({"action": "X"}).encode().ljust(2000)

    assert make_client(max_body_bytes=2000).post("/webhook", data=body).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1} x',
        b"\xff\xfe\xfa",
        b'{"a": "\xe9"}',
        b'{"project": NaN}',
        b'{"tasks": [Infinity]}',
        b"[" + b"9" * 5000 + b"]",
        b"[" * NESTED,
        b'{"a":' * NESTED + b"1" + b"}" * NESTED,
    ],
    ids=["empty", "cut", "quotes", "more", "bytes", "latin1", "nan", "infinity", "digits", "lists", "objects"],
)
def test_what_is_not_json_is_400(client: FlaskClient, body: bytes) -> None:
    """C-009."""
    for path in POSTS:
        response = client.post(f"/{path}", data=body, content_type="application/json")
        assert response.status_code == 400, path
        assert response.get_json()["code"] == "body_invalid"


@pytest.mark.parametrize("body", [None, True, 1, "text", [], [{}], {}], ids=repr)
def test_json_of_the_wrong_shape_is_400(client: FlaskClient, body: object) -> None:
    for path in POSTS.keys() - ({"versions"} if body == {} else set()):
        assert client.post(f"/{path}", data=json.dumps(body)).status_code == 400, path


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_json_is_read_whatever_its_content_type_says(
    client: FlaskClient, version: ModelVersion, content_type: str
) -> None:
    """C-010."""
    body = json.dumps(predict_body(task(1)))

    response = client.post("/predict", data=body, content_type=content_type)

    assert [entry["model_version"] for entry in response.get_json()["results"]] == [version.name]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("nested", ["[{}]", '{{"a":{}}}'])
def test_a_body_of_any_depth_is_read_or_refused(client: FlaskClient, mirror: Mirror, path: str, nested: str) -> None:
    """Where Python's stack ends depends on who called, so all depths near its end are tried."""
    opening, closing = nested.format("|").split("|")
    for depth in (90, 110, *range(850, 1000, 10)):
        for name in POSTS[path]:
            body = json.dumps({**POSTS[path], name: "@"}).replace('"@"', opening * depth + closing * depth)
            assert client.post(f"/{path}", data=body).status_code < 500, f"{name} nested {depth} deep"


def test_a_client_that_accepts_no_compression_gets_none(client: FlaskClient) -> None:
    """C-007."""
    assert "Content-Encoding" not in client.get("/versions").headers


# --- Any JSON at all -------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=20) | st.sampled_from(
    ["\ud800", "a\0b", "\r\n", PROJECT, CONFIG, "START_TRAINING", "http://[", "2" * 400]
)
NUMBERS = (
    st.integers()
    | st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400])
    | st.floats(allow_nan=False, allow_infinity=False)
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "data", "img", "result", "context", "a\0"]) | TEXTS, inside, max_size=3
        )
    ),
    max_leaves=8,
)
PLACES = [
    (path, place) for path, body in POSTS.items() for place in [*[(name,) for name in body], ("?",)]
] + [
    ("predict", ("tasks", 1)),
    ("predict", ("tasks", 1, "id")),
    ("predict", ("tasks", 1, "data")),
    ("predict", ("tasks", 1, "data", "img")),
    ("predict", ("params", "context")),
    ("predict", ("params", "login")),
    ("webhook", ("project", "id")),
    ("webhook", ("project", "created_at")),
    ("webhook", ("project", "label_config")),
    ("webhook", ("annotation", "id")),
    ("train", ("annotations", 0, "id")),
    ("train", ("annotations", 0, "annotations", 0)),
    ("train", ("annotations", 0, "annotations", 0, "updated_at")),
]  # fmt: skip


@given(place=st.sampled_from(PLACES), value=ANY_JSON)
@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_json_at_any_place_is_a_server_error(
    client: FlaskClient, version: ModelVersion, place: tuple[str, tuple[Any, ...]], value: Any
) -> None:
    """Bad input: 0 answers of 500, and /predict keeps its promise of N results."""
    path, steps = place
    body = json.loads(json.dumps(POSTS[path]))
    inner = body
    for step in steps[:-1]:
        inner = inner[step]
    inner[steps[-1]] = value

    response = client.post(f"/{path}", data=json.dumps(body))

    assert response.status_code < 500, response.get_json()
    assert response.mimetype == "application/json"
    if path == "predict" and response.status_code == 200 and steps[0] == "tasks" and len(steps) > 1:
        first, second = response.get_json()["results"]
        assert first["result"][0]["value"] == {"choices": ["red"]}
        assert isinstance(second["result"], list)


@given(path=st.sampled_from([*POSTS]), value=ANY_JSON)
@hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_json_is_a_server_error(client: FlaskClient, mirror: Mirror, path: str, value: Any) -> None:
    response = client.post(f"/{path}", data=json.dumps(value))

    assert response.status_code < 500, response.get_json()


@pytest.mark.parametrize("text", ["\ud800", "a\0b"], ids=["surrogate", "NUL"])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("setup", "hostname"),
        ("setup", "access_token"),
        ("setup", "schema"),
        ("job_status", "job"),
        ("validate", "config"),
    ],
)
def test_text_that_no_database_keeps_is_400(client: FlaskClient, path: str, field: str, text: str) -> None:
    response = client.post(f"/{path}", data=json.dumps({**POSTS[path], field: text}))

    assert response.status_code == 400
