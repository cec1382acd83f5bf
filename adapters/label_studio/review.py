"""What should people look at next in Label Studio? Tasks worth labelling, and annotations that are likely wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.label_studio.access import Access
from adapters.label_studio.client import URL_MISSING, LabelStudio
from adapters.label_studio.conditions import IS_NOT_ANNOTATED
from adapters.label_studio.label_config import Binding, parse
from adapters.label_studio.prediction import TaskPredictor, fetch
from adapters.label_studio.results import Found, decode
from adapters.label_studio.wire import AnnotatedTask, PredictParams, ProjectUid, Task, read
from backend.errors import Conflict, Invalid, TandemError
from backend.inference.service import Item
from backend.projects.service import Mirror
from backend.services import Services
from models import texts
from models.checkpoint import read_manifest
from models.diversity import certainty, describe, order
from models.doubts import Doubt, doubts
from models.images import BadImage, read_part
from models.labels import Medium
from models.regions import Region, to_json
from models.texts import BadText

_PAGE = 128
_DESCRIBED_PX = 64


@dataclass(frozen=True, slots=True)
class NextTask:
    """A task that is worth labelling.

    Attributes:
        task_id: Of Label Studio.
        uncertainty: In [0, 1], 1 - `models.diversity.certainty`; the greatest of those of its controls.
        link: Where to label it.
    """

    task_id: int
    uncertainty: float
    link: str


@dataclass(frozen=True, slots=True)
class Suspect:
    """An annotation that is likely wrong.

    Attributes:
        task_id: Of Label Studio.
        annotation_id: Of Label Studio.
        control: The control that was answered.
        doubt: Why.
        is_held_out: Whether the model never saw the annotation; otherwise it may have learnt the mistake.
        link: Where to look at it.
    """

    task_id: int
    annotation_id: int | None
    control: str
    doubt: Doubt
    is_held_out: bool
    link: str

    def to_json(self) -> dict[str, Any]:
        """Return the form for programs."""
        given, expected = (
            to_json([region])[0] if region else None for region in (self.doubt.given, self.doubt.expected)
        )
        return {
            "task": self.task_id,
            "annotation": self.annotation_id,
            "control": self.control,
            "score": round(self.doubt.score, 4),
            "reason": self.doubt.reason,
            "given": given,
            "expected": expected,
            "is_held_out": self.is_held_out,
            "link": self.link,
        }


class Review:
    """Looks at a project of Label Studio with the versions in use."""

    def __init__(self, services: Services, mirror: Mirror) -> None:
        """Prepare to look.

        Raises:
            Conflict: Nothing was trained yet.
            Invalid: Nothing says where Label Studio is.
        """
        self._services, self._mirror = services, mirror
        self._versions = services.versions.current(mirror.label_sets)
        if not self._versions:
            raise Conflict("the project has no trained version yet; train it first", code="untrained")
        self._access = Access(services)
        client = self._access.client(mirror.origin)
        if client is None:
            raise Invalid("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to read the tasks", code=URL_MISSING)
        self._client: LabelStudio = client
        self._config = parse(mirror.origin.document)
        self._project_id = ProjectUid.parse(mirror.origin.uid).id
        self._predictor = TaskPredictor(services, self._access)

    def next_tasks(self, num: int, *, is_diverse: bool, num_looked_at: int) -> list[NextTask]:
        """Return tasks without annotations in the order in which to label them.

        Args:
            num: How many at most.
            is_diverse: Whether tasks that are like an earlier one come later; otherwise only uncertainty counts.
            num_looked_at: Choose among so many tasks, the first ones of the project.
        """
        ids: list[int] = []
        doubts_N: list[float] = []  # noqa: N806 - N tasks
        descriptions = []
        for tasks in self._unlabelled(num_looked_at):
            found, _ = self._predictor.find(self._mirror, self._config, self._versions, tasks, PredictParams())
            for task, each in zip(tasks, found, strict=True):
                description = self._describe(task) if is_diverse else np.zeros(1, dtype=np.float32)
                if each and description is not None and task.id is not None:
                    ids.append(int(task.id))
                    doubts_N.append(1 - min(certainty(one.binding.schema.objective, one.regions) for one in each))
                    descriptions.append(description)
        if not ids:
            return []
        uncertainties = np.array(doubts_N)
        chosen = order(uncertainties, np.stack(descriptions), num) if is_diverse else np.argsort(-uncertainties)[:num]
        return [NextTask(ids[i], doubts_N[i], self._link(ids[i])) for i in chosen]

    def suspects(self) -> list[Suspect]:
        """Return annotations that are likely wrong, worst first; those that the model learnt from come later."""
        held_out = {
            label_set_id: read_manifest(self._services.versions.checkpoint(version)).held_out
            for label_set_id, version in self._versions.items()
        }
        id_of = {row.name: row.id for row in self._mirror.label_sets if row.id in self._versions}
        suspects: list[Suspect] = []
        for tasks in _windows(self._client.fetch_annotated_tasks(self._project_id)):
            found, _ = self._predictor.find(self._mirror, self._config, self._versions, tasks, PredictParams())
            for task, each in zip(tasks, found, strict=True):
                for one in each:
                    unseen = held_out[id_of[one.binding.control_name]].get(str(task.id))
                    suspects += self._about(task, one, unseen)
        return sorted(suspects, key=lambda suspect: (not suspect.is_held_out, -suspect.doubt.score))

    def _about(self, task: AnnotatedTask, found: Found, unseen: Sequence[Region] | None) -> Iterator[Suspect]:
        binding = found.binding
        if binding.is_per_region or task.id is None:
            return
        for annotation in task.annotations:
            given = None if annotation.was_cancelled else decode(annotation.result, binding).regions
            if given is None:
                continue
            expected = found.regions if unseen is None else unseen
            number = int(annotation.id) if annotation.id is not None else None
            for doubt in doubts(binding.schema, given, expected):
                link = self._link(int(task.id))
                yield Suspect(int(task.id), number, binding.control_name, doubt, unseen is not None, link)

    def _unlabelled(self, num: int) -> Iterator[list[Task]]:
        after, seen = 0, 0
        while seen < num:
            page = self._client.list_tasks(
                self._project_id, [IS_NOT_ANNOTATED], after=after, limit=min(_PAGE, num - seen), with_annotations=False
            )
            if not page.tasks:
                return
            after, seen = page.tasks[-1]["id"], seen + len(page.tasks)
            yield [read(Task, sent) for sent in page.tasks]

    def _describe(self, task: Task) -> Any | None:
        binding: Binding = next(b for b in self._config.bindings if not b.is_per_region)
        item = fetch(binding, task, self._access.media(self._mirror.origin), PredictParams())
        if isinstance(item, TandemError):
            return None
        try:
            return describe(_content(binding, item))
        except (BadImage, BadText):
            return None

    def _link(self, task_id: int) -> str:
        return f"{self._client.url}/projects/{self._project_id}/data?task={task_id}"


def _content(binding: Binding, item: Item) -> Any:
    if binding.schema.medium is Medium.TEXT:
        return texts.read(item.source)
    return read_part(item.source, None, min_side_px=_DESCRIBED_PX)


def _windows(sent: Iterator[Mapping[str, Any]]) -> Iterator[list[AnnotatedTask]]:
    window: list[AnnotatedTask] = []
    for each in sent:
        window.append(read(AnnotatedTask, each))
        if len(window) == _PAGE:
            yield window
            window = []
    if window:
        yield window
