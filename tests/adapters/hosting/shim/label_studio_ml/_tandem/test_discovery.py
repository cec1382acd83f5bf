"""Which class a file serves, and of which generation it is; contract E.3 #1, #2."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.hosting.shim.label_studio_ml._tandem.discovery import (
    DiscoveryError,
    Target,
    find_class,
    generation,
    learns,
)
from adapters.hosting.shim.label_studio_ml.cache import SqliteCache
from adapters.hosting.shim.label_studio_ml.helpers import LabelStudioMLChoices
from adapters.hosting.shim.label_studio_ml.model import LabelStudioMLBase

PACKAGE = "adapters.hosting.shim.label_studio_ml"
IMPORT = f"from {PACKAGE}.model import LabelStudioMLBase\n"

pytestmark = pytest.mark.usefixtures("store", "clean_modules")


def written(folder: Path, source: str, name: str = "model_of_test.py") -> Target:
    (folder / name).write_text(source)
    sys.path.insert(0, str(folder))
    return Target(str(folder), file=str(folder / name))


def test_the_only_class_is_found_beside_those_it_imports_and_inherits(tmp_path: Path) -> None:
    written(tmp_path, f"{IMPORT}class Imported(LabelStudioMLBase): pass", "other_of_test.py")
    source = "from other_of_test import *\nclass Middle(Imported): pass\nclass Mine(Middle): pass"

    assert find_class(written(tmp_path, source)).__name__ == "Mine"


def test_a_file_that_only_imports_a_class_serves_it(tmp_path: Path) -> None:
    written(tmp_path, f"{IMPORT}class Imported(LabelStudioMLBase): pass", "other_of_test.py")

    assert find_class(written(tmp_path, "from other_of_test import Imported")).__name__ == "Imported"


def test_several_classes_are_asked_about_unless_one_is_named(tmp_path: Path) -> None:
    target = written(tmp_path, f"{IMPORT}class A(LabelStudioMLBase): pass\nclass B(LabelStudioMLBase): pass")

    with pytest.raises(DiscoveryError, match=r"has 2 model classes \(A, B\); say which one: model_of_test.py:A"):
        find_class(target)
    assert find_class(Target(target.folder, file=target.file, class_name="B")).__name__ == "B"
    with pytest.raises(DiscoveryError, match="has no C"):
        find_class(Target(target.folder, file=target.file, class_name="C"))


def test_an_application_beside_several_classes_says_which_one(tmp_path: Path) -> None:
    (tmp_path / "_wsgi.py").write_text(
        f"from {PACKAGE}.api import init_app\nfrom model_of_test import B\napp = init_app(model_class=B)"
    )
    source = f"{IMPORT}class A(LabelStudioMLBase): pass\nclass B(LabelStudioMLBase): pass"

    assert find_class(written(tmp_path, source)).__name__ == "B"


def test_a_file_without_a_class_is_refused_unless_it_registers_a_function(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="no class that inherits LabelStudioMLBase"):
        find_class(written(tmp_path, "class Other: pass"))

    source = f"from {PACKAGE}.model import predict_fn\n@predict_fn\ndef predict(tasks, context, helper): pass"
    assert find_class(written(tmp_path, source, "functions_of_test.py")) is LabelStudioMLBase


def test_a_file_may_have_the_name_of_a_known_module(tmp_path: Path) -> None:
    target = written(tmp_path, f"{IMPORT}class Mine(LabelStudioMLBase): pass", "json.py")

    assert find_class(target).__name__ == "Mine"


class _Second(LabelStudioMLBase):
    def fit(self, event: str, data: Any, **kwargs: Any) -> Any: ...


class _FirstByFit(LabelStudioMLBase):
    def fit(self, completions: Any, workdir: str | None = None, **kwargs: Any) -> Any: ...  # type: ignore[override]


class _FirstByConstructor(LabelStudioMLBase):
    def __init__(self, label_config: Any = None, train_output: Any = None, **kwargs: Any) -> None: ...


class _FirstByUse(LabelStudioMLBase):
    def predict(self, tasks: Any, context: Any = None, **kwargs: Any) -> Any:
        return self.train_output


class _SecondByDefault(LabelStudioMLBase):
    def predict(self, tasks: Any, context: Any = None, **kwargs: Any) -> Any: ...


@pytest.mark.parametrize(
    ("model_class", "number"),
    [
        (_Second, 2),
        (_SecondByDefault, 2),
        (LabelStudioMLBase, 2),
        (_FirstByFit, 1),
        (_FirstByConstructor, 1),
        (_FirstByUse, 1),
        (LabelStudioMLChoices, 1),
    ],
)
def test_a_generation_is_told_by_what_a_class_takes_and_uses(model_class: type[LabelStudioMLBase], number: int) -> None:
    assert generation(model_class) == number


def test_a_class_without_fit_learns_nothing(store: SqliteCache) -> None:
    assert learns(_Second)
    assert not learns(_SecondByDefault)
