from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.label_studio.lean_json import decode_without_masks

MASK = {"id": "a", "value": {"format": "rle", "rle": [0, 0, 255], "brushlabels": ["Nut"]}}


def body(*, tasks: Any = (), context: Any = None) -> dict[str, Any]:
    return {"tasks": list(tasks), "project": "7.1", "params": {"login": None, "context": context}}


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), None])
def test_masks_that_were_drawn_before_are_empty_and_prompts_are_whole(separators: Any) -> None:
    sent = body(tasks=[{"annotations": [{"result": [MASK, MASK]}], "drafts": [{"result": [MASK]}]}], context=[MASK])

    decoded = decode_without_masks(json.dumps(sent, separators=separators).encode())

    annotated, [drafted] = decoded["tasks"][0]["annotations"][0]["result"], decoded["tasks"][0]["drafts"][0]["result"]
    assert [item["value"]["rle"] for item in (*annotated, drafted)] == [[], [], []]
    assert annotated[0]["value"]["brushlabels"] == ["Nut"]
    assert decoded["params"]["context"] == [MASK]


@pytest.mark.parametrize(
    "value",
    [
        {"rle": []},
        {"rle": None},
        {"rle": {"rle": [1]}},
        {"rle": [[1, 2], [3]]},
        {"rle": ["a]"]},
        {"rle": [{"rle": [1]}]},
        {"text": 'the "rle": [1, 2] of a mask'},
        {'"rle': [1, 2]},
        {"rle": "0000000000000000"},
        [],
        {},
        5,
        None,
        "text",
    ],
)
def test_anything_else_is_decoded_as_it_is(value: Any) -> None:
    sent = body(context=value)

    assert decode_without_masks(json.dumps(sent).encode()) == sent
    assert decode_without_masks(json.dumps(sent, indent=1).encode()) == sent
    assert decode_without_masks(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    ['{"rle":', '{"rle":[', '{"rle":[1', '{"rle":[1}', '{"rle":]', "", '{"a": NaN}', '{"params": {"rle": [1,]}}'],
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_without_masks(text.encode())
