"""Which images to learn from, said at a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pictures import photo
from terminals import Terminal


@pytest.fixture
def images(terminal: Terminal, tmp_path: Path) -> list[str]:
    """Ten images of a project called toys."""
    terminal.ok("projects", "create", "--name", "toys")
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(photo(number, width_px=4, height_px=4))
    return [image["id"] for image in terminal.data("images", "upload", "toys", tmp_path)["images"]]


def test_images_are_shared_out_by_chance(terminal: Terminal, images: list[str]) -> None:
    arguments = ("splits", "set", "toys", "--train", ".6", "--val", ".2", "--test", ".2", "--seed", "3")

    assert terminal.ok(*arguments) == "train 6  val 2  test 2  unassigned 0\n"


def test_without_shares_the_usual_ones_count(terminal: Terminal, images: list[str]) -> None:
    told = terminal.data("splits", "set", "toys")

    assert told == {"train": 8, "val": 1, "test": 1, "unassigned": 0}


def test_what_is_in_a_split_stays_there_unless_said_otherwise(terminal: Terminal, images: list[str]) -> None:
    terminal.ok("splits", "set", "toys", "--train", "1")

    assert terminal.data("splits", "set", "toys", "--test", "1")["train"] == 10
    assert terminal.data("splits", "set", "toys", "--test", "1", "--no-only-unassigned")["test"] == 10


def test_images_are_put_into_splits_by_name(terminal: Terminal, images: list[str], tmp_path: Path) -> None:
    (tmp_path / "assign.json").write_text(json.dumps({"val": images[:2], "test": images[2:3]}))

    told = terminal.data("splits", "set", "toys", "--assign", f"@{tmp_path}/assign.json")

    assert told == {"train": 0, "val": 2, "test": 1, "unassigned": 7}


def test_shares_that_do_not_sum_to_one_are_refused(terminal: Terminal, images: list[str]) -> None:
    result = terminal.tandem("splits", "set", "toys", "--train", ".7")

    assert result.exit_code == 1
    assert "sum to 1" in result.stderr
