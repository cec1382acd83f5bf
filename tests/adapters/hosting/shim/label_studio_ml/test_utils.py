"""Small functions that models import; contract E.1."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from adapters.hosting.shim.label_studio_ml import utils

PARSED = {
    "mood": {"type": "Choices", "to_name": ["t"], "inputs": [{"type": "Text", "value": "text"}], "labels": ["a", "b"]}
}


def test_an_image_is_as_large_as_people_see_it(tmp_path: Path) -> None:
    """C-036."""
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90°
    Image.new("RGB", (40, 20)).save(tmp_path / "rotated.jpg", exif=exif)

    assert utils.get_image_size(tmp_path / "rotated.jpg") == (20, 40)


def test_keys_of_a_config_are_found() -> None:
    assert utils.get_single_tag_keys(PARSED, "Choices", "Text") == ("mood", "t", "text", ["a", "b"])
    assert utils.get_first_tag_keys(PARSED, "Choices", "Text") == ("mood", PARSED["mood"])
    assert utils.get_first_tag_keys(PARSED, "Choices", "Image") == (None, None)
    with pytest.raises(AssertionError):
        utils.get_single_tag_keys(PARSED, "Labels", "Text")


def test_the_value_that_was_not_used_for_longest_goes_first() -> None:
    cache = utils.InMemoryLRUDictCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)

    assert ("a" in cache, "b" in cache, cache.get("b")) == (True, False, None)


def test_lines_are_matched_to_the_most_similar_label() -> None:
    assert utils.match_labels("sport\ntech", ["technology", "sports"]) == ["sports", "technology"]


@pytest.mark.parametrize(
    ("text", "is_file"),
    [
        ("upload/1.jpg", True),
        ("/data/local-files/?d=a.txt", True),
        ("s3://bucket/key", True),
        ("https://host/a.txt", True),
        ("/data/elsewhere", False),
        ("just words", False),
        ("http://[broken", False),
    ],
)
def test_texts_that_stand_for_files_are_told(text: str, is_file: bool) -> None:
    assert utils.is_preload_needed(text) is is_file


def test_nested_values_are_compared_with_some_tolerance() -> None:
    utils.compare_nested_structures({"a": [1.00001, "x"]}, {"a": [1.0, "x"]})
    with pytest.raises(AssertionError, match=r"Mismatch at .a\[0\]"):
        utils.compare_nested_structures({"a": [1.1]}, {"a": [1.0]})


def test_skipped_tasks_and_their_choices_are_read() -> None:
    task = {"annotations": [{"was_cancelled": True, "result": [{"value": {"choices": ["a"]}}]}]}

    assert utils.is_skipped(task)
    assert utils.get_choice(task) == "a"
