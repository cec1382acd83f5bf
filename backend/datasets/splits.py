"""Which images a project learns from, which it is measured on, and which are kept for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from backend.access import Access
from backend.accounts.service import Principal
from backend.errors import Invalid, NotFound
from backend.projects.agreement import SHARED_AS, draw
from backend.projects.tasks import Task
from backend.storage.database import Database

UNASSIGNED = "unassigned"
"""What images without a split are called where they are counted or asked for."""
_WORDS = {kept: word for word, kept in SHARED_AS.items()}


def word_for(task: Task) -> str | None:
    """Return "train", "val", "test" or None."""
    return _WORDS.get(task.split or "")


class Splits:
    """Puts images into splits, and counts them."""

    def __init__(self, database: Database, access: Access) -> None:
        self._database = database
        self._access = access

    def count(self, project_ids: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return how many images each project has in "train", "val", "test" and "unassigned"."""
        counts = {project_id: dict.fromkeys((*SHARED_AS, UNASSIGNED), 0) for project_id in project_ids}
        query = (
            select(Task.project_id, Task.split, func.count())
            .where(Task.project_id.in_(counts))
            .group_by(Task.project_id, Task.split)
        )
        with self._database.reading() as session:
            for project_id, split, number in session.execute(query):
                counts[project_id][_WORDS.get(split or "", UNASSIGNED)] += number
        return counts

    def put(self, principal: Principal, image_id: str, split: str | None) -> None:
        """Put an image into "train", "val" or "test", or, with None, into no split.

        Raises:
            NotFound: There is no such image.
        """
        task = self._access.task(principal, image_id)
        with self._database.transaction() as session:
            _put(session, {task.id: SHARED_AS[split] if split else None})

    def share_out(
        self,
        principal: Principal,
        project_id: str,
        *,
        ratios: Mapping[str, float],
        seed: int = 0,
        is_adding: bool = True,
    ) -> dict[str, int]:
        """Put a project's images into splits by chance; the same images, ratios and seed give the same splits.

        Args:
            principal: Who asks.
            project_id: Whose images.
            ratios: Shares by "train", "val" and "test".
            seed: Another one draws others.
            is_adding: Whether images that are in a split already stay there.

        Returns:
            How many images are in which split now, see `count`.

        Raises:
            NotFound: There is no such project.
        """
        project = self._access.project(principal, project_id)
        with self._database.transaction() as session:
            rows = session.execute(select(Task.id, Task.split).filter_by(project_id=project.id))
            before: dict[str, str | None] = dict(rows.all())
            settled = {task_id: split for task_id, split in before.items() if split and is_adding}
            drawn = draw([(task_id, ()) for task_id in before], settled, ratios=ratios, seed=seed)
            _put(session, {task_id: split for task_id, split in drawn.items() if before[task_id] != split})
            return self.count([project.id])[project.id]

    def assign(self, principal: Principal, project_id: str, assigned: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """Put named images into splits.

        Args:
            principal: Who asks.
            project_id: Whose images.
            assigned: Ids of images by "train", "val" and "test".

        Returns:
            How many images are in which split now, see `count`.

        Raises:
            NotFound: There is no such project, or an image is not in it.
            Invalid: An image is in two splits.
        """
        project = self._access.project(principal, project_id)
        wanted: dict[str, str | None] = {}
        for word, task_ids in assigned.items():
            for task_id in task_ids:
                if wanted.setdefault(task_id, SHARED_AS[word]) != SHARED_AS[word]:
                    message, fields = "an image can only be in one split", {f"assign.{word}": "holds images of another"}
                    raise Invalid(f"assign: {message}", code="validation_error", details={"fields": fields})
        with self._database.transaction() as session:
            if not set(wanted) <= set(session.scalars(select(Task.id).filter_by(project_id=project.id))):
                raise NotFound("An image is not in this project; nothing was assigned.", code="not_found")
            _put(session, wanted)
            return self.count([project.id])[project.id]


def _put(session: Session, splits: Mapping[str, str | None]) -> None:
    rows = [{"task_id": task_id, "kept": split} for task_id, split in splits.items()]
    if rows:
        tasks = Task.metadata.tables["tasks"]
        put = update(tasks).where(tasks.c.id == bindparam("task_id")).values(split=bindparam("kept"))
        session.connection().execute(put, rows)
