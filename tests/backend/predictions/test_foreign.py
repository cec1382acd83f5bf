"""What other ML backends said about tasks."""

from __future__ import annotations

import pytest
from labelled_projects import add_image, make_label_set, make_project
from sqlalchemy import func, select

from backend.accounts.service import Principal
from backend.predictions.foreign import ForeignPrediction, Said
from backend.projects.service import Project
from backend.projects.tasks import Task
from backend.services import Services
from models.labels import Objective


@pytest.fixture
def owner(services: Services) -> Principal:
    return services.accounts.local(services.accounts.create_user("ann@example.com"))


@pytest.fixture
def project(services: Services, owner: Principal) -> Project:
    [workspace_id] = owner.workspace_ids
    return make_project(services, workspace_id)


@pytest.fixture
def tasks(services: Services, project: Project) -> list[Task]:
    make_label_set(services, project, Objective.CLASSIFICATION, ["red", "green"])
    return [add_image(services, project, f"{number}.png") for number in range(4)]


def numbers(tasks: list[Task]) -> list[int]:
    return [task.number for task in tasks]


def test_a_task_lacks_what_no_version_of_that_name_said(
    services: Services, project: Project, tasks: list[Task]
) -> None:
    foreign = services.foreign_predictions
    foreign.keep(project.id, [Said(tasks[1].number, "v1", [], None), Said(tasks[0].number, "v2", [], 0.5)])

    lacking = foreign.lacking(project.id, "v1", after=0, limit=2)

    assert numbers(lacking) == numbers([tasks[0], tasks[2]])
    assert numbers(foreign.lacking(project.id, "v1", after=tasks[2].number, limit=2)) == numbers(tasks[3:])
    assert [foreign.num_lacking(project.id, name) for name in ("v1", "v2", "v3")] == [3, 3, 4]
    assert [foreign.last_lacking(project.id, "v1", number) for number in (2, 3, 4)] == [*numbers(tasks[2:]), 0]


def test_the_first_thing_that_a_version_said_counts(services: Services, project: Project, tasks: list[Task]) -> None:
    for score in (0.25, 0.5):
        services.foreign_predictions.keep(project.id, [Said(tasks[0].number, "v1", [{"id": "a"}], score)])

    found = services.foreign_predictions.of_tasks([task.id for task in tasks[:2]])

    assert [(each.result, each.score) for each in found[tasks[0].id]] == [([{"id": "a"}], 0.25)]
    assert found[tasks[1].id] == []


def test_nothing_is_kept_about_tasks_of_others(services: Services, project: Project, tasks: list[Task]) -> None:
    other = add_image(services, make_project(services), "other.png")

    services.foreign_predictions.keep(project.id, [Said(other.number, "v1", [], None), Said(9999, "v1", [], None)])

    assert services.foreign_predictions.of_tasks([other.id]) == {other.id: []}


def test_what_was_said_goes_with_the_image(
    services: Services, owner: Principal, project: Project, tasks: list[Task]
) -> None:
    services.foreign_predictions.keep(project.id, [Said(task.number, "v1", [], None) for task in tasks])

    services.images.delete(owner, tasks[0].id)

    with services.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ForeignPrediction)) == 3
