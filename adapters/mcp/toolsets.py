"""Groups of tools: how many of them a client sees, since each takes room in its model's context."""

from __future__ import annotations

from backend.errors import Invalid

ALL = "all"
OF_API = {"mlp": "core", "ml_backends": "core"}
"""Which group the operations of an API are in."""
TOOLSETS = ("core", "runs", "collab", "ops")


def read_toolsets(written: str) -> frozenset[str]:
    """Return the groups that are named, separated by commas.

    >>> sorted(read_toolsets("core, runs"))
    ['core', 'runs']

    Raises:
        Invalid: There is no such group.
    """
    named = {name.strip() for name in written.split(",") if name.strip()}
    unknown = sorted(named - {*TOOLSETS, ALL})
    if unknown:
        raise Invalid(
            f"There is no toolset {unknown[0]!r}; there are {', '.join((*TOOLSETS, ALL))}.",
            code="validation_error",
            details={"fields": {"toolsets": f"unknown: {', '.join(unknown)}"}},
        )
    return frozenset(TOOLSETS if ALL in named else named)
