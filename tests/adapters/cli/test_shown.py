"""How answers look to people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.cli.shown import show

PROJECT_ID = "prj_01jd3z6t9q4m8w2v5x7b1c0n3k"


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    def see(data: Any) -> list[str]:
        show(data)
        return [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]

    return see


def test_a_list_is_a_table_of_what_says_something(shown: Any) -> None:
    [head, _, row] = shown({"items": [{"id": PROJECT_ID, "name": "cats", "url": "http://x", "note": None}]})

    assert head.split() == ["Id", "Name"]
    assert row.split() == [PROJECT_ID, "cats"]


def test_a_list_of_nothing_says_so(shown: Any) -> None:
    assert shown({"items": [], "nextCursor": None, "hasMore": False}) == ["none"]


def test_what_else_a_page_holds_comes_after_its_items(shown: Any) -> None:
    assert shown({"items": [], "hasMore": False, "status": "running", "progress": 40}) == [
        "none",
        "Status    running",
        "Progress  40",
    ]


def test_ids_are_never_cut_however_narrow_it_is(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")

    assert any(PROJECT_ID in line for line in shown([{"id": PROJECT_ID, "name": "cats", "description": "x" * 60}]))


def test_an_object_is_names_and_values(shown: Any) -> None:
    assert shown({"id": PROJECT_ID, "imageCount": 3, "isOk": True, "score": 0.123456, "labels": ["a", "b"]}) == [
        f"Id           {PROJECT_ID}",
        "Image count  3",
        "Is ok        yes",
        "Score        0.1235",
        "Labels       a, b",
    ]


def test_small_objects_inside_are_beside_the_rest_and_empty_ones_are_nothing(shown: Any) -> None:
    assert shown({"splits": {"train": 1, "val": 2}, "link": {"url": None}}) == [
        "Splits train  1",
        "Splits val    2",
        "Link          –",
    ]


def test_lists_inside_are_tables_below(shown: Any) -> None:
    lines = shown({"id": "x", "labels": [{"name": "cat"}, {"name": "[dog]"}]})

    assert lines[:2] == ["Id  x", "Labels"]
    assert lines[-2:] == ["cat", "[dog]"]


def test_texts_of_several_lines_are_below_as_they_are(shown: Any) -> None:
    assert shown({"labelConfig": "<View>\n</View>", "name": "x"}) == ["Name  x", "Label config", "<View>", "</View>"]


def test_times_are_told_as_how_long_ago(shown: Any) -> None:
    moment = (datetime.now(UTC) - timedelta(minutes=3)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    assert shown({"createdAt": moment})[0].endswith("(3 min ago)")
    assert shown([{"createdAt": moment}])[-1] == "3 min ago"
