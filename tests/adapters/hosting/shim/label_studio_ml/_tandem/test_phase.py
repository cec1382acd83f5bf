"""Whose version counts; contract E.3 #12 and C-135."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.hosting.shim.label_studio_ml._tandem import phase
from adapters.hosting.shim.label_studio_ml._tandem.phase import constructing
from adapters.hosting.shim.label_studio_ml.cache import SqliteCache
from adapters.hosting.shim.label_studio_ml.model import LabelStudioMLBase


@pytest.fixture(autouse=True)
def default_rule() -> Iterator[None]:
    yield
    phase.let_fit_win(True)


def template(constant: str) -> LabelStudioMLBase:
    """Construct a model as the official template is: its setup() sets a constant."""

    class Template(LabelStudioMLBase):
        def setup(self) -> None:
            self.set("model_version", constant)

    with constructing():
        return Template("7", label_config="<View/>")


def test_the_version_of_fit_outlives_the_constant_of_setup(store: SqliteCache) -> None:
    template("0.0.1").set("model_version", "fitted")

    assert template("0.0.1").get("model_version") == "fitted"
    assert template("0.0.1").get("model_version") == "fitted"


def test_a_second_fit_counts_too(store: SqliteCache) -> None:
    template("0.0.1").set("model_version", "fitted")
    template("0.0.1").set("model_version", "fitted again")

    assert template("0.0.1").get("model_version") == "fitted again"


def test_a_new_constant_is_new_code_and_wins(store: SqliteCache) -> None:
    template("0.0.1").set("model_version", "fitted")

    assert template("0.0.2").get("model_version") == "0.0.2"
    assert template("0.0.1").get("model_version") == "0.0.1"


def test_another_process_knows_what_fit_has_stored(store: SqliteCache, monkeypatch: pytest.MonkeyPatch) -> None:
    template("0.0.1").set("model_version", "fitted")
    monkeypatch.setattr(phase, "_said_in_setup", {})

    assert template("0.0.1").get("model_version") == "fitted"


def test_a_setup_that_reads_the_version_of_fit_is_left_alone(store: SqliteCache) -> None:
    template("0.0.1").set("model_version", "fitted")

    assert template("fitted").get("model_version") == "fitted"
    assert template("0.0.1").get("model_version") == "fitted"


def test_setup_wins_where_the_operator_says_so(store: SqliteCache) -> None:
    phase.let_fit_win(False)
    template("0.0.1").set("model_version", "fitted")

    assert template("0.0.1").get("model_version") == "0.0.1"
