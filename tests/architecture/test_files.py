"""What every file of the project has, and how long it may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for name in ("adapters", "backend", "models") for path in (ROOT / name).rglob("*.py"))
MAX_LINES = 400


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_says_what_it_answers(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)), "the first docstring line is the question that the module answers"


def test_a_tested_module_is_where_its_test_says() -> None:
    """tests/backend/x/test_y.py, or test_y_of_some_kind.py, tests backend/x/y.py or the package backend/x/y/."""
    lost = []
    for package in ("adapters", "backend", "models"):
        for test in (ROOT / "tests" / package).rglob("test_*.py"):
            folder = ROOT / test.parent.relative_to(ROOT / "tests")
            words = test.stem.split("_")[1:]
            tested = ["_".join(words[:end]) for end in range(1, len(words) + 1)]
            if not any((folder / name).is_dir() or (folder / f"{name}.py").is_file() for name in tested):
                lost.append(str(test.relative_to(ROOT)))

    assert lost == []


def test_what_changed_for_users_is_written_down() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()
