"""A project's tasks by their numbers, for a backend that is asked about one of them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from adapters.label_studio.access import KIND, Access
from adapters.label_studio.wire import ProjectUid
from backend.connections.ml_backends import MLBackend
from backend.errors import NotFound
from backend.projects.service import Mirror
from backend.projects.tasks import Task
from backend.services import Services


def find_task(services: Services, access: Access, backend: MLBackend, mirror: Mirror, number: int) -> dict[str, Any]:
    """Return a task as Label Studio sends it to a backend, as far as it is known here.

    Args:
        services: What adapters may call.
        access: To the Label Studio of the project.
        backend: Whose project it must belong to.
        mirror: That project.
        number: Its id in Label Studio, or its number where the project does not live there.

    Raises:
        NotFound: The project has no such task.
        Denied, Unavailable: Label Studio does not say.
    """
    client = access.client(mirror.origin) if mirror.origin.kind == KIND else None
    if client is None:
        task = services.ml_backends.task(backend, number)
        data = {field: _shown(services, task, kept) for field, kept in task.media.items()}
        return {"id": number, "data": data, "annotations": [], "predictions": [], "drafts": []}
    found = client.list_tasks(ProjectUid.parse(mirror.origin.uid).id, after=number - 1, limit=1).tasks
    if not found or found[0]["id"] != number:
        raise NotFound("Not found.", code="not_found")
    return found[0]


def _shown(services: Services, task: Task, kept: dict[str, Any]) -> str:
    source, sha256 = str(kept["source"]), kept["sha256"]
    if sha256 and source == "upload":
        return f"data:{task.mime_type};base64,{b64encode(services.blobs.path(sha256).read_bytes()).decode()}"
    if sha256 and source == f"text {sha256}":
        return services.blobs.path(sha256).read_text()
    return source
