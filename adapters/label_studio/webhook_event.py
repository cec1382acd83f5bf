"""What a POST /webhook body says: an action, the project, and the ids it is about; never contents or secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from adapters.label_studio.wire import ProjectUid
from backend.errors import Invalid


class EventKind(StrEnum):
    """What an action means to us."""

    START_TRAINING = "start_training"
    ANNOTATIONS_CHANGED = "annotations_changed"
    """Created, updated or deleted."""
    TASKS_CHANGED = "tasks_changed"
    """Created or deleted."""
    CONFIG_CHANGED = "config_changed"
    """Some setting of the project changed, perhaps the label config."""
    OTHER = "other"
    """Nothing to do; also every action that a later release may add."""


# Label Studio names events about several items in the plural; the official backend, and so its users' scripts, listen
# for ANNOTATION_DELETED, which Label Studio never sends.
_KINDS = {
    "START_TRAINING": EventKind.START_TRAINING,
    "ANNOTATION_CREATED": EventKind.ANNOTATIONS_CHANGED,
    "ANNOTATIONS_CREATED": EventKind.ANNOTATIONS_CHANGED,
    "ANNOTATION_UPDATED": EventKind.ANNOTATIONS_CHANGED,
    "ANNOTATIONS_UPDATED": EventKind.ANNOTATIONS_CHANGED,
    "ANNOTATION_DELETED": EventKind.ANNOTATIONS_CHANGED,
    "ANNOTATIONS_DELETED": EventKind.ANNOTATIONS_CHANGED,
    "TASK_CREATED": EventKind.TASKS_CHANGED,
    "TASKS_CREATED": EventKind.TASKS_CHANGED,
    "TASK_DELETED": EventKind.TASKS_CHANGED,
    "TASKS_DELETED": EventKind.TASKS_CHANGED,
    "PROJECT_UPDATED": EventKind.CONFIG_CHANGED,
}


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A webhook body, read.

    Attributes:
        action: As it was sent.
        kind: What it means to us.
        project: Which project; None where the body does not say (a webhook with its payload switched off).
        annotation_ids: In the order of the body, each once.
        task_ids: In the order of the body, each once. Label Studio leaves them out when annotations are deleted.
        label_config: The project's XML; None unless the action is about the project or its training.
    """

    action: str
    kind: EventKind
    project: ProjectUid | None = None
    annotation_ids: tuple[int, ...] = ()
    task_ids: tuple[int, ...] = ()
    label_config: str | None = field(default=None, repr=False)


def read(body: object) -> WebhookEvent:
    """Read any JSON value.

    >>> read({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 5}, {"id": 6}]}).annotation_ids
    (5, 6)

    Raises:
        Invalid: It is no object, or has no action.
    """
    action = body.get("action") if isinstance(body, Mapping) else None
    if not isinstance(body, Mapping) or not isinstance(action, str) or not action:
        raise Invalid("action: should be the name of an event.", code="webhook_action_missing")
    kind = _KINDS.get(action, EventKind.OTHER)
    annotations = [*_items(body, "annotation"), *_items(body, "annotations")]
    tasks = [*_items(body, "task"), *_items(body, "tasks")]
    project = body.get("project")
    is_about_project = kind in (EventKind.CONFIG_CHANGED, EventKind.START_TRAINING)
    return WebhookEvent(
        action=action,
        kind=kind,
        project=_project_uid(project) if isinstance(project, Mapping) else None,
        annotation_ids=_ids(item.get("id") for item in annotations),
        task_ids=_ids([*(item.get("id") for item in tasks), *(item.get("task") for item in annotations)]),
        label_config=_text(project.get("label_config")) if isinstance(project, Mapping) and is_about_project else None,
    )


def _items(body: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the objects under a key, which holds one or a list, whatever its grammatical number."""
    found = body.get(key)
    return [item for item in (found if isinstance(found, list) else [found]) if isinstance(item, Mapping)]


def _ids(found: Iterable[Any]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(value for value in found if type(value) is int and 0 <= value < 2**63))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _project_uid(project: Mapping[str, Any]) -> ProjectUid | None:
    """Build the uid that /setup and /predict carry: id and whole unix seconds of the creation, cut, not rounded."""
    for project_id in _ids([project.get("id")]):
        return ProjectUid(project_id, _unix_seconds(project.get("created_at")))
    return None


def _unix_seconds(written: object) -> int | None:
    try:
        created_at = datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        created_at = None
    if created_at is None or created_at.year < 1971:
        return None
    return int((created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC)).timestamp())
