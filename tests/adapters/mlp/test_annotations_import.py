from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from labelled_projects import add_image, make_label_set

from backend.projects.service import LabelSet
from models.labels import Objective

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
