"""One declaration, tried with an API of three things that are not stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from flask import Flask, Request, Response
from flask.testing import FlaskClient
from pydantic import BaseModel, Field

from adapters.discovery.openapi import document
from adapters.http import answer
from adapters.operations import Answered, Api, Call, Effect, Operation
from adapters.web import _observe
from backend.accounts.service import AuthSource, Principal
from backend.errors import NotFound, TandemError
from backend.services import Services
from backend.settings import Settings

PROJECT = "prj_01jd3z6t9q4m8w2v5x7b1c0n3k"
"""Some id."""


class Wish(BaseModel):
    name: str = Field(min_length=1)


class Range(BaseModel):
    limit: int = Field(10, le=20)


class Thing(BaseModel):
    name: str


class Excuse(BaseModel):
    """Why not."""

    excuse: str


class Plain:
    """Lets everybody in and wraps everything in `it`."""

    error_schema: Mapping[str, Any] = {"type": "object"}

    def describe(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": {"it": schema}}

    def admit(self, services: Services, request: Request, operation: Operation) -> Principal:
        return Principal(
            user_id="u",
            email="",
            name="",
            auth_source=AuthSource.LOCAL,
            scopes=frozenset(),
            workspace_ids=(),
        )

    def wrap(self, body: BaseModel, status: int) -> Response:
        return answer({"it": body.model_dump()}, status)

    def word(self, error: TandemError) -> Response:
        return answer({"code": error.code, **error.details}, 404 if isinstance(error, NotFound) else 400)

    def finish(self, response: Response) -> Response:
        response.headers["X-Plain"] = "yes"
        return response


def make_api() -> Api:
    api = Api("things", Plain())

    @api.operation("POST", "/things", effect=Effect.CREATE, tag="t", status=201, aliases=("/old-things",))
    def create_thing(call: Call, body: Wish) -> Thing:
        """Create a thing."""
        return Thing(name=body.name)

    @api.operation(
        "GET", "/things/<project_id>", effect=Effect.READ, tag="t", answer=Thing, also={202: Excuse, 409: Excuse}
    )
    def get_thing(call: Call, project_id: str, query: Range) -> Thing | Answered | Response:
        """Get a thing.

        Or an excuse.
        """
        if query.limit == 2:
            return Answered(Excuse(excuse="later"), 202)
        if query.limit == 3:
            return answer({"excuse": "never"}, 409)
        return Thing(name=project_id or "none")

    @api.operation("DELETE", "/things/<int:id>", effect=Effect.DELETE, tag="t", status=204)
    def delete_thing(call: Call, id: int) -> None:
        """Delete a thing."""
        if id != 1:
            raise NotFound("There is no such thing.", code="not_found", details={"id": id})

    return api


@pytest.fixture
def api() -> Api:
    return make_api()


@pytest.fixture
def things(api: Api, settings: Settings) -> Iterator[FlaskClient]:
    app = Flask("things")
    _observe(app, settings)
    app.register_error_handler(TandemError, api.dialect.word)
    with closing(Services.build(settings)) as services:
        app.register_blueprint(api.blueprint(services))
        yield app.test_client()


def test_what_a_handler_returns_is_wrapped_with_the_declared_status(things: FlaskClient) -> None:
    response = things.post("/things", json={"name": "ball"})

    assert (response.status_code, response.get_json()) == (201, {"it": {"name": "ball"}})
    assert response.headers["X-Plain"] == "yes"


def test_an_alias_does_the_same(things: FlaskClient) -> None:
    assert things.post("/old-things", json={"name": "ball"}).get_json() == {"it": {"name": "ball"}}


def test_a_handler_may_choose_another_status_or_answer_itself(things: FlaskClient) -> None:
    later, never = (things.get(f"/things/{PROJECT}?limit={limit}") for limit in (2, 3))

    assert (later.status_code, later.get_json()) == (202, {"it": {"excuse": "later"}})
    assert (never.status_code, never.get_json()) == (409, {"excuse": "never"})


def test_nothing_is_answered_without_a_body(things: FlaskClient) -> None:
    response = things.delete("/things/1")

    assert (response.status_code, response.data) == (204, b"")


def test_an_id_arrives_bare_and_is_empty_where_it_is_none(things: FlaskClient) -> None:
    told, none = (things.get(f"/things/{written}").get_json()["it"]["name"] for written in (PROJECT, "x"))

    assert (told, none) == (PROJECT.removeprefix("prj_"), "none")


def test_a_number_that_no_database_takes_is_unknown(things: FlaskClient) -> None:
    assert things.delete(f"/things/{2**80}").status_code == 404


@pytest.mark.parametrize(
    ("sent", "field"),
    [({"json": {"name": ""}}, "name"), ({"json": {}}, "name"), ({"json": [1]}, "body"), ({}, "name")],
)
def test_a_body_that_does_not_fit_is_refused_by_field(things: FlaskClient, sent: Any, field: str) -> None:
    refused = things.post("/things", **sent).get_json()

    assert refused["code"] == "validation_error"
    assert list(refused["fields"]) == [field]


def test_a_query_that_does_not_fit_is_refused_by_field(things: FlaskClient) -> None:
    assert list(things.get(f"/things/{PROJECT}?limit=21").get_json()["fields"]) == ["limit"]


def test_paths_below_the_first_segments_belong_to_an_api_and_others_do_not(api: Api) -> None:
    assert [path for path in ("/things", "/things/x/y", "/old-things", "/thing", "/") if api.covers(path)] == [
        "/things",
        "/things/x/y",
    ]


def test_a_root_is_all_that_is_below_it() -> None:
    rooted = Api("rooted", Plain(), roots=("/api/ml",))

    assert [path for path in ("/api/ml", "/api/ml/x", "/api/mlx", "/api") if rooted.covers(path)] == [
        "/api/ml",
        "/api/ml/x",
    ]


def test_a_handler_needs_a_docstring(api: Api) -> None:
    with pytest.raises(AssertionError, match="docstring"):

        @api.operation("GET", "/nothing", effect=Effect.READ, tag="t")
        def nothing(call: Call) -> None:
            pass


def test_all_answers_of_an_operation_are_described(api: Api) -> None:
    described = document([api], "http://here")

    get = described["paths"]["/things/{projectId}"]["get"]
    assert (get["summary"], get["description"]) == ("Get a thing.", "Or an excuse.")
    schemas = {
        status: get["responses"][status]["content"]["application/json"]["schema"] for status in ("200", "202", "409")
    }
    assert schemas["200"] == {"type": "object", "properties": {"it": {"$ref": "#/components/schemas/Thing"}}}
    assert schemas["202"] == {"type": "object", "properties": {"it": {"$ref": "#/components/schemas/Excuse"}}}
    assert schemas["409"] == {"$ref": "#/components/schemas/Excuse"}
    [number] = described["paths"]["/things/{id}"]["delete"]["parameters"]
    assert number["schema"]["type"] == "integer"
    assert {"/things", "/old-things"} <= described["paths"].keys()
