"""Tests of adapters/label_studio/texts.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_studio_results import binding, tool, view

from adapters.label_studio import texts
from adapters.label_studio.label_config import Binding
from models.texts import BadText


def asked(tag: str, attributes: str = "") -> Binding:
    shown = f'<{tag} name="story" value="$text" {attributes}/>'
    return binding(view(tool("Rating", labels="", to_name="story"), shown=shown))


class TestPlainText:
    @pytest.mark.parametrize(
        ("shown", "text"),
        [
            ("Hi  <b>you</b>", "Hi  <b>you</b>"),
            ("", ""),
            (5, "5"),
            (2.5, "2.5"),
            (None, None),
            (True, None),
            ({}, None),
        ],
    )
    def test_a_text_is_what_the_data_has(self, shown: object, text: str | None):
        assert texts.find(asked("Text"), shown) == text

    def test_an_address_has_to_be_fetched(self, tmp_path: Path):
        (file := tmp_path / "story.txt").write_text("Söme story", encoding="utf-8")
        story = asked("Text", 'valueType="url"')

        assert texts.find(story, "https://example.org/story.txt") is None
        assert texts.read(story, file) == "Söme story"

    def test_an_address_in_a_text_that_is_no_address_is_text(self):
        assert texts.find(asked("Text"), "https://example.org") == "https://example.org"

    def test_a_file_that_is_no_text_is_refused(self):
        with pytest.raises(BadText):
            texts.read(asked("Text", 'valueType="url"'), b"\xff\xfe\x00")


class TestHyperText:
    @pytest.mark.parametrize(
        ("html", "text"),
        [
            ("<p>Fish &amp; <b>chi</b>ps&nbsp;!</p>", "Fish & chips !"),
            ("one<br/>two<hr>three", "one\ntwo\nthree"),
            ("<ul><li>a</li> <li>b</li></ul>", "a\nb"),
            ("<html><head><title>no</title></head><body>yes<!-- no --></body></html>", "yes"),
            ("<style>p {}</style>a<script>if (a < b) {}</script>b", "ab"),
            ("  a\n\n  b ", "a b"),
            ("a < b", "a < b"),
            ("<p>never <i>closed", "never closed"),
            ("", ""),
        ],
    )
    def test_the_text_is_what_a_browser_shows(self, html: str, text: str):
        assert texts.find(asked("HyperText"), html) == text

    def test_a_fetched_page_is_read_like_any(self):
        assert texts.read(asked("HyperText", 'valueType="url"'), b"<p>Hi</p>") == "Hi"

    @given(st.text("<>/!-&;#x20apbrscipt \n\0"))
    def test_whatever_the_html_there_is_a_text(self, html: str):
        assert "\0" not in texts.visible_text(html)


class TestParagraphs:
    DIALOGUE = ({"author": "Ann", "text": "Hi."}, {"text": "Hello."}, "Bye.", None, {"author": "Bob"})
    SAID = "Ann: Hi.\nHello.\nBye.\nBob"

    def test_a_dialogue_is_one_phrase_a_line(self):
        assert texts.find(asked("Paragraphs"), list(self.DIALOGUE)) == self.SAID

    def test_a_dialogue_may_be_written_as_json_and_fetched(self):
        written = json.dumps(self.DIALOGUE)

        assert texts.find(asked("Paragraphs"), written) == self.SAID
        assert texts.read(asked("Paragraphs", 'valueType="url"'), written.encode()) == self.SAID

    def test_the_config_names_the_keys(self):
        dialogue = [{"who": "Ann", "what": "Hi."}]

        assert texts.find(asked("Paragraphs", 'nameKey="who" textKey="what"'), dialogue) == "Ann: Hi."

    @pytest.mark.parametrize("shown", ["Hi there.", "{}", "[" * 10_000])
    def test_what_is_no_dialogue_is_taken_as_it_is(self, shown: str):
        assert texts.find(asked("Paragraphs"), shown) == shown
