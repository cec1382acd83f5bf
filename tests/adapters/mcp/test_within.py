from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request, send_file

from adapters.mcp.within import Within
from adapters.verbs import Asked


def make_app(seen: list[Any]) -> Flask:
    app = Flask("test")

    @app.post("/outer")
    def outer() -> Response:
        g.mine = "outer"
        reply = Within(app.wsgi_app, request.environ)(
            Asked("PUT", "/inner/caf%C3%A9?a=1", {"b": "ü"}), {"X-Said": "yes"}
        )
        seen.append(reply)
        return Response(g.mine)

    @app.put("/inner/<name>")
    def inner(name: str) -> tuple[dict[str, Any], int]:
        g.setdefault("mine", "inner")
        seen.append(g.mine)
        return {
            "name": name,
            "query": request.args.to_dict(),
            "body": request.get_json(),
            "said": request.headers["X-Said"],
            "cookie": request.headers.get("Cookie"),
            "url": request.host_url,
            "from": request.remote_addr,
        }, 201

    @app.get("/file")
    def file() -> Response:
        return send_file(__file__, mimetype="text/x-python")

    return app


def test_a_request_within_another_one_comes_from_the_same_place_and_shares_nothing_else() -> None:
    seen: list[Any] = []
    client = make_app(seen).test_client()
    client.set_cookie("session", "x")

    told = client.post("/outer", base_url="https://box:9090", environ_base={"REMOTE_ADDR": "10.1.2.3"})

    mine, reply = seen
    assert (told.get_data(as_text=True), mine) == ("outer", "inner")
    assert (reply.status, reply.headers["content-type"]) == (201, "application/json")
    assert json.loads(reply.body) == {
        "name": "café",
        "query": {"a": "1"},
        "body": {"b": "ü"},
        "said": "yes",
        "cookie": None,
        "url": "https://box:9090/",
        "from": "10.1.2.3",
    }


def test_a_file_is_read_to_its_end() -> None:
    app = make_app([])

    with app.test_request_context() as context:
        reply = Within(app.wsgi_app, context.request.environ)(Asked("GET", "/file"), {})

    assert reply.body == Path(__file__).read_bytes()
