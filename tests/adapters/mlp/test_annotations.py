from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from labelled_projects import add_image, make_label_set, make_project

from backend.projects.service import LabelSet
from backend.projects.tasks import Annotation
from backend.storage.columns import utc_now
from models.labels import Objective
from models.regions import Box, to_json


@pytest.fixture
def put(agent, cars, services, project) -> Callable[..., Any]:
    """Say something about one image of 640 × 480 pixels."""
    image = add_image(services, project, "a.jpg")

    def put(*annotations: dict[str, Any], label_set: LabelSet = cars, ok: bool = True, **body: Any) -> Any:
        path = f"/label-sets/lbs_{label_set.id}/images/img_{image.id}/annotations"
        ask = agent.ok if ok else agent.error
        return ask("PUT", path, json={"annotations": list(annotations), **body})

    return put


def test_what_was_put_is_what_is_got(agent, put) -> None:
    answer = put({"label": "car", "bbox": [10, 20, 100, 50]})

    [annotation] = answer["annotations"]
    assert annotation["label"] == "car"
    assert annotation["bbox"] == [10, 20, 100, 50]
    assert annotation["source"] == "agent"
    assert annotation["id"].startswith("ann_")
    assert "polygon" not in annotation
    path = f"/label-sets/{answer['labelSetId']}/images/{answer['imageId']}/annotations"
    assert agent.ok("GET", path) == answer


def test_an_empty_list_is_an_answer_and_deleting_takes_it_back(agent, put) -> None:
    answer = put()
    path = f"/label-sets/{answer['labelSetId']}/images/{answer['imageId']}/annotations"
    assert answer["labeled"] is True
    assert answer["annotations"] == []

    assert agent.ok("DELETE", path) is None

    assert agent.ok("GET", path)["labeled"] is False


def test_coordinates_may_be_fractions(put) -> None:
    answer = put({"label": "car", "bbox": [0.25, 0.5, 0.5, 0.25]}, coords="normalized")

    assert answer["annotations"][0]["bbox"] == [160, 240, 320, 120]


def test_an_unknown_label_is_refused(put) -> None:
    status, code, details = put({"label": "tram", "bbox": [10, 20, 100, 50]}, ok=False)

    assert (status, code) == (400, "UNKNOWN_LABEL")
    assert list(details["fields"]) == ["annotations.0"]


@pytest.mark.parametrize(
    "shape",
    [
        {"bbox": [600, 20, 41.5, 50]},
        {"bbox": [-1.5, 20, 40, 50]},
        {"bbox": [10, 20, 0, 50]},
        {"bbox": [10, 20, -5, 50]},
        {"bbox": [600, 400, 100, 100], "rotation": 30},
        {"bbox": [10, 20, 1e308, 50]},
        {"polygon": [[0, 0], [10, 0], [0, 10]]},
        {},
    ],
)
def test_a_box_that_makes_no_sense_is_refused(put, shape) -> None:
    assert put({"label": "car", **shape}, ok=False)[:2] == (400, "GEOMETRY_INVALID")


def test_what_is_a_pixel_too_far_is_cut_off(put) -> None:
    answer = put({"label": "car", "bbox": [-1, 20, 642, 461]})

    assert answer["annotations"][0]["bbox"] == [0, 20, 640, 460]


def test_a_rotated_box_comes_back(put) -> None:
    answer = put({"label": "car", "bbox": [300, 200, 100, 50], "rotation": 30})

    assert answer["annotations"][0]["bbox"] == [300, 200, 100, 50]
    assert answer["annotations"][0]["rotation"] == 30


@pytest.mark.parametrize(
    "polygon",
    [
        [[0, 0], [10, 0]],
        [[0, 0], [10, 0], [10, 0], [0, 0]],
        [[0, 0], [10, 10], [20, 20]],
        [[0, 0], [100, 100], [100, 0], [0, 100]],
        [[0, 0], [100, 0], [700, 100]],
    ],
)
def test_an_outline_that_makes_no_sense_is_refused(services, project, put, polygon) -> None:
    parts = make_label_set(services, project, Objective.INSTANCE_SEGMENTATION, ["part"], name="parts")

    assert put({"label": "part", "polygon": polygon}, label_set=parts, ok=False)[:2] == (400, "GEOMETRY_INVALID")


def test_masks_are_read_with_and_without_compression(services, project, put) -> None:
    masks = make_label_set(services, project, Objective.SEMANTIC_SEGMENTATION, ["road"], name="masks")
    size = [480, 640]
    counts = [480 * 10 + 5, 20, 480 * 640 - 480 * 10 - 25]

    first = put({"label": "road", "rle": {"size": size, "counts": counts}}, label_set=masks)["annotations"][0]["rle"]
    again = put({"label": "road", "rle": first}, label_set=masks)["annotations"][0]["rle"]

    assert isinstance(first["counts"], str)
    assert first == again
    for wrong in (
        {"size": size, "counts": [480 * 640]},
        {"size": [640, 480], "counts": counts},
        {"size": size, "counts": "~"},
    ):
        assert put({"label": "road", "rle": wrong}, label_set=masks, ok=False)[:2] == (400, "GEOMETRY_INVALID")


def test_a_question_with_one_answer_takes_one(services, project, put) -> None:
    kinds = make_label_set(services, project, Objective.CLASSIFICATION, ["day", "night"], name="kinds")

    assert put({"label": "day"}, label_set=kinds)["annotations"][0]["label"] == "day"
    assert put({"label": "day"}, {"label": "night"}, label_set=kinds, ok=False)[:2] == (400, "VALIDATION_ERROR")


def test_the_size_of_an_image_is_read_when_nobody_knows_it(agent, services, project, cars) -> None:
    image = add_image(services, project, "turned.png", size=(200, 100), orientation=6, is_measured=False)
    path = f"/label-sets/lbs_{cars.id}/images/img_{image.id}/annotations"

    agent.ok("PUT", path, json={"annotations": [{"label": "car", "bbox": [50, 100, 50, 100]}]})

    assert agent.ok("GET", path)["annotations"][0]["bbox"] == [50, 100, 50, 100]
    assert agent.error("PUT", path, json={"annotations": [{"label": "car", "bbox": [150, 0, 20, 20]}]})[0] == 400


def test_boxes_on_a_turned_photo_survive_label_studio(agent, services, project, cars) -> None:
    """M-012."""
    image = add_image(services, project, "turned.png", size=(4031, 3023), orientation=6)
    path = f"/label-sets/lbs_{cars.id}"
    box = [13.37, 29.71, 1001.13, 333.33]
    agent.ok("PUT", f"{path}/images/img_{image.id}/annotations", json={"annotations": [{"label": "car", "bbox": box}]})
    exported = agent.ok("GET", f"{path}/annotations/export?format=labelstudio")
    [item] = exported[0]["annotations"][0]["result"]
    assert (item["original_width"], item["original_height"]) == (3023, 4031)

    agent.ok("POST", f"{path}/annotations/import", json={"format": "labelstudio", "data": exported})

    [annotation] = agent.ok("GET", f"{path}/images/img_{image.id}/annotations")["annotations"]
    assert annotation["source"] == "import"
    assert annotation["bbox"] == pytest.approx(box, abs=0.01)


def test_what_people_say_in_label_studio_counts(agent, services, project, cars, put) -> None:
    answer = put({"label": "car", "bbox": [10, 20, 100, 50]})
    task_id = answer["imageId"].removeprefix("img_")
    theirs = Annotation(
        task_id=task_id,
        label_set_id=cars.id,
        external_id="17",
        regions=to_json([Box.from_bounds("bus", 0.0, 0.0, 0.5, 0.5)]),
        updated_at=utc_now(),
    )
    with services.database.transaction() as session:
        session.add(theirs)

    path = f"/label-sets/lbs_{cars.id}/images/img_{task_id}/annotations"
    [seen] = agent.ok("GET", path)["annotations"]
    assert (seen["label"], seen["source"], seen["createdBy"]) == ("bus", "human", None)

    put({"label": "car", "bbox": [1, 2, 3, 4]})
    assert [each["label"] for each in agent.ok("GET", path)["annotations"]] == ["car"]


def test_strangers_see_nothing(agent, stranger, cars, put) -> None:
    """M-029."""
    answer = put()
    path = f"/label-sets/lbs_{cars.id}"

    for method, rest in (
        ("GET", f"images/{answer['imageId']}/annotations"),
        ("PUT", f"images/{answer['imageId']}/annotations"),
        ("DELETE", f"images/{answer['imageId']}/annotations"),
        ("POST", "annotations/import"),
        ("GET", "annotations/export"),
    ):
        body = {"format": "native", "data": {"images": []}, "annotations": []}
        assert stranger.error(method, f"{path}/{rest}", json=body)[:2] == (404, "NOT_FOUND")


def test_an_image_of_another_project_is_not_found(agent, services, cars) -> None:
    workspace = services.accounts.authenticate(agent.key).workspace_ids[0]
    image = add_image(services, make_project(services, workspace), "else.png")

    path = f"/label-sets/lbs_{cars.id}/images/img_{image.id}/annotations"
    assert agent.error("GET", path)[:2] == (404, "NOT_FOUND")
