"""Whether a model is being constructed, and whose version counts when it sets one.

The template of Label Studio's ML backend sets a constant version in `setup()`. As a model is constructed for every
request, that constant would undo the version which `fit()` has stored. Where "fit wins", a constant that was there
when `fit()` stored a version no longer replaces it; a new constant does, because it means new code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..cache import SqliteCache

FITTED_KEY = "_tandem_fitted_version"
VERSION_KEY = "model_version"

_is_constructing: ContextVar[bool] = ContextVar("is_constructing", default=False)
_said_in_setup: dict[str, str] = {}
"""By project: the version that the latest construction in this process tried to set."""
_rule = {"fit wins": True}


def let_fit_win(wanted: bool) -> None:
    """Choose whether the version that `fit()` stored outlives the constant that `setup()` sets."""
    _rule["fit wins"] = wanted


@contextmanager
def constructing() -> Iterator[None]:
    """Mark the length of a construction, in this thread."""
    token = _is_constructing.set(True)
    try:
        yield
    finally:
        _is_constructing.reset(token)


def store_version(cache: SqliteCache, project_id: str, version: str) -> None:
    """Store a version that a model sets, unless it is the constant that `fit()` has replaced."""
    if not _rule["fit wins"]:
        cache[project_id, VERSION_KEY] = version
        return
    fitted = json.loads(cache[project_id, FITTED_KEY] or "null")
    if _is_constructing.get():
        _said_in_setup[project_id] = version
        if fitted and version == fitted["instead of"]:
            return
        if fitted and version != fitted["version"]:
            del cache[project_id, FITTED_KEY]
    elif (constant := _said_in_setup.get(project_id)) is not None and constant != version:
        cache[project_id, FITTED_KEY] = json.dumps({"version": version, "instead of": constant})
    cache[project_id, VERSION_KEY] = version
