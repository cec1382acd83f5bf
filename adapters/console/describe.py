"""Rows in words: the JSON forms of projects, versions and runs that people and scripts see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backend.inference.job import PredictionJob
from backend.projects.service import Mirror
from backend.services import Services
from backend.training.run import RunLine, TrainingRun
from backend.versions.registry import ModelVersion, combined_name


def project(services: Services, mirror: Mirror) -> dict[str, Any]:
    """Describe a project: state, version in use, policy, newest run."""
    connection = services.connections.state(mirror.project.id)
    current = services.versions.current(mirror.label_sets)
    in_use = current | services.versions.answering_clicks(mirror.label_sets)
    runs = services.training.of_project(mirror.project.id, limit=1)
    return {
        "id": mirror.project.id,
        "uid": mirror.origin.uid,
        "origin": mirror.origin.kind,
        "state": connection.state.value,
        "readable_state": connection.readable,
        "error_message": connection.error_message,
        "model_version": combined_name(current),
        "promotion": mirror.project.promotion,
        "train_every": services.inbox.train_every(mirror.project),
        "train_quiet_s": services.inbox.train_quiet_s(mirror.project),
        "num_changes_waiting": services.inbox.num_waiting(mirror.project.id),
        "seen_at": _moment(mirror.origin.seen_at),
        "label_sets": [
            {
                "id": row.id,
                "name": row.name,
                "objective": row.schema.objective.value,
                "labels": list(row.schema.names),
                "model_version": in_use[row.id].name if row.id in in_use else None,
                "is_pinned": row.is_pinned,
            }
            for row in mirror.label_sets
        ],
        "newest_run": run(runs[0]) if runs else None,
    }


def version(row: ModelVersion, *, in_use: set[str]) -> dict[str, Any]:
    """Describe a version with its lineage."""
    return {
        "name": row.name,
        "id": row.id,
        "label_set_id": row.label_set_id,
        "number": row.number,
        "is_in_use": row.id in in_use,
        "family": row.family,
        "labels": list(row.schema.names),
        "metrics": row.metrics,
        "weights_source": row.weights_source,
        "snapshot": row.snapshot,
        "settings": row.settings,
        "libraries": row.libraries,
        "files": row.files,
        "run_id": row.run_id,
        "created_at": _moment(row.created_at),
    }


def run(row: TrainingRun, lines: list[RunLine] | None = None) -> dict[str, Any]:
    """Describe a training run; with its log where the lines are given."""
    described = {
        "id": row.id,
        "project_id": row.project_id,
        "label_set_id": row.label_set_id,
        "state": row.state,
        "reason": row.reason,
        "attempt": row.attempt,
        "progress": row.progress if "fraction" in row.progress else {},  # only once it has begun to learn
        "history": row.history,
        "error": row.error,
        "version_id": row.version_id,
        "snapshot": row.snapshot,
        "created_at": _moment(row.created_at),
        "started_at": _moment(row.started_at),
        "finished_at": _moment(row.finished_at),
    }
    if lines is not None:
        described["log"] = [{"number": line.number, "at": _moment(line.at), "text": line.text} for line in lines]
    return described


def prediction_job(row: PredictionJob) -> dict[str, Any]:
    """Describe a prediction job."""
    return {
        "id": row.id,
        "project_id": row.project_id,
        "state": row.state,
        "version_name": row.version_name,
        "selection": row.selection,
        "is_replacing": row.is_replacing,
        "num_tasks": row.num_tasks,
        "num_done": row.num_done,
        "num_failed": row.num_failed,
        "faults": row.faults,
        "error": row.error,
        "created_at": _moment(row.created_at),
        "started_at": _moment(row.started_at),
        "finished_at": _moment(row.finished_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
