"""What other ML backends say about tasks whose files are here: kept as they said it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Double, ForeignKey, Select, func, select
from sqlalchemy.orm import Mapped, mapped_column

from backend.projects.tasks import Task
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record


class ForeignPrediction(Record, kw_only=True):
    """What a version of another ML backend said about a task; the first thing that it said counts.

    Attributes:
        model_version: The name that it gives itself.
        result: A list of items, in that backend's words.
        score: How sure it is, by its own measure.
    """

    __tablename__ = "foreign_predictions"
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    model_version: Mapped[str] = mapped_column(primary_key=True)
    result: Mapped[list[Any]]
    score: Mapped[float | None] = mapped_column(Double, default=None)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


@dataclass(frozen=True, slots=True)
class Said:
    """What a backend said about the task with a number; see `ForeignPrediction`."""

    number: int
    model_version: str
    result: list[dict[str, Any]]
    score: float | None


class ForeignPredictions:
    """Keeps what other ML backends say, until the task is forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def num_lacking(self, project_id: str, model_version: str) -> int:
        """Return how many tasks of a project have no prediction of a version."""
        lacking = _lacking(project_id, model_version).order_by(None).with_only_columns(func.count())
        with self._database.reading() as session:
            return session.scalar(lacking) or 0

    def last_lacking(self, project_id: str, model_version: str, number: int) -> int:
        """Return the number of the last of so many such tasks; 0 where there are fewer."""
        lacking = _lacking(project_id, model_version).with_only_columns(Task.number).offset(number - 1).limit(1)
        with self._database.reading() as session:
            return session.scalar(lacking) or 0

    def lacking(self, project_id: str, model_version: str, *, after: int, limit: int) -> list[Task]:
        """Return the first of such tasks with greater numbers, in the order of these."""
        query = _lacking(project_id, model_version).where(Task.number > after).limit(limit)
        with self._database.reading() as session:
            return list(session.scalars(query))

    def keep(self, project_id: str, said: Sequence[Said]) -> None:
        """Keep what was said about tasks of a project; what is kept already stays as it is."""
        with self._database.transaction() as session:
            wanted = select(Task.number, Task.id).where(
                Task.project_id == project_id, Task.number.in_({each.number for each in said})
            )
            id_of = {row.number: row.id for row in session.execute(wanted)}
            now = utc_now()
            self._database.insert_new(
                ForeignPrediction,
                [
                    {
                        "task_id": id_of[each.number],
                        "model_version": each.model_version,
                        "result": each.result,
                        "score": each.score,
                        "created_at": now,
                    }
                    for each in said
                    if each.number in id_of  # else it was deleted meanwhile
                ],
            )

    def of_tasks(self, task_ids: Collection[str]) -> dict[str, list[ForeignPrediction]]:
        """Return what is kept about tasks, oldest first, by their ids."""
        found: dict[str, list[ForeignPrediction]] = {task_id: [] for task_id in task_ids}
        query = select(ForeignPrediction).where(ForeignPrediction.task_id.in_(task_ids))
        with self._database.reading() as session:
            for each in session.scalars(query.order_by(ForeignPrediction.created_at)):
                found[each.task_id].append(each)
        return found


def _lacking(project_id: str, model_version: str) -> Select[Task]:
    has_one = select(ForeignPrediction).where(
        ForeignPrediction.task_id == Task.id, ForeignPrediction.model_version == model_version
    )
    return select(Task).where(Task.project_id == project_id, ~has_one.exists()).order_by(Task.number)
