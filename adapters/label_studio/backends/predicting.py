"""Predicting all tasks of a project, or as many as wanted, of those without predictions."""

from __future__ import annotations

from typing import Any

from adapters.identifiers import spell
from adapters.label_studio.access import Access
from adapters.label_studio.backends.items import NO_LABEL_STUDIO
from adapters.label_studio.backends.open_tasks import InLabelStudio, open_tasks
from adapters.label_studio.backends.peers import Seen
from adapters.label_studio.backends.wire import PredictOut
from adapters.label_studio.wire import ProjectUid
from backend.accounts.service import Principal
from backend.connections.ml_backends import MLBackend
from backend.errors import Conflict, Unavailable
from backend.inference.job import JobKind, JobState, PredictionJob
from backend.projects.service import Mirror
from backend.services import Services
from backend.versions.registry import ModelVersion, combined_name

_MADE = "Predictions are being made."
_GOES_ON = "A prediction job is in progress."
_DONE = "Every task has a prediction of the present version."


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
        return newest, _answer(newest, newest.num_tasks or 0, batch_size, _GOES_ON)
    client = Access(services).client(mirror.origin)
    if client is None:
        raise Conflict(NO_LABEL_STUDIO)
    lacking = InLabelStudio(client, ProjectUid.parse(mirror.origin.uid).id, combined_name(current))
    total = lacking.count()
    if total == 0:
        return None, _answer(None, 0, batch_size, _DONE)
    selection = {}
    if batch_size is not None and batch_size < total:
        selection["up_to"] = lacking.last_of(batch_size)
    job = services.prediction_jobs.ask(project_id, selection=selection)
    return job, _answer(job, min(total, batch_size or total), batch_size, _MADE)


def predict_here(services: Services, principal: Principal, project_id: str, batch_size: int | None) -> Asked:
    """Ask for the images of a project that was made here to be predicted, where no prediction of them is kept.

    Jobs that have not ended are returned again.

    Args:
        services: What adapters may call.
        principal: Who asks.
        project_id: The project.
        batch_size: How many images; None: all.

    Raises:
        Conflict: Nothing was trained yet.
    """
    current = _current(services, services.projects.get(project_id))
    filling = services.predictions.infer_missing(principal, list(current.values()), limit=batch_size)
    if not filling.jobs:
        return None, _answer(None, 0, batch_size, _DONE)
    job = filling.jobs[-1]
    return job, _answer(job, filling.num_tasks, batch_size, _MADE if filling.is_new else _GOES_ON)


def predict_there(
    services: Services, backend: MLBackend, seen: Seen, batch_size: int | None, *, created_by: str | None = None
) -> Asked:
    """Ask for another ML backend to be asked for the tasks that it has not predicted with what it serves now.

    A job for the same version that has not ended is returned again.

    Args:
        services: What adapters may call.
        backend: At another URL; one that is not registered here is asked without a password.
        seen: How it just answered.
        batch_size: How many tasks; None: all.
        created_by: The user who asks.

    Raises:
        Conflict: It does not say what it serves, or the tasks cannot be listed.
        Denied, NotFound: Label Studio does not list them.
        Unavailable: Neither does it, or the backend does not work.
    """
    if seen.error is not None and seen.model_version is None:
        raise Unavailable(f"The ML backend does not work: {seen.error}", code="upstream_error")
    version = seen.model_version or backend.model_version
    if not version:
        raise Conflict(
            "The ML backend names no model version at /setup, so nobody can tell what it has predicted; set "
            "model_version together with auto_update false.",
            code="model_not_ready",
        )
    mirror = services.projects.get(backend.project_id)
    lacking = open_tasks(services, mirror, version)
    total = lacking.count()
    if total == 0:
        return None, _answer(None, 0, batch_size, _DONE)
    selection: dict[str, Any] = {
        "kind": mirror.origin.kind,
        "backend": backend.id,
        "url": backend.url,
        "timeout_s": backend.timeout_s,
    }
    if batch_size is not None and batch_size < total:
        selection["up_to"] = lacking.last_of(batch_size)
    wanted = PredictionJob(
        project_id=backend.project_id,
        version_name=version,
        versions={},
        kind=JobKind.ELSEWHERE.value,
        adapter="label_studio.backends",
        created_by=created_by,
        selection=selection,
        num_tasks=min(total, batch_size or total),
    )
    job = services.prediction_jobs.ask_batch(wanted)
    return job, _answer(job, job.num_tasks or 0, batch_size, _MADE if job is wanted else _GOES_ON)


def _current(services: Services, mirror: Mirror) -> dict[str, ModelVersion]:
    current = services.versions.current(mirror.label_sets)
    if not current:
        raise Conflict("The project has no trained version yet; train it first.", code="model_not_ready")
    return current


def _answer(job: PredictionJob | None, num_tasks: int, batch_size: int | None, message: str) -> PredictOut:
    return PredictOut(
        message=message,
        job_id=job.id if job else None,
        run_id=spell("run_id", job.id) if job and job.kind != JobKind.ELSEWHERE else None,
        tasks=num_tasks,
        batch_size=batch_size,
    )
