"""What agents make, as rows: projects, label sets, labelled images."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from adapters.identifiers import spell
from backend.ids import new_id
from backend.projects.service import LabelSet, Origin, Project
from backend.projects.tasks import SAID_HERE, Annotation, Source, Task
from backend.services import Services
from backend.storage.columns import utc_now
from backend.storage.database import next_number
from models.labels import Label, LabelSchema, Objective
from models.regions import Choice, to_json

COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30)}


def make_label_set(
    services: Services,
    workspace_id: str,
    *,
    objective: Objective = Objective.CLASSIFICATION,
    labels: Sequence[str] = ("red", "green"),
    kind: str = "mlp",
) -> LabelSet:
    """Make a project with one label set."""
    schema = LabelSchema(objective, tuple(Label(name) for name in labels))
    with services.database.transaction() as session:
        project = Project(number=next_number(session, "project"), title="toys", workspace_id=workspace_id)
        session.add(project)
        session.flush()
        session.add(Origin(project_id=project.id, kind=kind, uid=project.id))
        label_set = LabelSet(
            project_id=project.id, name="colour", title="colours", labels=schema.to_json(), field="image"
        )
        session.add(label_set)
    return label_set


def add_images(
    services: Services, label_set: LabelSet, labels: Sequence[str | None], *, split: str | None = None
) -> list[Task]:
    """Upload an image of each colour, and label it so; None uploads one without a label."""
    rng = np.random.default_rng(len(labels))
    with services.database.transaction() as session:
        tasks = []
        for name in labels:
            base = np.array(COLOURS[name or "red"])
            pixels = np.clip(base + rng.integers(-30, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            digest = services.blobs.put(file.getvalue())
            task_id = new_id()
            task = Task(
                id=task_id,
                number=next_number(session, "task"),
                project_id=label_set.project_id,
                external_id=task_id,
                media={label_set.field: {"source": "upload", "sha256": digest}},
                content=digest,
                split=split,
            )
            session.add(task)
            session.flush()
            if name is not None:
                session.add(
                    Annotation(
                        task_id=task.id,
                        label_set_id=label_set.id,
                        external_id=SAID_HERE,
                        regions=to_json([Choice(name)]),
                        updated_at=utc_now(),
                        source=Source.AGENT.value,
                    )
                )
            tasks.append(task)
    return tasks


def id_of(label_set: LabelSet) -> str:
    return spell("label_set_id", label_set.id)
