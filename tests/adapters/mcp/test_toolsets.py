from __future__ import annotations

import pytest

from adapters.mcp.toolsets import TOOLSETS, read_toolsets
from backend.errors import Invalid


def test_all_are_all_groups() -> None:
    assert read_toolsets("all") == read_toolsets("core,all") == frozenset(TOOLSETS)


def test_an_unknown_group_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(Invalid, match="no toolset 'nuclear'; there are core, runs, collab, ops, all"):
        read_toolsets("core,nuclear")
