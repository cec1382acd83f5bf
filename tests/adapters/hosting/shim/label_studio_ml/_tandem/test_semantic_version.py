"""Versions that models compare and raise; contract E.1."""

from __future__ import annotations

import json

import pytest

from adapters.hosting.shim.label_studio_ml._tandem.semantic_version import Version


def test_numbers_order_versions() -> None:
    assert Version("0.10.0") > Version("0.9.9") >= Version("0.9.9") > Version("0.9.9-rc.1")
    assert Version("1.0.0") < Version("2.0.0") <= Version("2.0.0")


def test_raising_a_number_resets_those_behind_it() -> None:
    version = Version.parse("1.2.3")

    assert (version.bump_major(), version.bump_minor(), version.bump_patch()) == ("2.0.0", "1.3.0", "1.2.4")


def test_json_holds_it() -> None:
    assert json.dumps(Version("1.2.3+x")) == '"1.2.3+x"'


@pytest.mark.parametrize("text", ["1.2", "v1.2.3", "01.2.3", "yolo", ""])
def test_other_texts_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="no semantic version"):
        Version(text)
