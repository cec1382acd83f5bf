from __future__ import annotations

from typing import Any

from sqlalchemy import select

from backend.predictions.foreign import Said
from backend.projects.tasks import Task
from models.labels import Objective

BOX = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0}


def _item(label: str, *, name: str = "other", **value: Any) -> dict[str, Any]:
    size = {"original_width": 640, "original_height": 480}
    return {
        "type": "rectanglelabels",
        "from_name": name,
        "to_name": "image",
        **size,
        "value": {**BOX, "rectanglelabels": [label], **value},
    }


def _task(*results: list[dict[str, Any]], **annotation: Any) -> dict[str, Any]:
    annotations = [
        {"result": each, "updated_at": f"2026-01-0{day}", **annotation} for day, each in enumerate(results, 1)
    ]
    return {"id": 1, "data": {"image": "/data/local-files/?d=x/a.jpg"}, "annotations": annotations}


def test_only_items_of_the_own_control_are_read_where_it_answered(exchange) -> None:
    cars = exchange(Objective.DETECTION, ["car"])
    own = _item("car", name=cars.label_set.name)

    assert cars.bring("labelstudio", [_task([own, _item("tram")])]).problems == []
    assert len(cars.said()["a.jpg"]) == 1
    assert cars.bring("labelstudio", [_task([_item("tram")])]).problems[0].code == "UNKNOWN_LABEL"


def test_appending_keeps_what_everybody_said(exchange) -> None:
    cars = exchange(Objective.DETECTION, ["car", "bus"])
    task = _task([_item("car")], [_item("bus")])

    cars.bring("labelstudio", [task])
    assert [each["label"] for each in cars.said()["a.jpg"]] == ["bus"]

    cars.bring("labelstudio", [task], appends=True)
    assert [each["label"] for each in cars.said()["a.jpg"]] == ["bus", "car", "bus"]


def test_a_task_that_nobody_finished_is_not_labelled(exchange) -> None:
    cars = exchange(Objective.DETECTION, ["car"])

    cars.bring("labelstudio", [_task([_item("car")], was_cancelled=True), {**_task(), "id": 2}])

    assert cars.said() == {}


def test_brushes_go_in_and_out(exchange) -> None:
    roads = exchange(Objective.SEMANTIC_SEGMENTATION, ["road"])
    image = {"filename": "a.jpg", "annotations": [{"label": "road", "polygon": [[0, 0], [100, 0], [0, 100]]}]}
    roads.bring("native", {"images": [image]})
    before = roads.out("native")

    imported = roads.bring("labelstudio", roads.out("labelstudio"))

    assert (imported.num_created, imported.problems) == (1, [])
    assert roads.out("native") == before


def test_an_export_fits_the_configuration(exchange) -> None:
    kinds = exchange(Objective.MULTI_LABEL, ["wet", "dark"])
    kinds.bring("csv", "filename,label\na.jpg,wet,dark\n")

    [task] = kinds.out("labelstudio")

    [item] = task["annotations"][0]["result"]
    assert (item["from_name"], item["to_name"], item["type"]) == (kinds.label_set.name, "image", "choices")
    assert sorted(item["value"]["choices"]) == ["dark", "wet"]
    assert task["data"]["image"].startswith("http://here/images/img_")


def test_an_export_holds_what_other_ml_backends_said_about_the_label_set(exchange, services) -> None:
    cars = exchange(Objective.DETECTION, ["car"])
    cars.bring("native", {"images": [{"filename": name, "annotations": []} for name in ("a.jpg", "b.jpg")]})
    with services.database.reading() as session:
        task = session.scalars(select(Task).filter_by(filename="a.jpg")).one()
    own = _item("car", name=cars.label_set.name)
    services.foreign_predictions.keep(task.project_id, [Said(task.number, "theirs-1", [own, _item("tram")], 0.75)])

    found = {each["meta"]["filename"]: each.get("predictions") for each in cars.out("labelstudio")}

    said = {"model_version": "theirs-1", "score": 0.75, "result": [own]}
    assert found == {"a.jpg": [said], "b.jpg": None}
