from __future__ import annotations

import re

import pytest

from adapters.discovery.openapi import written_path
from adapters.discovery.reference import reference
from adapters.operations import Api, Operation
from adapters.web import SPOKEN

TEXT = reference(SPOKEN, "http://localhost")
OPERATIONS = [(api, operation) for api in SPOKEN for operation in api.operations]


def section(title: str) -> str:
    return re.split(r"^##", TEXT.partition(f"### {title}\n")[2], flags=re.MULTILINE)[0]


@pytest.mark.parametrize(("api", "operation"), OPERATIONS, ids=[operation.name for _, operation in OPERATIONS])
def test_an_operation_is_told_in_full(api: Api, operation: Operation) -> None:
    told = section(f"`{operation.method} {written_path(operation.path)}`")

    assert operation.summary in told
    assert operation.description in told
    assert operation.toolless in told
    for name in filter(None, (operation.tool, *operation.scope.split(), *operation.errors)):
        assert f"`{name}`" in told
    assert not operation.command or f"`tandem {operation.command}`" in told
    for field, described in (operation.query.model_fields if operation.query else {}).items():
        assert f"`{described.alias or field}` in the query" in told
    if operation.body is not None and not operation.form:
        assert f"Body, `application/json`: {operation.body.__name__}" in told


def test_fields_say_what_they_are_and_what_they_mean() -> None:
    assert section("TrainConfigIn").splitlines()[3:5] == [
        '- `architecture`: string; default "auto". A backbone of GET /capabilities, or auto.',
        "- `epochs`: integer, or null, at least 1, at most 10000",
    ]
    assert "- `name`: string, characters ≤ 200; required" in section("LabelSetIn")
    assert "; required" not in section("LabelSetOut")


def test_every_type_that_is_named_is_told() -> None:
    told = set(re.findall(r"^### (\w+)$", TEXT, re.MULTILINE))
    named = set(re.findall(r"(?:Answers \d+: |list of |application/json`: )([A-Z]\w+)", TEXT))

    assert named
    assert named - told == set()
