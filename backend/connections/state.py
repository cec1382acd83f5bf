"""The state of a connection, derived when it is read from facts that are stored anyway."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from backend.inference.batch import Batches
from backend.inference.job import JobState, PredictionJobs
from backend.projects.service import Projects
from backend.training.run import RunState
from backend.training.service import Training


class State(StrEnum):
    """What a connection is doing, in the two letters that Label Studio uses."""

    CONNECTED = "CO"
    DISCONNECTED = "DI"
    ERROR = "ER"
    TRAINING = "TR"
    PREDICTING = "PR"

    @property
    def readable(self) -> str:
        """The state as a word."""
        return self.name.capitalize()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state follows from."""

    is_reachable: bool
    is_training: bool
    is_predicting: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Connection:
    """A state and, for ERROR, its reason."""

    state: State
    error_message: str | None = None

    @property
    def readable(self) -> str:
        """The state as a word."""
        return self.state.readable


def derive(facts: Facts) -> Connection:
    """Return the state that follows from the facts; the first that fits wins, work before an older error.

    >>> derive(Facts(is_reachable=True, is_training=True, is_predicting=True, error="x")).readable
    'Training'
    """
    if not facts.is_reachable:
        return Connection(State.DISCONNECTED)
    if facts.is_training:
        return Connection(State.TRAINING)
    if facts.is_predicting:
        return Connection(State.PREDICTING)
    if facts.error:
        return Connection(State.ERROR, facts.error)
    return Connection(State.CONNECTED)


class Connections:
    """Tells the state of each project's connection."""

    def __init__(self, projects: Projects, training: Training, batches: Batches, jobs: PredictionJobs) -> None:
        self._projects = projects
        self._training = training
        self._batches = batches
        self._jobs = jobs

    def state(self, project_id: str) -> Connection:
        """Return the present state of a project's connection.

        Raises:
            NotFound: There is no such project.
        """
        origin = self._projects.get(project_id).origin
        runs = self._training.of_project(origin.project_id)
        newest_by_label_set = {run.label_set_id: run for run in reversed(runs) if RunState(run.state).is_final}
        run_error = next((run.error for run in newest_by_label_set.values() if run.state == RunState.FAILED), None)
        return derive(
            Facts(
                is_reachable=origin.seen_at is not None,
                is_training=any(RunState(run.state).is_open for run in runs),
                is_predicting=bool(self._batches.in_progress(origin.project_id))
                or any(not JobState(job.state).is_final for job in self._jobs.of_project(origin.project_id, 1)),
                error=origin.error or run_error,
            )
        )
