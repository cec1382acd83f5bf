"""Which calls of `fit` an event leads to: Label Studio's names and bodies → those that models were written for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

START_TRAINING = "START_TRAINING"
_PLURALS = {"ANNOTATIONS_CREATED": "ANNOTATION_CREATED", "ANNOTATIONS_DELETED": "ANNOTATION_DELETED"}
"""What Label Studio sends about several annotations, and what models listen for: it never sends ANNOTATION_DELETED."""


@dataclass(frozen=True)
class Delivery:
    """One call of `fit(event, data)`; the data may hold secrets."""

    event: str
    data: dict[str, Any] = field(repr=False)


def deliveries(action: str, body: Mapping[str, Any], train_events: Collection[str]) -> list[Delivery]:
    """Return the calls that a webhook body leads to; none where the model does not learn from such an event.

    >>> body = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 5}], "project": {"id": 1}}
    >>> [each.event for each in deliveries("ANNOTATIONS_DELETED", body, ["ANNOTATION_DELETED"])]
    ['ANNOTATION_DELETED']
    """
    data = {key: value for key, value in body.items() if key != "action"}
    if action in train_events:
        return [Delivery(action, data)]
    event = _PLURALS.get(action, "")
    if event not in train_events:
        return []
    annotations = _items(data, "annotation", "annotations")
    tasks = _items(data, "task", "tasks")
    around = {key: value for key, value in data.items() if key not in ("annotation", "annotations", "task", "tasks")}
    return [
        Delivery(event, {**around, "annotation": annotation, **({"task": tasks[index]} if index < len(tasks) else {})})
        for index, annotation in enumerate(annotations)
    ]


def _items(data: Mapping[str, Any], *keys: str) -> list[Any]:
    """Return the list under the first key that holds one; its grammatical number varies."""
    return next((data[key] for key in keys if isinstance(data.get(key), list)), [])
