from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import select, update

from backend.errors import Invalid
from backend.projects.service import Mirror
from backend.projects.tasks import (
    SAID_HERE,
    Annotation,
    GivenAnnotation,
    GivenMedia,
    GivenTask,
    LabelledItem,
    Predicted,
    Task,
)
from backend.services import Services
from backend.storage.columns import utc_now
from models.examples import Split
from models.labels import Label, LabelSchema, Objective
from models.regions import Box, Choice, to_json

LabelTasks = Callable[[Sequence[str]], None]


def said(*labels: str) -> tuple[Choice, ...]:
    return tuple(Choice(label) for label in labels)


def items(services: Services, mirror: Mirror) -> list[LabelledItem]:
    return services.tasks.labelled_items(mirror.label_sets[0])


def test_a_fifth_of_each_label_is_held_out(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat"] * 20 + ["dog"] * 10)

    held_out = Counter(item.regions[0].label for item in items(services, mirror) if item.split is Split.HELD_OUT)

    assert held_out == {"cat": 4, "dog": 2}


def test_an_item_keeps_its_split_for_good(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat"] * 10 + ["dog"] * 10)
    before = {item.key: item.split for item in items(services, mirror)}

    label(["dog"] * 10 + ["cat"] * 30)
    after = {item.key: item.split for item in items(services, mirror)}

    assert {key: after[key] for key in before} == before
    assert sum(split is Split.HELD_OUT for split in after.values()) == 8


def test_each_part_that_people_spoke_about_is_an_item_with_the_split_of_its_task(
    services: Services, mirror: Mirror, label: LabelTasks
) -> None:
    left, right = Box("", 0.25, 0.5, 0.5, 1.0), Box("", 0.75, 0.5, 0.5, 1.0)
    media = {"": GivenMedia("/1.png", "a" * 64)}
    opinions = [
        (Choice("cat", part=left), Choice("dog", part=right)),
        (Choice("dog", part=left),),
        (Choice("dog", part=left),),
    ]
    annotations = tuple(
        GivenAnnotation(str(number), utc_now(), {mirror.label_sets[0].id: opinion})
        for number, opinion in enumerate(opinions)
    )
    services.tasks.replace(mirror.project.id, [GivenTask("1", media, annotations)])

    found = items(services, mirror)

    assert [(item.key, item.part, item.regions) for item in found] == [
        ("1#1", left, (Choice("dog"),)),
        ("1#2", right, (Choice("dog"),)),
    ]
    assert len({item.split for item in found}) == 1


def test_rare_labels_are_not_held_out(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat"] * 4 + ["dog"])

    assert {item.split for item in items(services, mirror)} == {Split.TRAIN}


def test_labels_that_the_schema_lost_are_left_out(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat", "dog", "cat"])
    label_set = mirror.label_sets[0]
    label_set.labels = LabelSchema(Objective.CLASSIFICATION, (Label("cat"),)).to_json()

    kept = services.tasks.labelled_items(label_set)

    assert [item.key for item in kept] == ["0", "2"]


def test_tasks_without_media_are_left_out(services: Services, mirror: Mirror) -> None:
    annotation = GivenAnnotation("1", utc_now(), {mirror.label_sets[0].id: said("cat")})
    services.tasks.replace(mirror.project.id, [GivenTask("1", {"": GivenMedia("/1.png", None)}, (annotation,))])

    assert items(services, mirror) == []


def test_shares_of_a_run_are_not_remembered(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat"] * 10 + ["dog"] * 10)
    label_set, ratios = mirror.label_sets[0], {"train": 0.5, "val": 0.25, "test": 0.25}

    drawn = services.tasks.labelled_items(label_set, ratios=ratios, seed=1)
    again = services.tasks.labelled_items(label_set, ratios=ratios, seed=1)
    other = services.tasks.labelled_items(label_set, ratios=ratios, seed=2)
    counts = services.tasks.count_labelled(label_set, ratios=ratios, seed=1)

    assert drawn == again != other
    assert (counts.num_train, counts.num_held_out, counts.num_test, counts.num_regions) == (10, 5, 5, 15)
    assert Counter(item.split for item in drawn) == {Split.TRAIN: 10, Split.HELD_OUT: 5}
    with services.database.reading() as session:
        assert set(session.scalars(select(Task.split))) == {None}


def test_counting_decides_nothing(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat"] * 10)

    counts = services.tasks.count_labelled(mirror.label_sets[0])

    assert (counts.num_train, counts.num_held_out) == (8, 2)
    with services.database.reading() as session:
        assert set(session.scalars(select(Task.split))) == {None}


def test_tasks_set_aside_for_tests_are_left_out(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat"] * 10)
    with services.database.transaction() as session:
        session.execute(update(Task).where(Task.external_id.in_(["0", "1"])).values(split="test"))

    found = items(services, mirror)

    assert len(found) == 8
    assert not {"0", "1"} & {item.key for item in found}


def test_what_agents_say_counts_like_what_everybody_says(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat"])
    with services.database.transaction() as session:
        task = session.scalars(select(Task)).one()
        here = {"task_id": task.id, "label_set_id": mirror.label_sets[0].id, "external_id": SAID_HERE}
        session.add(Annotation(**here, regions=to_json([Choice("dog")]), updated_at=utc_now()))

    [item] = items(services, mirror)

    assert item.regions == (Choice("dog"),)  # one says this, one says that: the newest wins


def test_too_few_labels_are_told_by_what_is_missing(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat"] * 4)

    with pytest.raises(Invalid) as caught:
        services.tasks.count_labelled(mirror.label_sets[0]).require_enough()

    assert caught.value.code == "labels_insufficient"
    assert caught.value.details["found"] == {"train": 4, "val": 0, "annotations": 4}


def test_annotations_that_are_no_longer_given_are_gone(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat", "dog"])
    label(["cat"])

    assert [item.key for item in items(services, mirror)] == ["0"]


def test_known_media_are_remembered_by_task_and_source(services: Services, mirror: Mirror, label: LabelTasks) -> None:
    label(["cat"])

    known = services.tasks.known_media(mirror.project.id)

    assert list(known) == [("0", "/0.png")]


def test_predictions_of_an_unknown_version_are_not_kept_half(services: Services) -> None:
    found = services.tasks.find_predictions("nothing", ["a" * 64])

    assert found == {}


def test_a_prediction_is_found_again(services: Services, label: LabelTasks, train: Callable[[], str]) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    version_id = services.training.get(train()).version_id or ""
    predicted = Predicted((Choice("cat", 0.75),), 640, 480)

    services.tasks.keep_predictions(version_id, {"a" * 64: predicted})
    services.tasks.keep_predictions(version_id, {"a" * 64: predicted})
    found = services.tasks.find_predictions(version_id, ["a" * 64, "b" * 64])
    services.tasks.prune()
    kept = services.tasks.find_predictions(version_id, ["a" * 64])
    services.tasks.forget_predictions([version_id])

    assert kept == found == {"a" * 64: predicted}
    assert services.tasks.find_predictions(version_id, ["a" * 64]) == {}
