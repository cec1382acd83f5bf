from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adapters.label_studio.results import prompts
from models.regions import Mask


def item(kind: str, value: dict[str, Any], *, name: str = "a", **extra: Any) -> dict[str, Any]:
    size = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    return {"id": name, "from_name": "tool", "to_name": "photo", "type": kind, "value": value, **size, **extra}


def point(x: float, y: float, *, label: str = "Nut", name: str = "a", **extra: Any) -> dict[str, Any]:
    return item(
        "keypointlabels",
        {"x": x, "y": y, "width": 0.3, "keypointlabels": [label], "labels": [label]},
        name=name,
        **extra,
    )


def rectangle(x: float, y: float, width: float, height: float, *, rotation: float = 0) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation, "rectanglelabels": ["Nut"]}
    return item("rectanglelabels", value)


def read_prompts(*items: dict[str, Any]) -> prompts.Prompts:
    found, faults = prompts.to_prompts(prompts.drawn(items))
    assert faults == []
    return found


def png(inside: np.ndarray) -> str:
    rgba = np.zeros((*inside.shape, 4), np.uint8)
    rgba[inside, 3] = 255
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_points_are_fractions_in_the_order_in_which_they_were_clicked() -> None:
    found = read_prompts(point(41.2, 55, name="a"), point(10, 20, name="b"))

    assert found.inside == ((pytest.approx(0.412), pytest.approx(0.55)), (pytest.approx(0.1), pytest.approx(0.2)))
    assert found.outside == ()


@pytest.mark.parametrize(
    ("extra", "is_inside"),
    [
        ({}, True),
        ({"is_positive": True}, True),
        ({"is_positive": False}, False),
        ({"is_positive": None}, True),
    ],
)
def test_a_point_is_inside_unless_it_says_otherwise(extra: dict[str, Any], is_inside: bool) -> None:
    """C-045."""
    found = read_prompts(point(10, 20, **extra))

    assert (len(found.inside), len(found.outside)) == ((1, 0) if is_inside else (0, 1))


@pytest.mark.parametrize("is_positive", [True, False])
def test_the_enterprise_editor_says_so_in_the_value(is_positive: bool) -> None:
    """C-045 and A.11."""
    clicked = point(10, 20)
    clicked["value"]["positive"] = is_positive

    assert len(read_prompts(clicked).inside) == is_positive


def test_points_that_are_only_outside_point_at_nothing() -> None:
    assert read_prompts(point(10, 20, is_positive=False)).is_empty


def test_an_upright_box() -> None:
    [box] = read_prompts(rectangle(10, 20, 30, 40)).boxes

    assert box.bounds == pytest.approx((0.1, 0.2, 0.4, 0.6))


def test_a_rotated_box_turns_about_its_corner_in_pixels() -> None:
    """C-050 with the corners of B.4: (X, Y), (X+w·cosθ, Y+w·sinθ) …, on an image of 200 × 100 pixels."""
    [box] = read_prompts(rectangle(50, 10, 20, 30, rotation=90)).boxes

    # The corner is at (100, 10) px, the sides are 40 and 30 px; a quarter turn clockwise points them down and left.
    expected = [(100, 10), (100, 50), (70, 50), (70, 10)]
    assert [(x * 200, y * 100) for x, y in box.corners] == [pytest.approx(corner) for corner in expected]


def test_a_box_rotated_by_30_degrees_has_the_corners_of_the_contract() -> None:
    """C-050."""
    [box] = read_prompts(rectangle(50, 10, 20, 30, rotation=30)).boxes

    cos, sin = 3**0.5 / 2, 0.5
    expected = [
        (100, 10),
        (100 + 40 * cos, 10 + 40 * sin),
        (100 + 40 * cos - 30 * sin, 10 + 40 * sin + 30 * cos),
        (100 - 30 * sin, 10 + 30 * cos),
    ]
    assert [(x * 200, y * 100) for x, y in box.corners] == [pytest.approx(corner) for corner in expected]


def test_strokes_are_masks() -> None:
    """C-051, with a vector of B.9: two rows, [[0, 255], [255, 0]]."""
    value = {"format": "rle", "rle": [0, 0, 0, 16, 57, 27, 252, 96, 19, 255, 198, 0], "brushlabels": ["Nut"]}

    found = read_prompts(item("brushlabels", value) | {"original_width": 2, "original_height": 2})

    assert found.masks == (Mask("", 2, 2, (1, 2, 1)),)


def test_bitmasks_are_masks() -> None:
    inside = np.zeros((100, 200), bool)
    inside[10:20, 30:50] = True

    [mask] = read_prompts(item("bitmasklabels", {"imageDataURL": png(inside), "bitmasklabels": ["Nut"]})).masks

    assert (mask.to_array() == inside).all()


def test_an_outline_is_taken_for_the_box_around_it() -> None:
    value = {"points": [[10, 10], [30, 10], [30, 50]], "closed": True, "polygonlabels": ["Nut"]}

    [box] = read_prompts(item("polygonlabels", value)).boxes

    assert box.bounds == pytest.approx((0.1, 0.1, 0.3, 0.5))


@pytest.mark.parametrize(
    "broken",
    [
        item("keypointlabels", {"x": "left", "y": 5}),
        item("keypointlabels", {}),
        item("rectanglelabels", {"x": 1, "y": 1, "width": 0, "height": 3}),
        item("brushlabels", {"format": "rle", "rle": [1, 2, 3]}),
        item("brushlabels", {"format": "rle", "rle": [0, 0, 0, 16, 57, 27, 252, 96, 19, 255, 198, 0]}),
        item("bitmasklabels", {"imageDataURL": "data:image/png;base64,AAAA"}),
        {"id": "a", "type": "keypointlabels"},
        {"id": "a", "type": "keypointlabels", "value": "x"},
    ],
)
def test_what_cannot_be_read_is_left_out_with_a_reason(broken: dict[str, Any]) -> None:
    found, faults = prompts.to_prompts(prompts.drawn([broken, point(10, 20, name="b")]))

    assert len(found.inside) == 1
    assert len(faults) == 1
    assert faults[0]


def test_a_label_may_be_in_an_item_of_its_own() -> None:
    """The split form: a point, and what it is called, share an id."""
    parts = [
        item("keypoint", {"x": 10, "y": 20, "width": 1}),
        item("labels", {"x": 10, "y": 20, "width": 1, "labels": ["Nut", "Bolt"]}) | {"from_name": "names"},
    ]

    [region] = prompts.drawn(parts)

    assert (region.tag, region.control_name, region.label) == ("keypoint", "tool", "Nut")


def test_answers_about_a_region_are_no_prompts() -> None:
    parts = [
        item("textarea", {"x": 10, "y": 20, "width": 1, "text": ["rusty"]}) | {"from_name": "note"},
        point(10, 20),
        item("choices", {"choices": ["old"]}, name="c"),
    ]

    [region] = prompts.drawn(parts)

    assert (region.tag, region.label) == ("keypointlabels", "Nut")


def test_prompts_are_about_what_the_newest_is_about() -> None:
    """F-24: programs may mix labels and images; the answer has one label."""
    drawn = prompts.drawn(
        [
            point(1, 1, name="a"),
            point(2, 2, name="b", label="Bolt"),
            point(3, 3, name="c", to_name="other"),
            point(4, 4, name="d"),
        ]
    )

    assert [region.id for region in prompts.about_one_thing(drawn)] == ["a", "d"]


@pytest.mark.parametrize(
    ("value", "newest"),
    [
        ({"text": ["find nuts", " find bolts "]}, "find bolts"),
        ({"text": "find nuts"}, "find nuts"),
        ({"text": []}, ""),
        ({"text": [5]}, ""),
        ({}, ""),
    ],
)
def test_the_newest_text_is_the_last(value: dict[str, Any], newest: str) -> None:
    """C-054."""
    [written] = prompts.drawn([item("textarea", value)])

    assert written.newest_text == newest


@pytest.mark.parametrize("context", [[], [1], "text", "", 5, 0, False, {}, {"result": None}, {"result": "x"}])
def test_a_context_of_any_kind_is_a_prediction_without_prompts(context: object) -> None:
    """C-047 and C-048."""
    assert prompts.read(context) == prompts.Interaction("predict")


def test_items_that_are_no_items_are_left_out() -> None:
    found = prompts.read({"result": [None, 1, [], {}, {"type": 5}, {"type": "keypointlabels"}]})

    assert found is not None
    assert found.items == ({"type": "keypointlabels"},)
