from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result


def test_a_family_is_written_once(tandem: Callable[..., Result], home: Path) -> None:
    first = tandem("new", "family", "mean_colour")
    second = tandem("new", "family", "mean_colour")

    assert (home / "families" / "mean_colour.py").is_file()
    assert (first.exit_code, second.exit_code) == (0, 5)
    assert "there is a family called 'mean_colour' already" in second.output


@pytest.mark.parametrize("name", ["Mean Colour", "../evil", "image_classification", "9lives"])
def test_a_name_that_cannot_be_one_is_refused(tandem: Callable[..., Result], home: Path, name: str) -> None:
    assert tandem("new", "family", name).exit_code in (1, 5)
    assert not list(home.rglob("*.py"))
