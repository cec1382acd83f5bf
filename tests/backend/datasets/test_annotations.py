"""What is said about images: by one row for each image and label set, all of a data set or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from labelled_projects import add_image, make_label_set, make_project
from sqlalchemy import select

from backend.accounts.service import Principal
from backend.datasets.annotations import Given
from backend.errors import Invalid, NotFound
from backend.projects.service import LabelSet, Project
from backend.projects.tasks import SAID_HERE, Annotation, Source, Task
from backend.services import Services
from models.labels import Objective
from models.regions import Box, Choice, Region

CAR = Box("car", 0.5, 0.5, 0.25, 0.25)
BUS = Box("bus", 0.5, 0.5, 0.5, 0.5)


@pytest.fixture
def ann(services: Services) -> Principal:
    _, key = services.accounts.mint(services.accounts.create_user("ann@example.com"), "test")
    return services.accounts.authenticate(key)


@pytest.fixture
def project(services: Services, ann: Principal) -> Project:
    return make_project(services, ann.workspace_ids[0])


@pytest.fixture
def cars(services: Services, project: Project) -> LabelSet:
    return make_label_set(services, project, Objective.DETECTION, ["car", "bus"])


@pytest.fixture
def images(services: Services, project: Project) -> list[Task]:
    return [add_image(services, project, f"{number}.png") for number in range(3)]


@pytest.fixture
def say(services: Services, ann: Principal, cars: LabelSet) -> Callable[..., object]:
    def say(task: Task, *regions: Region, label_set: LabelSet = cars) -> object:
        return services.annotations.set(ann, label_set.id, task.id, regions, source=Source.AGENT)

    return say


def test_saying_something_else_replaces_the_one_row(services, ann, cars, images, say) -> None:
    say(images[0], CAR)
    first = services.annotations.read(ann, cars.id, images[0].id)

    say(images[0], BUS, CAR)

    second = services.annotations.read(ann, cars.id, images[0].id)
    assert (first.regions, second.regions) == ((CAR,), (BUS, CAR))
    assert len({first.region_id(0), second.region_id(0), second.region_id(1)}) == 3
    with services.database.reading() as session:
        [row] = session.scalars(select(Annotation))
    assert (row.external_id, row.source, row.created_by) == (SAID_HERE, "agent", ann.user_id)


def test_what_was_said_with_a_label_that_is_gone_does_not_count(services, ann, cars, images, say) -> None:
    say(images[0], CAR, BUS)
    with services.database.transaction() as session:
        row = session.get_one(LabelSet, cars.id)
        row.labels = {**row.labels, "labels": row.labels["labels"][:1]}

    assert services.annotations.read(ann, cars.id, images[0].id).regions == (CAR,)


def test_several_labels_of_one_question_are_each_said_once(services, ann, project, images, say) -> None:
    kinds = make_label_set(services, project, Objective.MULTI_LABEL, ["wet", "dark"], name="kinds")
    say(images[0], Choice("wet"), label_set=kinds)

    given = [Given.of(images[0].id, [Choice("wet"), Choice("dark")])]
    services.annotations.write(ann, kinds.id, given, source=Source.IMPORT, appends=True)

    found = services.annotations.read(ann, kinds.id, images[0].id).regions
    assert sorted(region.label for region in found or ()) == ["dark", "wet"]


def test_where_it_fails_halfway_nothing_is_written(services, ann, cars, images, say) -> None:
    say(images[0], CAR)

    def given() -> Iterator[Given]:
        yield Given.of(images[0].id, [BUS])
        yield Given.of(images[1].id, [BUS])
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        services.annotations.write(ann, cars.id, given(), source=Source.IMPORT)

    assert services.annotations.read(ann, cars.id, images[0].id).regions == (CAR,)
    assert services.annotations.read(ann, cars.id, images[1].id).regions is None


def test_an_image_of_another_project_is_not_written(services, ann, cars, images) -> None:
    other = add_image(services, make_project(services, ann.workspace_ids[0]), "other.png")
    given = [Given.of(images[0].id, [CAR]), Given.of(other.id, [CAR])]

    with pytest.raises(NotFound):
        services.annotations.write(ann, cars.id, given, source=Source.IMPORT)

    assert services.annotations.read(ann, cars.id, images[0].id).regions is None


def test_only_labelled_images_are_streamed_in_their_order_and_by_split(services, ann, cars, images, say) -> None:
    say(images[2], CAR)
    say(images[0])
    with services.database.transaction() as session:
        session.get_one(Task, images[2].id).split = "held_out"

    def streamed(split: str | None) -> list[str]:
        return [each.picture.filename for each in services.annotations.stream(ann, cars.id, split=split)]

    assert streamed(None) == ["0.png", "2.png"]
    assert streamed("val") == ["2.png"]
    assert streamed("unassigned") == ["0.png"]
    assert streamed("train") == []


def test_a_stream_goes_on_where_a_part_of_it_ended(services, ann, cars, project, say) -> None:
    for number in range(1001):
        with services.database.transaction() as session:
            task = Task(number=100_000 + number, project_id=project.id, external_id=str(number))
            session.add(task)
        if number in (0, 499, 500, 501, 1000):
            say(task)

    assert len(list(services.annotations.stream(ann, cars.id))) == 5


def test_a_size_is_read_once_and_remembered(services, ann, cars, project) -> None:
    task = add_image(services, project, "turned.png", size=(20, 10), orientation=6, is_measured=False)
    [picture] = services.annotations.pictures(ann, cars.id)

    measured = services.annotations.measure(picture)

    assert (measured.width_px, measured.height_px) == (10, 20)
    with services.database.reading() as session:
        assert session.get_one(Task, task.id).width_px == 10


def test_label_sets_about_numbers_are_not_answered_here(services, ann, project, images) -> None:
    numbers = make_label_set(services, project, Objective.DETECTION, [], name="numbers")
    with services.database.transaction() as session:
        row = session.get_one(LabelSet, numbers.id)
        row.labels = {**row.labels, "objective": "regression"}

    with pytest.raises(Invalid, match="Label Studio"):
        services.annotations.write(ann, numbers.id, [], source=Source.IMPORT)
