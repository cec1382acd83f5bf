"""What may be named as a model to host; contract E.3 #2."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.hosting.target import read
from backend.errors import Invalid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my backend").mkdir()
    (tmp_path / "my backend" / "model.py").touch()
    (tmp_path / "wsgi_only").mkdir()
    (tmp_path / "wsgi_only" / "_wsgi.py").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.bin").touch()
    return tmp_path.resolve()


def test_a_file_is_served_from_its_folder(folder: Path) -> None:
    found = read("my backend/model.py:Mine", working_folder=folder)

    assert (found.folder, found.file) == (folder / "my backend", folder / "my backend" / "model.py")
    assert (found.class_name, found.module) == ("Mine", "")


def test_a_folder_has_a_model_or_an_application(folder: Path) -> None:
    assert read("my backend", working_folder=folder).file == folder / "my backend" / "model.py"
    assert read("wsgi_only", working_folder=folder).file == folder / "wsgi_only" / "_wsgi.py"


def test_a_module_is_found_from_the_working_folder(folder: Path) -> None:
    found = read("package.module:Mine", working_folder=folder)

    assert (found.folder, found.module, found.class_name) == (folder, "package.module", "Mine")


def test_the_usual_file_names_are_named_by_their_folder(folder: Path) -> None:
    assert read("my backend", working_folder=folder).name == "my-backend"
    assert read("package.module", working_folder=folder).name == "package"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("empty", "has no model.py and no _wsgi.py"),
        ("weights.bin", "is no Python file"),
        ("missing.py", "is no file, no folder and no module"),
        ("my backend:not a class", "is no name of a class"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str, sentence: str, folder: Path) -> None:
    with pytest.raises(Invalid, match=sentence):
        read(text, working_folder=folder)
