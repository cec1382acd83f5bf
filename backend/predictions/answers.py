"""What a version finds in the tasks of a project, as it counts for a label set."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from backend.errors import Conflict, TandemError
from backend.inference.service import Inference, Item
from backend.projects.service import LabelSet
from backend.projects.tasks import Task
from backend.storage.blobs import BlobStore
from backend.versions.registry import ModelVersion
from models.labels import LabelSchema, Objective
from models.regions import Number, Region

MAX_REGIONS = 300
"""Of one task, where nobody says otherwise: the best ones."""
_ONE_ANSWER = frozenset({Objective.CLASSIFICATION, Objective.REGRESSION})


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found in a task.

    Attributes:
        regions: Best first.
        width_px, height_px: Of the upright image; 0 for a text.
        seconds: How long it took to find it, or to find out what was found before.
    """

    task: Task
    regions: tuple[Region, ...]
    width_px: int
    height_px: int
    seconds: float


class Answers:
    """Asks versions about tasks whose files are here."""

    def __init__(self, inference: Inference, blobs: BlobStore) -> None:
        self._inference = inference
        self._blobs = blobs

    def find(
        self,
        version: ModelVersion,
        label_set: LabelSet,
        tasks: Sequence[Task],
        *,
        threshold: float,
        max_regions: int = MAX_REGIONS,
    ) -> list[Answer | TandemError]:
        """Return for each task what a version finds, or why nothing could be found.

        Args:
            version: Who is asked.
            label_set: Whose labels are answered with.
            tasks: Few enough for the memory.
            threshold: Regions with a smaller score are left out.
            max_regions: Of each task, the best ones.

        Raises:
            NotFound: The version's files are missing.
        """
        items = [self._item(task, label_set.field) for task in tasks]
        started = time.perf_counter()
        outcomes = iter(self._inference.predict(version, [item for item in items if isinstance(item, Item)]))
        seconds = (time.perf_counter() - started) / max(1, len(tasks))
        found: list[Answer | TandemError] = []
        for task, item in zip(tasks, items, strict=True):
            outcome = next(outcomes) if isinstance(item, Item) else item
            if isinstance(outcome, TandemError):
                found.append(outcome)
            else:
                regions = settled(outcome.regions, label_set.schema, threshold=threshold)[:max_regions]
                found.append(Answer(task, regions, outcome.width_px, outcome.height_px, seconds))
        return found

    def _item(self, task: Task, field: str) -> Item | TandemError:
        digest = task.digest(field)
        if digest is None:
            return Conflict(
                "The file of this image is not here yet; start a training of its project, which collects it.",
                code="invalid_state",
            )
        try:
            return Item(digest, self._blobs.path(digest))
        except TandemError as error:
            return error


def settled(regions: Iterable[Region], schema: LabelSchema, *, threshold: float) -> tuple[Region, ...]:
    """Return what counts of a model's regions, best first: sure enough, and with labels that a schema has now.

    A question with one answer has only the best one.

    >>> from models.labels import Label
    >>> from models.regions import Choice
    >>> schema = LabelSchema(Objective.MULTI_LABEL, (Label("Cat"), Label("dog")))
    >>> settled([Choice("dog", 0.3), Choice("cat", 0.9), Choice("cow", 0.8)], schema, threshold=0.3)
    (Choice(label='Cat', score=0.9, part=None), Choice(label='dog', score=0.3, part=None))
    """
    known: list[Region] = []
    for region in regions:
        label = schema.match(region.label)
        if isinstance(region, Number):
            known.append(region)
        elif label is not None:
            known.append(replace(region, label=label))
    sure = sorted((region for region in known if _score(region) >= threshold), key=lambda region: -_score(region))
    return tuple(sure[:1] if schema.objective in _ONE_ANSWER else sure)


def _score(region: Region) -> float:
    return 1.0 if region.score is None else region.score
