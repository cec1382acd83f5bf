from __future__ import annotations

from typing import Any

from models.labels import Objective

IMAGES = [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}]
SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]


def _file(*annotations: dict[str, Any], **category: Any) -> dict[str, Any]:
    about = {"image_id": 1, "category_id": 3}
    return {
        "images": IMAGES,
        "annotations": [{"id": number, **about, **each} for number, each in enumerate(annotations)],
        "categories": [{"id": 3, "name": "part", **category}],
    }


def test_the_parts_of_one_thing_become_outlines_or_one_mask(exchange) -> None:
    data = _file({"segmentation": [SQUARE, [each + 50 for each in SQUARE]]})
    outlines, masks = (
        exchange(Objective.INSTANCE_SEGMENTATION, ["part"]),
        exchange(Objective.SEMANTIC_SEGMENTATION, ["part"]),
    )

    assert outlines.bring("coco", data).num_created == 2
    assert masks.bring("coco", data).num_created == 1

    [annotation] = masks.out("coco")["annotations"]
    assert annotation["area"] == 200
    assert annotation["bbox"] == [10, 10, 60, 60]


def test_a_mask_for_outlines_is_outlined(exchange) -> None:
    outlines = exchange(Objective.INSTANCE_SEGMENTATION, ["part"])
    counts = [480 * 10 + 10, *[10, 470] * 9, 10]
    rest = 480 * 640 - sum(counts)

    outlines.bring("coco", _file({"segmentation": {"size": [480, 640], "counts": [*counts, rest]}}))

    [annotation] = outlines.said()["a.jpg"]
    assert sorted(annotation["polygon"]) == [[10, 10], [10, 20], [20, 10], [20, 20]]


def test_points_are_those_that_can_be_seen(exchange) -> None:
    points = exchange(Objective.KEY_POINTS, ["nose", "tail"])
    data = _file({"keypoints": [5, 6, 2, 0, 0, 0]}, keypoints=["nose", "tail"])

    points.bring("coco", data)

    assert points.said() == {"a.jpg": [{"label": "nose", "point": [5, 6]}]}
    exported = points.out("coco")
    points.bring("coco", exported)
    assert points.out("coco") == exported


def test_an_image_of_another_size_is_not_meant(exchange) -> None:
    data = _file({"bbox": [1, 2, 3, 4]})
    data["images"] = [{**IMAGES[0], "width": 480, "height": 640}]

    imported = exchange(Objective.DETECTION, ["part"]).bring("coco", data)

    assert imported.num_images == 0
    assert [problem.message[:30] for problem in imported.problems] == ["The file says 480 × 640 pixels"]


def test_an_annotation_of_no_image_is_listed(exchange) -> None:
    imported = exchange(Objective.DETECTION, ["part"]).bring("coco", _file({"bbox": [1, 2, 3, 4], "image_id": 9}))

    assert (imported.num_skipped, imported.problems[0].code) == (1, "IMPORT_INVALID")
