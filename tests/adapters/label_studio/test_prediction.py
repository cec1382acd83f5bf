"""Tests of adapters/label_studio/prediction.py: what an object shows becomes an item to predict."""

from __future__ import annotations

import hashlib
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from label_studio_results import IMAGE, TEXT, binding, tool, view

from adapters.label_studio.media import Media, MediaFile
from adapters.label_studio.prediction import fetch, overlapped
from adapters.label_studio.wire import PredictParams, Task
from backend.errors import TandemError
from backend.inference.service import Item


class OneFile:
    """Media that fetches the same file for every address."""

    def __init__(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self.file = MediaFile(path, hashlib.sha256(content).hexdigest())

    def fetch(self, _uri: str, **_options: object) -> MediaFile:
        return self.file


def fetched(shown: str, to_name: str, data: dict[str, Any], media: OneFile) -> Item | TandemError:
    asked = binding(view(tool("Rating", labels="", to_name=to_name), shown=shown))
    return fetch(asked, Task(id=1, data=data), cast(Media, media), PredictParams())


@pytest.mark.parametrize(
    ("shown", "value", "text"),
    [
        (TEXT, "Alice 😀", "Alice 😀"),
        (TEXT, "", ""),
        ('<HyperText name="story" value="$text"/>', "<p>Hi</p>", "Hi"),
        ('<HyperText name="story" value="$text" valueType="url"/>', "https://example.org/a.html", "From afar"),
        ('<Paragraphs name="story" value="$text"/>', [{"author": "Ann", "text": "Hi."}], "Ann: Hi."),
    ],
)
def test_a_text_is_predicted_as_it_is_shown(tmp_path: Path, shown: str, value: object, text: str) -> None:
    item = fetched(shown, "story", {"text": value}, OneFile(tmp_path / "a", b"<p>From <i>afar</i></p>"))

    assert item == Item(hashlib.sha256(text.encode()).hexdigest(), text.encode())


def test_an_image_is_predicted_from_its_file(tmp_path: Path) -> None:
    media = OneFile(tmp_path / "a", b"pixels")

    assert fetched(IMAGE, "photo", {"img": "https://example.org/a.png"}, media) == Item(
        media.file.sha256, media.file.path
    )


@pytest.mark.parametrize(
    ("shown", "data", "words"),
    [
        (IMAGE, {}, "nothing to look at under 'img'"),
        (IMAGE, {"img": 5}, "nothing to look at"),
        (TEXT, {}, "nothing to look at under 'text'"),
        ('<Text name="story" value="$text" valueType="url"/>', {"text": "https://example.org/a"}, "not UTF-8"),
    ],
)
def test_a_task_without_anything_to_read_says_so(tmp_path: Path, shown: str, data: dict[str, Any], words: str) -> None:
    fault = fetched(shown, "photo" if shown == IMAGE else "story", data, OneFile(tmp_path / "a", b"\xff\x00"))

    assert isinstance(fault, TandemError)
    assert words in fault.message


class TestOverlapped:
    def test_the_second_piece_is_begun_before_the_first_is_done_and_comes_after_it(self) -> None:
        second_began = threading.Event()

        def first() -> str:
            assert second_began.wait(10)
            return "first"

        def second() -> str:
            second_began.set()
            return "second"

        assert list(overlapped([first, second])) == ["first", "second"]

    def test_who_stops_asking_leaves_the_rest_undone(self) -> None:
        begun: list[int] = []
        leave = threading.Event()

        def slow() -> None:
            begun.append(1)
            assert leave.wait(10)

        with closing(overlapped([lambda: None, *[slow] * 20])) as done:
            next(done)
            threading.Timer(0.1, leave.set).start()

        assert len(begun) <= 2

    def test_an_error_of_one_piece_comes_in_its_turn(self) -> None:
        def fail() -> str:
            raise ValueError("broken")

        done = overlapped([lambda: "good", fail])

        assert next(done) == "good"
        with pytest.raises(ValueError, match="broken"):
            next(done)
