from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from labelled_projects import add_image, make_label_set, make_project

from backend.projects.service import LabelSet, Project
from backend.projects.tasks import Annotation
from backend.storage.columns import utc_now
from models.labels import Objective
from models.regions import Box, to_json


@pytest.fixture
def project(services, agent) -> Project:
    workspace = services.accounts.authenticate(agent.key).workspace_ids[0]
    return make_project(services, workspace)


@pytest.fixture
def cars(services, project) -> LabelSet:
    return make_label_set(services, project, Objective.DETECTION, ["car", "bus"])


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


TRUTH = {
    "images": [
        {
            "filename": "a.jpg",
            "annotations": [
                {"label": "car", "bbox": [10, 20, 100, 50]},
                {"label": "bus", "bbox": [200.5, 7.25, 33, 99]},
            ],
        },
        {"filename": "b.jpg", "annotations": [{"label": "bus", "bbox": [0, 0, 640, 480]}]},
        {"filename": "c.jpg", "annotations": []},
    ]
}


@pytest.fixture
def gallery(services, project) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        add_image(services, project, name)


def _without_rest(exported: dict[str, Any]) -> list[Any]:
    return [{key: image[key] for key in ("filename", "annotations")} for image in exported["images"]]


@pytest.mark.parametrize("form", ["coco", "yolo", "labelstudio", "voc", "native"])
def test_the_same_truth_is_exported_alike_whichever_format_it_came_in(
    agent, services, project, cars, gallery, form
) -> None:
    """M-015."""
    path = f"/label-sets/lbs_{cars.id}/annotations"
    agent.ok("POST", f"{path}/import", json={"format": "native", "data": TRUTH})
    native = agent.ok("GET", f"{path}/export?format=native")
    data = agent.ok("GET", f"{path}/export?format={form}")
    other = make_label_set(services, project, Objective.DETECTION, ["car", "bus"], name="other")

    imported = agent.ok("POST", f"/label-sets/lbs_{other.id}/annotations/import", json={"format": form, "data": data})

    assert imported["matchedImages"] == 3
    assert imported["created"] == 3
    assert imported["errors"] == imported["unmatched"] == []
    assert agent.ok("GET", f"/label-sets/lbs_{other.id}/annotations/export?format=native") == native
    assert _without_rest(native) == [
        {"filename": image["filename"], "annotations": image["annotations"]} for image in TRUTH["images"]
    ]


def test_the_same_truth_in_the_words_of_other_tools_is_exported_alike(agent, services, project, gallery) -> None:
    """M-015: as the tools write it, not as we do."""
    boxes = [
        ("a.jpg", "car", [10, 20, 100, 50]),
        ("a.jpg", "bus", [201, 7, 33, 99]),
        ("b.jpg", "bus", [0, 0, 640, 480]),
    ]
    files: dict[str, str] = {"a.txt": "", "b.txt": "", "c.txt": ""}
    items: dict[str, list[Any]] = {"a.jpg": [], "b.jpg": [], "c.jpg": []}
    for name, label, (x, y, width, height) in boxes:
        numbers = ((x + width / 2) / 640, (y + height / 2) / 480, width / 640, height / 480)
        files[name.replace("jpg", "txt")] += (
            " ".join(["01"[label == "car"], *(f"{each:.6f}" for each in numbers)]) + "\n"
        )
        value = {"x": x / 6.4, "y": y / 4.8, "width": width / 6.4, "height": height / 4.8, "rectanglelabels": [label]}
        size = {"original_width": 640, "original_height": 480, "image_rotation": 0}
        item = {"from_name": "label", "to_name": "img", "type": "rectanglelabels", "value": {**value, "rotation": 0}}
        items[name].append({**size, **item})
    old = {"result": [], "was_cancelled": False, "updated_at": "2026-01-01T00:00:00Z"}
    cancelled = {"result": [], "was_cancelled": True, "updated_at": "2026-12-01T00:00:00Z"}
    data = {
        "native": {
            "images": [
                {
                    "filename": name,
                    "annotations": [{"label": label, "bbox": box} for at, label, box in boxes if at == name],
                }
                for name in items
            ]
        },
        "coco": {
            "annotations": [
                {"id": n, "image_id": "abc".index(name[0]), "category_id": "bc".index(label[0]), "bbox": box}
                for n, (name, label, box) in enumerate(boxes)
            ],
            "categories": [{"id": 0, "name": "bus"}, {"id": 1, "name": "car"}],
            "images": [{"id": n, "file_name": f"train/{n}".replace(f"{n}", name)} for n, name in enumerate(items)],
        },
        "yolo": {"classes": ["bus", "car"], "files": files},
        "labelstudio": [
            {
                "id": 7,
                "data": {"image": f"/data/upload/3/0a1b2c3d-{name}"},
                "annotations": [old, {"result": each, "updated_at": "2026-02-01T00:00:00Z"}, cancelled],
            }
            for name, each in items.items()
        ],
    }
    exported = []
    for form, written in data.items():
        label_set = make_label_set(services, project, Objective.DETECTION, ["car", "bus"], name=form)
        path = f"/label-sets/lbs_{label_set.id}/annotations"
        imported = agent.ok("POST", f"{path}/import", json={"format": form, "data": written})
        assert (imported["matchedImages"], imported["created"], imported["errors"]) == (3, 3, [])
        exported.append(agent.ok("GET", f"{path}/export?format=native"))

    assert exported[0] == exported[1] == exported[2] == exported[3]


@pytest.fixture
def bring(agent, cars) -> Callable[..., Any]:
    """Import for `cars`; return what became of it, or the error."""

    def bring(data: Any, form: str = "native", *, ok: bool = True, label_set: LabelSet = cars, **options: Any) -> Any:
        ask = agent.ok if ok else agent.error
        path = f"/label-sets/lbs_{label_set.id}/annotations/import"
        return ask("POST", path, json={"data": data, "format": form, **options})

    return bring


def test_a_trial_changes_nothing(agent, cars, gallery, bring) -> None:
    """M-016."""
    bring(TRUTH)
    before = agent.ok("GET", f"/label-sets/lbs_{cars.id}/annotations/export")
    data = {"images": [{"filename": "a.jpg", "annotations": [{"label": "tram", "bbox": [1, 1, 5, 5]}]}]}

    tried = bring(data, dryRun=True, createMissingLabels=True)

    assert (tried["created"], tried["replaced"], tried["newLabels"], tried["dryRun"]) == (1, 2, ["tram"], True)
    assert agent.ok("GET", f"/label-sets/lbs_{cars.id}/annotations/export") == before


def test_what_is_wrong_is_listed_and_the_rest_is_imported(agent, cars, gallery, bring) -> None:
    good = {"label": "car", "bbox": [1, 1, 5, 5]}
    imported = bring(
        {
            "images": [
                {"filename": "a.jpg", "annotations": [good, {"label": "tram", "bbox": [1, 1, 5, 5]}, 7]},
                {"filename": "b.jpg", "annotations": [{"label": "car", "bbox": [1, 1, 0, 5]}]},
                {"filename": "nowhere.jpg", "annotations": [good, good]},
            ]
        }
    )

    assert imported["matchedImages"] == 1
    assert imported["created"] == 1
    assert imported["skipped"] == 5
    assert imported["unmatched"] == ["nowhere.jpg"]
    assert [(each["ref"], each["code"]) for each in imported["errors"]] == [
        ("a.jpg#1", "UNKNOWN_LABEL"),
        ("a.jpg#2", "VALIDATION_ERROR"),
        ("b.jpg#0", "GEOMETRY_INVALID"),
    ]
    images = agent.ok("GET", f"/label-sets/lbs_{cars.id}/annotations/export")["images"]
    assert [image["filename"] for image in images] == ["a.jpg"]


def test_no_more_than_a_hundred_errors_are_listed(gallery, bring) -> None:
    wrong = [{"label": "tram", "bbox": [1, 1, 5, 5]}] * 150
    images = [{"filename": f"{number}.gif", "annotations": []} for number in range(150)]

    imported = bring({"images": [{"filename": "a.jpg", "annotations": wrong}, *images]})

    assert len(imported["errors"]) == len(imported["unmatched"]) == 100
    assert imported["skipped"] == 150


def test_missing_labels_are_created_in_the_configuration_as_well(services, cars, gallery, bring) -> None:
    data = {"images": [{"filename": "a.jpg", "annotations": [{"label": "tram", "bbox": [1, 1, 5, 5]}]}]}

    imported = bring(data, createMissingLabels=True)

    assert imported["newLabels"] == ["tram"]
    changed = services.projects.get_label_set(cars.id)
    assert changed.schema.names == ("car", "bus", "tram")
    assert 'value="tram"' in changed.document


def test_appending_keeps_what_counts(agent, cars, gallery, bring) -> None:
    bring(TRUTH)
    data = {"images": [{"filename": "a.jpg", "annotations": [{"label": "car", "bbox": [1, 1, 5, 5]}]}]}

    imported = bring(data, mode="append")

    assert (imported["created"], imported["replaced"]) == (1, 0)
    [image, *_] = agent.ok("GET", f"/label-sets/lbs_{cars.id}/annotations/export")["images"]
    assert [each["bbox"][0] for each in image["annotations"]] == [10, 200.5, 1]


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("native", {"images": {}}),
        ("native", []),
        ("native", {"images": [7]}),
        ("native", {"images": [{"filename": "a.jpg"}]}),
        ("coco", {"images": [], "annotations": []}),
        ("coco", {"images": [], "annotations": [{"image_id": None}], "categories": []}),
        ("coco", {"images": [], "annotations": [7], "categories": []}),
        ("coco", {"images": [{"id": [], "file_name": "a"}], "annotations": [], "categories": []}),
        ("yolo", {"classes": [1], "files": {}}),
        ("yolo", {"classes": [], "files": {"a.txt": 1}}),
        ("labelstudio", {}),
        ("labelstudio", [{"id": 1}]),
        ("voc", {"files": []}),
        ("csv", "a.jpg,car"),
    ],
)
def test_a_file_that_is_not_of_its_form_is_refused(cars, bring, gallery, form, data) -> None:
    assert bring(data, form, ok=False)[:2] == (400, "IMPORT_INVALID")


def test_unknown_options_are_refused(bring) -> None:
    assert bring({"images": []}, "tfrecord", ok=False)[:2] == (400, "VALIDATION_ERROR")
    assert bring({"images": []}, mode="merge", ok=False)[:2] == (400, "VALIDATION_ERROR")


def test_a_body_that_is_no_json_is_refused_and_nothing_is_written(agent, cars, gallery) -> None:
    path = f"/label-sets/lbs_{cars.id}/annotations"
    whole = json.dumps({"format": "native", "data": TRUTH})

    for broken in (whole[:-20], "[1]", "", "nul", whole.replace("100", "NaN")):
        status, code, _ = agent.error("POST", f"{path}/import", data=broken, content_type="application/json")
        assert status == 400
        assert code in ("INVALID_JSON", "IMPORT_INVALID")

    assert agent.ok("GET", f"{path}/export")["images"] == []


def test_compressed_bodies_are_read_up_to_their_real_size(agent, cars, gallery) -> None:
    path = f"/label-sets/lbs_{cars.id}/annotations"
    headers = {"Content-Encoding": "gzip"}
    small = gzip.compress(json.dumps({"format": "native", "data": TRUTH}).encode())
    bomb = gzip.compress(b'{"format": "native", "data": "' + b" " * (100 * 2**20), compresslevel=1)

    imported = agent.ok("POST", f"{path}/import", data=small, content_type="application/json", headers=headers)

    assert imported["created"] == 3
    options = {"content_type": "application/json", "headers": headers}
    assert agent.error("POST", f"{path}/import", data=bomb, **options)[:2] == (413, "PAYLOAD_TOO_LARGE")


def test_of_two_images_with_one_name_none_is_meant(services, project, bring) -> None:
    first = add_image(services, project, "same.jpg")
    add_image(services, project, "same.jpg", size=(64, 48))
    said = [{"label": "car", "bbox": [1, 1, 5, 5]}]

    imported = bring({"images": [{"filename": "same.jpg", "annotations": said}]})
    assert imported["matchedImages"] == 0
    assert imported["errors"][0]["code"] == "IMPORT_INVALID"

    assert bring({"images": [{"imageId": f"img_{first.id}", "annotations": said}]})["matchedImages"] == 1


def test_exports_are_streamed_with_or_without_the_envelope(agent, services, project, cars, gallery, bring) -> None:
    bring(TRUTH)
    path = f"/label-sets/lbs_{cars.id}/annotations/export"

    raw = agent.ask("GET", f"{path}?format=coco&raw=true").get_json()

    assert raw == agent.ok("GET", f"{path}?format=coco")
    assert [category["name"] for category in raw["categories"]] == ["car", "bus"]
    assert agent.ok("GET", f"{path}?split=test")["images"] == []
    assert len(agent.ok("GET", f"{path}?split=unassigned")["images"]) == 3
    assert agent.error("GET", f"{path}?format=csv")[:2] == (409, "FORMAT_UNAVAILABLE")
    assert agent.error("GET", f"{path}?format=zip")[:2] == (400, "VALIDATION_ERROR")


def test_labels_of_whole_images_go_through_csv(agent, services, project, gallery, bring) -> None:
    kinds = make_label_set(services, project, Objective.MULTI_LABEL, ["wet", "dark"], name="kinds")
    text = 'filename,label\r\na.jpg,wet,dark\r\n"b.jpg",dark\r\nc.jpg\r\n'

    assert bring(text, "csv", label_set=kinds)["created"] == 3

    path = f"/label-sets/lbs_{kinds.id}/annotations/export?format=csv"
    exported = agent.ask("GET", f"{path}&raw=true")
    assert exported.mimetype == "text/csv"
    assert exported.get_data(as_text=True) == text.replace('"', "").replace("wet,dark", "dark,wet")
    assert agent.ok("GET", path) == exported.get_data(as_text=True)
