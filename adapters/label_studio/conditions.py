"""The Data Manager's conditions, by which Label Studio lists tasks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

IS_ANNOTATED: Mapping[str, Any] = MappingProxyType(
    {"filter": "filter:tasks:annotations_ids", "operator": "empty", "type": "String", "value": False}
)
IS_NOT_ANNOTATED: Mapping[str, Any] = MappingProxyType({**IS_ANNOTATED, "value": True})


def lacks_prediction(model_version: str) -> Mapping[str, Any]:
    """Return the condition for tasks that have no prediction of a version."""
    return {
        "filter": "filter:tasks:predictions_model_versions",
        "operator": "not_contains",
        "type": "List",
        "value": [model_version],
    }


def is_newer_than(task_id: int) -> Mapping[str, Any]:
    """Return the condition for the tasks after one."""
    return {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": task_id}


def has_id_up_to(task_id: int) -> Mapping[str, Any]:
    """Return the condition for a task and those before it."""
    return {"filter": "filter:tasks:id", "operator": "less_or_equal", "type": "Number", "value": task_id}
