"""That replies of all dialects become data, or problems of one kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.replies import Problem, Reply, read


def reply(status: int, said: Any) -> Reply:
    return Reply(status, {"x-request-id": "R"}, json.dumps(said).encode())


@pytest.mark.parametrize(
    ("said", "data"),
    [
        ({"ok": True, "data": {"id": "prj_1"}, "requestId": "R"}, {"id": "prj_1"}),
        ([{"id": 1}], [{"id": 1}]),
        ({"ok": True}, {"ok": True}),
    ],
)
def test_data_comes_without_its_envelope(said: Any, data: Any) -> None:
    assert read(reply(200, said)) == data


def test_nothing_is_nothing() -> None:
    assert read(Reply(204, {}, b"")) is None


@pytest.mark.parametrize(
    ("status", "said", "code", "message", "details"),
    [
        (
            409,
            {"ok": False, "error": {"code": "INVALID_STATE", "message": "It runs.", "details": {"a": 1}}},
            "INVALID_STATE",
            "It runs.",
            {"a": 1},
        ),
        (
            400,
            {"detail": "Validation error", "validation_errors": {"url": ["Enter a URL."]}},
            "VALIDATION_ERROR",
            "url: Enter a URL.",
            {"fields": {"url": "Enter a URL."}},
        ),
        (409, {"detail": "No model yet.", "code": "MODEL_NOT_READY"}, "MODEL_NOT_READY", "No model yet.", {}),
        (404, {"detail": "Not found."}, "NOT_FOUND", "Not found.", {}),
        (500, "Training error: too few", "INTERNAL", "Training error: too few", {}),
        (418, {"tea": 1}, "FORBIDDEN", "The server answered 418.", {}),
    ],
)
def test_a_refusal_is_a_problem(status: int, said: Any, code: str, message: str, details: dict[str, Any]) -> None:
    with pytest.raises(Problem) as raised:
        read(reply(status, said))

    assert raised.value.described == {
        "ok": False,
        "error": {"code": code, "message": message, "details": details},
        "status": status,
        "requestId": "R",
    }


def test_what_is_no_json_is_a_problem_too() -> None:
    with pytest.raises(Problem, match="answered 502"):
        read(Reply(502, {}, b"<html>"))
