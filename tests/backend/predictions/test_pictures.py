from __future__ import annotations

import io
from pathlib import Path

import pytest
from labelled_projects import make_label_set, make_project
from PIL import Image
from trained_projects import add_training, build_detector, paint, upload

from backend.accounts.service import Principal
from backend.errors import Invalid, NotFound
from backend.predictions.pictures import Pictures, Wanted
from backend.projects.service import LabelSet
from backend.projects.tasks import Task
from backend.services import Services
from models.labels import Objective


@pytest.fixture
def principal(services: Services) -> Principal:
    return services.accounts.local(services.accounts.create_user("ann@example.com"))


@pytest.fixture
def label_set(services: Services, principal: Principal) -> LabelSet:
    project = make_project(services, principal.workspace_ids[0])
    return make_label_set(services, project, Objective.DETECTION, ["red", "green"])


@pytest.fixture
def task(services: Services, label_set: LabelSet) -> Task:
    return upload(services, label_set, paint({(1, 1): 0}))


@pytest.fixture
def pictures(services: Services) -> Pictures:
    return services.pictures


def colours_of(label_set: LabelSet) -> dict[str, str]:
    return dict.fromkeys(label_set.schema.names, "#ff0000")


def test_of_several_images_of_a_task_the_one_is_shown_that_a_label_set_is_about(
    services: Services, principal: Principal, label_set: LabelSet, task: Task, pictures: Pictures
) -> None:
    _hold(services, task, image=paint({}, size=(700, 350)), back=paint({}, size=(800, 400)))
    with services.database.transaction() as session:
        session.get_one(LabelSet, label_set.id).field = "back"

    drawn = pictures.draw(principal, task.id, Wanted(label_set_id=label_set.id), colours_of=colours_of)

    assert Image.open(io.BytesIO(drawn)).size == (800, 400)


def test_a_label_set_and_a_run_about_different_images_of_a_task_are_not_mixed(
    services: Services, principal: Principal, label_set: LabelSet, task: Task, pictures: Pictures, tmp_path: Path
) -> None:
    _hold(services, task, image=paint({}), back=paint({(1, 1): 0}))
    project = services.projects.get(label_set.project_id).project
    other = make_label_set(services, project, Objective.DETECTION, ["red", "green"], name="others")
    run = add_training(services, other, build_detector(tmp_path / "detector", other.schema))
    with services.database.transaction() as session:
        session.get_one(LabelSet, other.id).field = "back"

    with pytest.raises(Invalid, match="different images"):
        pictures.draw(principal, task.id, Wanted(label_set.id, run.id), colours_of=colours_of)


def test_what_is_no_image_cannot_be_drawn_on(
    services: Services, principal: Principal, label_set: LabelSet, task: Task, pictures: Pictures
) -> None:
    _hold(services, task, image=b"a text")

    with pytest.raises(NotFound, match="no image that can be shown"):
        pictures.draw(principal, task.id, Wanted(label_set.id), colours_of=colours_of)


def _hold(services: Services, task: Task, **contents: bytes) -> None:
    """Make a task hold several images, as tasks of Label Studio may."""
    with services.database.transaction() as session:
        row = session.get_one(Task, task.id)
        row.content = None
        row.media = {
            field: {"source": field, "sha256": services.blobs.put(content)} for field, content in contents.items()
        }
