"""How are places in a taxonomy written: one item with a path from the root for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.label_studio.label_config.paths import join_path, split_path
from models.regions import Choice, Region


def encode(regions: Sequence[Region]) -> dict[str, Any]:
    """Return the `value` of an item.

    >>> encode([Choice("Animal/Cat", 0.75), Choice("Plant", 0.25)])
    {'taxonomy': [['Animal', 'Cat'], ['Plant']]}
    """
    return {"taxonomy": [split_path(region.label) for region in regions]}


def decode(value: Mapping[str, Any]) -> list[Region]:
    """Read one item's `value`."""
    paths = value.get("taxonomy")
    return [
        Choice(join_path(path))
        for path in (paths if isinstance(paths, list) else [])
        if isinstance(path, list) and path and all(isinstance(step, str) for step in path)
    ]
