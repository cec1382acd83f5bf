"""Projects with images for tests of what is said about them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from backend.projects.service import LabelSet, Origin, Project
from backend.projects.tasks import Task
from backend.services import Services
from backend.storage.database import next_number
from models.labels import Label, LabelSchema, Objective

_TAGS = {
    Objective.DETECTION: "RectangleLabels",
    Objective.INSTANCE_SEGMENTATION: "PolygonLabels",
    Objective.SEMANTIC_SEGMENTATION: "BrushLabels",
    Objective.KEY_POINTS: "KeyPointLabels",
    Objective.CLASSIFICATION: "Choices",
    Objective.MULTI_LABEL: "Choices",
}


def make_project(services: Services, workspace_id: str | None = None) -> Project:
    """Make a project as an agent does."""
    with services.database.transaction() as session:
        project = Project(number=next_number(session, "project"), title="things", workspace_id=workspace_id)
        session.add(project)
        session.flush()
        session.add(Origin(project_id=project.id, kind="mlp", uid=project.id))
    return project


def make_label_set(
    services: Services, project: Project, objective: Objective, names: Sequence[str], *, name: str = "things"
) -> LabelSet:
    """Make a label set as an agent does."""
    tag = _TAGS[objective]
    label = "Choice" if tag == "Choices" else "Label"
    multiple = ' choice="multiple"' if objective is Objective.MULTI_LABEL else ""
    document = (
        f'<View><Image name="image" value="$image"/><{tag} name="{name}" toName="image"{multiple}>'
        + "".join(f'<{label} value="{each}"/>' for each in names)
        + f"</{tag}></View>"
    )
    schema = LabelSchema(objective, tuple(map(Label, names)))
    label_set = LabelSet(
        project_id=project.id, name=name, title=name, labels=schema.to_json(), document=document, field="image"
    )
    with services.database.transaction() as session:
        session.add(label_set)
    return label_set


def add_image(
    services: Services,
    project: Project,
    filename: str,
    *,
    size: tuple[int, int] = (640, 480),
    orientation: int = 1,
    is_measured: bool = True,
) -> Task:
    """Upload an image; its content depends on its name."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    shade = tuple(filename.encode()[:3].ljust(3))
    Image.new("RGB", size, shade).save(file, "PNG", exif=exif, pnginfo=None)
    content = services.blobs.put(file.getvalue() + filename.encode())
    width_px, height_px = reversed(size) if orientation >= 5 else size
    with services.database.transaction() as session:
        task = Task(
            number=next_number(session, "task"),
            project_id=project.id,
            external_id="",
            filename=filename,
            content=content,
            mime_type="image/png",
            media={"image": {"source": "upload", "sha256": content}},
            width_px=width_px if is_measured else None,
            height_px=height_px if is_measured else None,
        )
        task.external_id = task.id
        session.add(task)
    return task
