"""Predictions in progress, for whoever wants to know what is happening."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from backend.ids import new_id
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record

_STALE_AFTER = timedelta(minutes=3)


class PredictionBatch(Record, kw_only=True):
    """A request to predict several items, while it is being answered and for a day after."""

    __tablename__ = "prediction_batches"
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    num_items: Mapped[int]
    num_done: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class Batches:
    """Keeps note of batches in progress."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def started(self, project_id: str, num_items: int) -> Iterator[PredictionBatch]:
        """Note that a batch is being worked on inside the block; a single item is done before anybody could look."""
        batch = PredictionBatch(project_id=project_id, num_items=num_items)
        if num_items < 2:
            yield batch
            return
        with self._database.transaction() as session:
            session.execute(delete(PredictionBatch).where(PredictionBatch.started_at < utc_now() - timedelta(days=1)))
            session.add(batch)
        try:
            yield batch
        finally:
            self._change(batch.id, finished_at=utc_now())

    def advanced(self, batch: PredictionBatch, num_done: int) -> None:
        """Note how far a batch is."""
        self._change(batch.id, num_done=num_done)

    def in_progress(self, project_id: str) -> list[PredictionBatch]:
        """Return the batches of a project that are being answered now."""
        with self._database.reading() as session:
            query = select(PredictionBatch).where(
                PredictionBatch.project_id == project_id,
                PredictionBatch.finished_at.is_(None),
                PredictionBatch.started_at > utc_now() - _STALE_AFTER,
            )
            return list(session.scalars(query))

    def _change(self, batch_id: str, **values: object) -> None:
        with self._database.transaction() as session:
            session.execute(update(PredictionBatch).where(PredictionBatch.id == batch_id).values(**values))
