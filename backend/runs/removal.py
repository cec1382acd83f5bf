"""How a training run is forgotten, with all that nothing else needs."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.errors import Conflict
from backend.inference.job import JobState, PredictionJob
from backend.projects.service import LabelSet
from backend.projects.tasks import Tasks
from backend.runs.remains import Leftovers, Remains
from backend.storage.database import Database
from backend.training.run import RunLine, RunState, TrainingRun
from backend.versions.registry import ModelVersion, Versions


class Removal:
    """Removes runs, the versions that only they made, and their files."""

    def __init__(self, database: Database, tasks: Tasks, versions: Versions, remains: Remains) -> None:
        self._database = database
        self._tasks = tasks
        self._versions = versions
        self._remains = remains

    def remove(self, run: TrainingRun) -> None:
        """Forget a run.

        Raises:
            Conflict: It has not ended, or its version is in use ("invalid_state").
        """
        with self._database.transaction() as session:
            run = session.get_one(TrainingRun, run.id, with_for_update=True, populate_existing=True)
            _require_idle(session, run)
            session.execute(delete(RunLine).filter_by(run_id=run.id))
            session.delete(run)
            session.flush()
            version = _orphan(session, run)
            if version is not None:
                self._tasks.forget_predictions([version.id])
                self._versions.remove(version)
        snapshots = [run.snapshot] if run.snapshot else []
        self._remains.discard(Leftovers([version] if version else [], [run.id], snapshots))


def _require_idle(session: Session, run: TrainingRun) -> None:
    """Make sure that nothing works on a run, or with its version."""
    status = RunState(run.state).told
    if RunState(run.state).is_open:
        raise Conflict(f"The training is {status}; cancel it first.", code="invalid_state", details={"status": status})
    label_set = session.get_one(LabelSet, run.label_set_id)
    unfinished = [state.value for state in JobState if not state.is_final]
    asked = session.scalars(
        select(PredictionJob.versions).filter_by(project_id=run.project_id).where(PredictionJob.state.in_(unfinished))
    )
    in_use = {label_set.version_id, *(version_id for each in asked for version_id in each.values())}
    if run.version_id is not None and run.version_id in in_use:
        raise Conflict(
            "The training's model is in use; let another one answer, and wait for what it works on.",
            code="invalid_state",
            details={"status": status},
        )


def _orphan(session: Session, run: TrainingRun) -> ModelVersion | None:
    """Return the version that only a removed run had made; another run that made the same one inherits it."""
    if run.version_id is None:
        return None
    version = session.get_one(ModelVersion, run.version_id)
    heir = session.scalar(select(TrainingRun.id).filter_by(version_id=version.id).limit(1))
    if heir is None:
        return version
    version.run_id = heir
    return None
