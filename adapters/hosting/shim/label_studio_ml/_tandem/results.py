"""What `predict` returned, whatever its form, as one plain JSON entry for each task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date
from enum import Enum
from typing import Any

from pydantic import BaseModel


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: NumPy and torch numbers as numbers, NaN and Infinity as null.

    >>> plain({"x": (1.5, float("nan")), 2: None})
    {'x': [1.5, None], '2': None}
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, date):
        return value.isoformat()
    if callable(getattr(value, "tolist", None)):  # NumPy and torch: scalars and arrays
        return plain(value.tolist())
    if callable(getattr(value, "_dict", None)):  # the SDK's Region
        return plain(value._dict())
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    return str(value)


def entries(response: Any, version: str | None) -> list[Any]:
    """Return the entries of a response, each a prediction or a list of predictions of one task.

    Args:
        response: A ModelResponse, a dict with `predictions`, one prediction, a list, anything iterable, or None.
        version: For predictions that have none.
    """
    if isinstance(response, BaseModel):
        response = response.model_dump()
    if isinstance(response, Mapping):
        version = _version(response.get("model_version")) or version
        response = response.get("predictions", [response])
    elif isinstance(response, str | bytes):
        raise TypeError(f"predict returned a {type(response).__name__}; a list of predictions is expected")
    return [_entry(entry, version) for entry in ([] if response is None else response)]


def empty(version: str | None) -> dict[str, Any]:
    """Return a prediction that says nothing."""
    return {"result": [], "score": 0.0, "model_version": version}


def only_entry(found: list[Any], version: str | None) -> Any:
    """Return the entry for a single task: several predictions are one entry with all of them."""
    if not found:
        return empty(version)
    if len(found) == 1:
        return found[0]
    return [prediction for entry in found for prediction in (entry if isinstance(entry, list) else [entry])]


def one_prediction(entry: Any, version: str | None) -> dict[str, Any]:
    """Return the first prediction of an entry, which is all that the editor looks at when somebody clicks."""
    if isinstance(entry, list):
        return dict(entry[0]) if entry else empty(version)
    return dict(entry)


def _entry(entry: Any, version: str | None) -> Any:
    if entry is None:
        return empty(version)
    entry = plain(entry)
    if isinstance(entry, list):
        if entry and all(isinstance(item, dict) and "result" not in item and "type" in item for item in entry):
            return _prediction({"result": entry}, version)  # regions without a prediction around them
        return [_prediction(item, version) for item in entry if isinstance(item, dict)]
    return _prediction(entry if isinstance(entry, dict) else {"result": entry}, version)


def _prediction(said: dict[str, Any], version: str | None) -> dict[str, Any]:
    result = said.get("result")
    if isinstance(result, list):
        result = [region for region in _flat(result) if isinstance(region, dict)]
    return {
        **said,
        "result": [] if result is None else result,
        "score": _score(said.get("score")),
        "model_version": _version(said.get("model_version")) or version,
    }


def _flat(result: list[Any]) -> Iterable[Any]:
    """Take lists inside apart: the SDK nests a region's relations."""
    for item in result:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


def _score(said: Any) -> float | None:
    try:
        score = float(said[0] if isinstance(said, list) and len(said) == 1 else said)
    except (TypeError, ValueError):
        return None
    return score if math.isfinite(score) else None


def _version(said: Any) -> str | None:
    return None if said is None or said == "" else str(plain(said))
