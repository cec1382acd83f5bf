"""A project's tasks as Label Studio sends them to a backend."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from adapters.label_studio.access import KIND, Access
from adapters.label_studio.client import LabelStudio
from adapters.label_studio.wire import ProjectUid
from backend.connections.ml_backends import MLBackend
from backend.errors import Conflict, NotFound
from backend.projects.service import Mirror
from backend.projects.tasks import Task
from backend.services import Services

NO_LABEL_STUDIO = "The tasks are in Label Studio: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY."


class Items:
    """The tasks of a backend's project, as far as they are known here where its Label Studio cannot be asked.

    Args:
        services: What adapters may call.
        access: To the Label Studio of the project.
        backend: Whose project it is.
        mirror: That project.
    """

    def __init__(self, services: Services, access: Access, backend: MLBackend, mirror: Mirror) -> None:
        self._services = services
        self._backend = backend
        self._uid = mirror.origin.uid
        self._client = client_of(access, mirror)

    def find(self, number: int) -> dict[str, Any]:
        """Return a task by its id in Label Studio, or by its number where the project does not live there.

        Raises:
            NotFound: The project has no such task.
            Denied, Unavailable: Label Studio does not say.
        """
        if self._client is None:
            return described(self._services, [self._services.ml_backends.task(self._backend, number)], [number])[0]
        found = self._client.list_tasks(ProjectUid.parse(self._uid).id, after=number - 1, limit=1).tasks
        if not found or found[0]["id"] != number:
            raise NotFound("Not found.", code="not_found")
        return found[0]

    def pick(self) -> dict[str, Any]:
        """Return any task.

        Raises:
            Conflict: There is none.
            Denied, NotFound, Unavailable: Label Studio does not say.
        """
        if self._client is None:
            task = self._services.ml_backends.random_task(self._backend)
            if task is not None:
                return described(self._services, [task], [task.number])[0]
        else:
            project_id = ProjectUid.parse(self._uid).id
            total = self._client.list_tasks(project_id, limit=1, with_annotations=False).total
            if total:
                return self._client.list_tasks(project_id, limit=1, page=random.randint(1, total)).tasks[0]  # noqa: S311
        raise Conflict("The project has no task to try a prediction on; add one first.")


def client_of(access: Access, mirror: Mirror) -> LabelStudio | None:
    """Return what asks the Label Studio that a project lives in; None: in none, or in one that we may not ask."""
    return access.client(mirror.origin) if mirror.origin.kind == KIND else None


def described(services: Services, tasks: Sequence[Task], numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return tasks of ours as Label Studio would send them, under the ids that callers know them by."""
    said = services.foreign_predictions.of_tasks([task.id for task in tasks])
    return [
        {
            "id": number,
            "data": {field: _shown(services, task, kept) for field, kept in task.media.items()},
            "meta": {},
            "created_at": task.created_at.isoformat(),
            "annotations": [],
            "predictions": [
                {"result": each.result, "score": each.score, "model_version": each.model_version}
                for each in said[task.id]
            ],
            "drafts": [],
        }
        for task, number in zip(tasks, numbers, strict=True)
    ]


def _shown(services: Services, task: Task, kept: dict[str, Any]) -> str:
    """Return an address that whoever gets it can read: ours, signed, or where nobody said that, the content."""
    source, sha256 = str(kept["source"]), kept["sha256"]
    if sha256 and source == "upload":
        if services.settings.base_url:
            return services.settings.base_url.rstrip("/") + services.images.signed_url_path(task)
        return f"data:{task.mime_type};base64,{b64encode(services.blobs.path(sha256).read_bytes()).decode()}"
    if sha256 and source == f"text {sha256}":
        return services.blobs.path(sha256).read_text()
    return source
