"""Tests of adapters/label_studio/label_config/paths.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.label_studio.label_config.paths import join_path, split_path

PATHS = st.lists(st.text("ab/\\ \n", min_size=1), min_size=1)


@given(PATHS)
def test_a_name_gives_its_path_back(path: list[str]):
    assert split_path(join_path(path)) == path


@given(PATHS, PATHS)
def test_two_paths_have_two_names(one: list[str], other: list[str]):
    assert (join_path(one) == join_path(other)) is (one == other)
