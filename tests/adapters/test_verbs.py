"""That tools and commands have flat arguments, and come to the requests that HTTP has."""

from __future__ import annotations

from collections import Counter

import pytest

from adapters.verbs import Asked, Place, Verb, verbs
from adapters.web import SPOKEN
from backend.errors import Invalid

VERBS = verbs(SPOKEN)
BY_TOOL = {verb.tool: verb for verb in VERBS if verb.tool}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.command)
def test_no_two_arguments_have_the_same_name(verb: Verb) -> None:
    assert [name for name, count in Counter(each.name for each in verb.arguments).items() if count > 1] == []


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.command)
def test_every_definition_that_is_referred_to_is_there(verb: Verb) -> None:
    def referred(node: object) -> set[str]:
        if isinstance(node, dict):
            here = {node["$ref"].removeprefix("#/$defs/")} if isinstance(node.get("$ref"), str) else set()
            return here.union(*map(referred, node.values()))
        return set().union(*map(referred, node)) if isinstance(node, list) else set()

    schemas = [dict(each.schema) for each in verb.arguments] + list(verb.definitions.values())

    assert referred(schemas) <= set(verb.definitions)


@pytest.mark.parametrize(
    ("tool", "given", "asked"),
    [
        ("get-me", {}, Asked("GET", "/me")),
        ("get-project", {"projectId": "prj_1 x?", "unknown": 1}, Asked("GET", "/projects/prj_1%20x%3F")),
        ("list-images", {"projectId": "p", "labeled": True}, Asked("GET", "/projects/p/images?labeled=true")),
        ("create-project", {"name": "cats"}, Asked("POST", "/projects", {"name": "cats"})),
        ("update-image", {"imageId": "i", "split": None}, Asked("PATCH", "/images/i", {"split": None})),
        ("start-training", {"trainingId": "t"}, Asked("POST", "/training/t/start")),
        (
            "promote-model",
            {"labelSetId": "l", "activeTrainingId": "t", "name": "not taken"},
            Asked("PATCH", "/label-sets/l", {"activeTrainingId": "t"}),
        ),
        ("add-ml-backend", {"body": {"url": "self"}}, Asked("POST", "/api/ml", {"url": "self"})),
        ("create-predictions-all-tasks", {"id": 3, "batch_size": 5}, Asked("POST", "/api/ml/3/predict?batch_size=5")),
        ("import-annotations", {"labelSetId": "l", "format": "coco"},
         Asked("POST", "/label-sets/l/annotations/import", {"format": "coco"})),
    ],
)  # fmt: skip
def test_arguments_come_to_a_request(tool: str, given: dict[str, object], asked: Asked) -> None:
    assert BY_TOOL[tool].ask(given) == asked


def test_a_missing_part_of_the_path_is_named() -> None:
    with pytest.raises(Invalid, match="projectId is missing") as raised:
        BY_TOOL["get-project"].ask({})

    assert raised.value.details == {"fields": {"projectId": "Field required"}}


def test_an_argument_cannot_reach_another_path() -> None:
    with pytest.raises(Invalid, match="projectId is no id"):
        BY_TOOL["get-project"].ask({"projectId": "prj_1/images"})


def test_a_shortcut_needs_all_that_it_takes() -> None:
    arguments = BY_TOOL["promote-model"].arguments

    assert [(each.name, each.place, each.is_required) for each in arguments] == [
        ("labelSetId", Place.PATH, True),
        ("activeTrainingId", Place.BODY, True),
    ]
