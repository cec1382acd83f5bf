"""The tasks of a project that a version has not predicted, and where its predictions go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from adapters.label_studio.access import KIND, Access
from adapters.label_studio.backends.items import NO_LABEL_STUDIO, client_of, described
from adapters.label_studio.batch import import_each
from adapters.label_studio.client import LabelStudio
from adapters.label_studio.conditions import lacks_prediction
from adapters.label_studio.wire import ProjectUid
from backend.errors import Conflict
from backend.predictions.foreign import Said
from backend.projects.service import Mirror
from backend.services import Services

_PAGE = 500
Entry = Mapping[str, Any]
"""A prediction with `task`, `result`, `score` and `model_version`."""


class OpenTasks(Protocol):
    """Tasks without a prediction of a version, in the order of their ids."""

    def count(self) -> int:
        """Return how many there are."""

    def last_of(self, number: int) -> int:
        """Return the id of the last of so many; there are at least as many."""

    def after(self, task_id: int, *, limit: int) -> list[dict[str, Any]]:
        """Return the first with greater ids, as Label Studio sends them to a backend."""

    def write(self, entries: Sequence[Entry]) -> list[str]:
        """Keep predictions where the project keeps them; return a sentence for each that is refused."""


def open_tasks(services: Services, mirror: Mirror, version_name: str) -> OpenTasks:
    """Return the tasks of a project that a version has not predicted.

    Raises:
        Conflict: They are in a Label Studio that cannot be asked.
    """
    if mirror.origin.kind != KIND:
        return _Here(services, mirror.project.id, version_name)
    client = client_of(Access(services), mirror)
    if client is None:
        raise Conflict(NO_LABEL_STUDIO)
    return InLabelStudio(client, ProjectUid.parse(mirror.origin.uid).id, version_name)


class InLabelStudio:
    """See `OpenTasks`.

    Args:
        client: To where they are.
        project_id: The project's number there.
        version_name: Of the version.
    """

    def __init__(self, client: LabelStudio, project_id: int, version_name: str) -> None:
        self._client = client
        self._project_id = project_id
        self._conditions = [lacks_prediction(version_name)]

    def count(self) -> int:
        """See `OpenTasks`."""
        return self._client.list_tasks(self._project_id, self._conditions, limit=1, with_annotations=False).total

    def last_of(self, number: int) -> int:
        """See `OpenTasks`; those that are predicted meanwhile do not count."""
        last = 0
        while number > 0:
            tasks = self._client.list_tasks(
                self._project_id, self._conditions, after=last, limit=min(number, _PAGE), with_annotations=False
            ).tasks
            if not tasks:
                break
            last, number = tasks[-1]["id"], number - len(tasks)
        return last

    def after(self, task_id: int, *, limit: int) -> list[dict[str, Any]]:
        """See `OpenTasks`."""
        return self._client.list_tasks(self._project_id, self._conditions, after=task_id, limit=limit).tasks

    def write(self, entries: Sequence[Entry]) -> list[str]:
        """See `OpenTasks`."""
        return import_each(self._client, self._project_id, entries)


class _Here:
    def __init__(self, services: Services, project_id: str, version_name: str) -> None:
        self._services = services
        self._kept = services.foreign_predictions
        self._which = (project_id, version_name)

    def count(self) -> int:
        return self._kept.num_lacking(*self._which)

    def last_of(self, number: int) -> int:
        return self._kept.last_lacking(*self._which, number)

    def after(self, task_id: int, *, limit: int) -> list[dict[str, Any]]:
        tasks = self._kept.lacking(*self._which, after=task_id, limit=limit)
        return described(self._services, tasks, [task.number for task in tasks])

    def write(self, entries: Sequence[Entry]) -> list[str]:
        said = [Said(each["task"], each["model_version"], each["result"], each["score"]) for each in entries]
        self._kept.keep(self._which[0], said)
        return []
