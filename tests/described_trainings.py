"""Trainings that agents describe, and a fit that learns nothing, in no time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from agent_projects import id_of
from builders import build_checkpoint
from sqlalchemy import update
from werkzeug.test import TestResponse

from backend.accounts.service import Workspace
from backend.projects.service import LabelSet
from backend.services import Services
from backend.storage.columns import utc_now
from backend.training.run import RunState, TrainingRun
from models.examples import Example
from models.family import FitSettings, Progress, Report
from models.labels import LabelSchema

QUICK = {"epochs": 1, "imageSize": 32, "pretrained": False}


class QuickFit:
    """Learns nothing, in no time; each fit makes another model."""

    def __init__(self) -> None:
        self.during: Callable[[Report], None] = lambda _: None
        self.examples: Sequence[Example] = ()
        self.settings = FitSettings()

    def __call__(
        self,
        examples: Sequence[Example],
        schema: LabelSchema,
        settings: FitSettings,
        *,
        device: str,
        report: Report,
        folder: Path,
        weights: Path | None,
    ) -> None:
        self.examples, self.settings = examples, settings
        report.progress(Progress("evaluating", 1, 2, 0.3, {"loss": 0.9, "val_loss": 0.5, "val_accuracy": 0.75}))
        self.during(report)
        build_checkpoint(folder, schema, sharpness=20.0 + settings.seed)
        torch.save(torch.nn.Linear(3, 2).state_dict(), folder / "weights.pth")


def create(agent: Any, label_set: LabelSet, **body: Any) -> Any:
    return agent.ok("POST", f"/label-sets/{id_of(label_set)}/training", json=body)


def start(agent: Any, training: Any) -> Any:
    return agent.ok("POST", f"/training/{training['id']}/start")


def show(agent: Any, training: Any, **query: Any) -> Any:
    return agent.ok("GET", f"/training/{training['id']}", query_string=query)


def download(agent: Any, training: Any, query: str = "", **options: Any) -> TestResponse:
    """Download a model, and close the file."""
    return agent.ask("GET", f"/training/{training['id']}/download{query}", buffered=True, **options)


def bare(training: Any) -> str:
    return str(training["id"]).removeprefix("trn_")


def set_allowance(services: Services, workspace_id: str, allowance: int | None) -> None:
    with services.database.transaction() as session:
        session.get_one(Workspace, workspace_id).allowance = allowance


def lose(services: Services, run_id: str, *, fraction: float) -> None:
    """Let a run's process take it up, get so far, and be silent ever since."""
    attempt = services.training.get(run_id).attempt
    run = services.training.claim(run_id, attempt, state=RunState.RUNNING)
    services.training.tell(run, {**run.progress, "fraction": fraction}, [])
    with services.database.transaction() as session:
        past = utc_now() - timedelta(minutes=1)
        session.execute(update(TrainingRun).where(TrainingRun.id == run_id).values(heartbeat_at=past))
