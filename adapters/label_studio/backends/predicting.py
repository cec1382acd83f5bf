"""Predicting all tasks of a project, or as many as wanted, of those without predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.identifiers import spell
from adapters.label_studio.access import Access
from adapters.label_studio.backends.wire import PredictOut
from adapters.label_studio.client import LabelStudio
from adapters.label_studio.conditions import lacks_prediction
from adapters.label_studio.wire import ProjectUid
from backend.accounts.service import Principal
from backend.errors import Conflict, Invalid
from backend.inference.job import JobState, PredictionJob
from backend.predictions.service import ALL
from backend.projects.service import Mirror
from backend.services import Services
from backend.versions.registry import ModelVersion, combined_name

_PAGE = 500
_MADE = "Predictions are being made."


Asked = tuple[PredictionJob | None, PredictOut]
"""A job, None where nothing is left to predict; and what to answer."""


def predict_in_label_studio(services: Services, project_id: str, batch_size: int | None) -> Asked:
    """Ask for the tasks without a prediction of the present version to be predicted, and for that to be written there.

    A job that has not ended is returned again, so that asking twice does no harm.

    Args:
        services: What adapters may call.
        project_id: A project that lives in Label Studio.
        batch_size: How many tasks; None: all.

    Raises:
        Conflict: Nothing was trained yet, or the tasks cannot be listed.
        Denied, NotFound, Unavailable: Label Studio does not list them.
    """
    mirror = services.projects.get(project_id)
    current = _current(services, mirror)
    newest = next(iter(services.prediction_jobs.of_project(project_id, 1)), None)
    if newest is not None and not JobState(newest.state).is_final:
        return newest, _answer(newest, newest.num_tasks or 0, batch_size, "A prediction job is in progress.")
    client = Access(services).client(mirror.origin)
    if client is None:
        raise Conflict("The tasks are in Label Studio: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.")
    in_label_studio = ProjectUid.parse(mirror.origin.uid).id
    lacking = [lacks_prediction(combined_name(current))]
    total = client.list_tasks(in_label_studio, lacking, limit=1, with_annotations=False).total
    if total == 0:
        return None, _answer(None, 0, batch_size, "Every task has a prediction of the present version.")
    selection = {}
    if batch_size is not None and batch_size < total:
        selection["up_to"] = _last_of(client, in_label_studio, lacking, batch_size)
    job = services.prediction_jobs.ask(project_id, selection=selection)
    return job, _answer(job, min(total, batch_size or total), batch_size, _MADE)


def predict_here(services: Services, principal: Principal, project_id: str, batch_size: int | None) -> Asked:
    """Ask for all tasks of a project that was made here to be predicted; what is known already is not made again.

    Args:
        services: What adapters may call.
        principal: Who asks.
        project_id: The project.
        batch_size: Must be None.

    Raises:
        Conflict: Nothing was trained yet.
        Invalid: Only some of the tasks are wanted.
    """
    mirror = services.projects.get(project_id)
    current = _current(services, mirror)
    if batch_size is not None:
        message = "Leave it out: all tasks of a project that was made here are predicted at once."
        raise Invalid(message, code="validation_error", details={"fields": {"batch_size": message}})
    jobs = [
        services.predictions.infer_all(principal, version.run_id, split=ALL, threshold=0.0, is_written_back=False)
        for version in current.values()
    ]
    return jobs[-1], _answer(jobs[-1], jobs[-1].num_tasks or 0, None, _MADE)


def _current(services: Services, mirror: Mirror) -> dict[str, ModelVersion]:
    current = services.versions.current(mirror.label_sets)
    if not current:
        raise Conflict("The project has no trained version yet; train it first.", code="model_not_ready")
    return current


def _last_of(client: LabelStudio, project_id: int, conditions: Sequence[Mapping[str, Any]], number: int) -> int:
    """Return the id of the last of so many tasks."""
    last = 0
    while number > 0:
        tasks = client.list_tasks(
            project_id, conditions, after=last, limit=min(number, _PAGE), with_annotations=False
        ).tasks
        if not tasks:
            break
        last, number = tasks[-1]["id"], number - len(tasks)
    return last


def _answer(job: PredictionJob | None, num_tasks: int, batch_size: int | None, message: str) -> PredictOut:
    return PredictOut(
        message=message,
        job_id=job.id if job else None,
        run_id=spell("run_id", job.id) if job else None,
        tasks=num_tasks,
        batch_size=batch_size,
    )
