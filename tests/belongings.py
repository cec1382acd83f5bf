"""One of each thing that a person may have, and how agents call it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import torch
from builders import build_checkpoint
from labelled_projects import add_image, make_label_set, make_project

from adapters.identifiers import spell
from backend.accounts.service import SCOPES, ApiKey, User
from backend.connections.ml_backends import SELF, MLBackend
from backend.inference.job import JobKind, JobState, PredictionJob
from backend.projects.tasks import SAID_HERE, Annotation, Source
from backend.services import Services
from backend.storage.columns import utc_now
from backend.training.run import RunState, TrainingRun, Trigger
from models.checkpoint import WEIGHTS
from models.family import FitSettings
from models.labels import Objective
from models.regions import Choice, to_json


def make_belongings(services: Services, user: User, folder: Path) -> dict[str, str]:
    """Give somebody a project with an image, a label set, a trained model, a batch run and an ML backend.

    Returns:
        Their ids, by the names that parameters of operations have.
    """
    [workspace_id] = services.accounts.local(user).workspace_ids
    project = make_project(services, workspace_id)
    label_set = make_label_set(services, project, Objective.CLASSIFICATION, ["red", "green"], name="colour")
    images = [add_image(services, project, f"{number}.png", size=(32, 24)) for number in range(4)]
    run = TrainingRun(
        project_id=project.id,
        label_set_id=label_set.id,
        reason="test",
        family="image_classification",
        settings=asdict(FitSettings()),
        state=RunState.COMPLETED.value,
        progress={"stage": "done", "epoch": 1, "num_epochs": 1, "fraction": 1.0, "metrics": {"accuracy": 0.5}},
        history=[{"loss": 0.5, "accuracy": 0.5}],
        trigger=Trigger.API.value,
        title="first",
        created_by=user.id,
        started_at=utc_now() - timedelta(minutes=1),
        finished_at=utc_now(),
    )
    checkpoint = build_checkpoint(folder / "checkpoint", label_set.schema)
    torch.save(torch.nn.Linear(3, 2).state_dict(), checkpoint / WEIGHTS)
    version = services.versions.register(
        label_set.id, services.versions.keep(checkpoint), run_id=run.id, snapshot="0" * 64
    )
    services.versions.promote(version, reason="test")
    backend = MLBackend(project_id=project.id, url=SELF, created_by=user.id)
    with services.database.transaction() as session:
        run.version_id = version.id
        session.add_all([run, backend])
        session.flush()
        jobs = {
            kind: PredictionJob(
                project_id=project.id,
                version_name=version.name,
                versions={label_set.id: version.id},
                kind=kind.value,
                adapter="mlp",
                run_id=run.id,
                split="all",
                evaluation={"metrics": {"accuracy": 1.0}, "num_images": 1} if kind is JobKind.EVALUATE else {},
                state=JobState.COMPLETED.value,
                num_tasks=0,
                created_by=user.id,
                finished_at=utc_now(),
            )
            for kind in (JobKind.INFER_ALL, JobKind.EVALUATE)
        }
        session.add_all(jobs.values())
        session.add(
            Annotation(
                task_id=images[0].id,
                label_set_id=label_set.id,
                external_id=SAID_HERE,
                regions=to_json([Choice("red")]),
                updated_at=utc_now(),
                source=Source.AGENT.value,
                created_by=user.id,
            )
        )
    key: ApiKey
    key, _ = services.accounts.mint(user, "spare", scopes=SCOPES)
    return {
        "user_id": spell("user_id", user.id),
        "workspace_id": spell("workspace_id", workspace_id),
        "project_id": spell("project_id", project.id),
        "image_id": spell("image_id", images[0].id),
        "label_set_id": spell("label_set_id", label_set.id),
        "training_id": spell("training_id", run.id),
        "run_id": spell("run_id", jobs[JobKind.INFER_ALL].id),
        "key_id": spell("key_id", key.id),
        "id": str(backend.id),
    }
