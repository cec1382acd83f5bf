import numpy as np
import pytest

from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.metrics.segmentation import polygon_overlaps
from models.regions import Mask, Polygon, Region

MASKS = LabelSchema(Objective.SEMANTIC_SEGMENTATION, (Label("sky"), Label("sea")))
POLYGONS = LabelSchema(Objective.INSTANCE_SEGMENTATION, (Label("nut"), Label("fig")))


def mask(label: str, *rows: str) -> Mask:
    return Mask.from_array(label, np.array([[pixel == "#" for pixel in row] for row in rows]))


def square(label: str, left: float, top: float, side: float = 0.2, score: float | None = None) -> Polygon:
    right, bottom = left + side, top + side
    return Polygon(label, ((left, top), (right, top), (right, bottom), (left, bottom)), score)


def test_iou_and_dice_are_those_computed_by_hand() -> None:
    truths = {"a": [mask("sky", "##..", "##..")], "b": [mask("sky", "####", "####")]}
    predictions = {"a": [mask("sky", "#...", "###.")], "b": [mask("sky", "####", "....")]}

    metrics = evaluate(MASKS, truths, predictions).metrics

    # Shares of the image: shared 3/8 + 4/8, true 4/8 + 8/8, found 4/8 + 4/8.
    assert metrics["per_class"]["sky"]["iou"] == pytest.approx((7 / 8) / (20 / 8 - 7 / 8))
    assert metrics["per_class"]["sky"]["dice"] == pytest.approx(2 * (7 / 8) / (20 / 8))
    assert metrics["primary"] == metrics["mean_iou"] == pytest.approx(7 / 13)
    # Background: true 4/8 + 0, found 4/8 + 4/8, shared 3/8.
    assert metrics["background_iou"] == pytest.approx((3 / 8) / (12 / 8 - 3 / 8))
    assert metrics["mean_iou_with_background"] == pytest.approx((7 / 13 + 3 / 9) / 2)


def test_a_label_that_is_claimed_in_vain_lowers_the_mean() -> None:
    truths = {"a": [mask("sky", "##")]}

    assert evaluate(MASKS, truths, {"a": [mask("sky", "##")]}).primary == 1
    assert evaluate(MASKS, truths, {"a": [mask("sky", "##"), mask("sea", "#.")]}).primary == 0.5


def test_labels_may_lie_on_each_other() -> None:
    both = [mask("sky", "##", ".."), mask("sea", "#.", "#.")]

    assert evaluate(MASKS, {"a": both}, {"a": both}).primary == 1


def test_masks_of_one_label_are_united() -> None:
    truths = {"a": [mask("sky", "#...", "...."), mask("sky", "...#", "....")]}

    assert evaluate(MASKS, truths, {"a": [mask("sky", "#..#", "....")]}).primary == 1


def test_an_image_counts_the_same_however_large_it_is() -> None:
    large = Mask.from_array("sky", np.ones((40, 40)))
    truths: dict[str, list[Region]] = {"a": [large], "b": [mask("sky", "#")]}

    assert evaluate(MASKS, truths, {"a": [large]}).primary == 0.5
    assert evaluate(MASKS, truths, {"b": [mask("sky", "#")]}).primary == 0.5


def test_a_prediction_of_another_size_is_scaled_to_the_truth() -> None:
    truths = {"a": [mask("sky", "####....", "####....", "####....", "####....")]}

    assert evaluate(MASKS, truths, {"a": [mask("sky", "##..", "##..")]}).primary == 1


def test_a_mask_whose_runs_do_not_add_up_is_not_counted() -> None:
    broken = Mask("sky", 4, 4, (3, 2))

    assert evaluate(MASKS, {"a": [broken]}, {"a": []}).primary == 1
    assert evaluate(MASKS, {"a": [mask("sky", "##")]}, {"a": [broken]}).primary == 0


def test_nothing_to_paint_and_nothing_painted_is_perfect() -> None:
    assert evaluate(MASKS, {"a": []}, {}).primary == 1
    assert evaluate(MASKS, {"a": []}, {"a": [mask("sky", "#")]}).primary == 0
    assert evaluate(MASKS, {}, {}).metrics["num_examples"] == 0


def test_a_label_that_the_schema_has_forgotten_is_counted() -> None:
    metrics = evaluate(MASKS, {"a": [mask("land", "#")]}, {}).metrics

    assert metrics["per_class"]["land"] == {"iou": 0.0, "dice": 0.0, "support": 1, "num_predicted": 0}


def test_overlaps_of_polygons_are_those_computed_by_hand() -> None:
    polygons = [square("nut", 0.0, 0.0), square("nut", 0.5, 0.5, 0.001)]
    others = [square("nut", 0.1, 0.0), square("nut", 0.5, 0.5, 0.001), square("nut", 0.8, 0.8)]

    overlaps = polygon_overlaps(polygons, others)

    assert overlaps == pytest.approx(np.array([[1 / 3, 0, 0], [0, 1, 0]]), abs=0.015)
    assert polygon_overlaps(polygons, []).shape == (2, 0)


def test_each_thing_is_found_once() -> None:
    truths = {"a": [square("nut", 0.1, 0.1), square("nut", 0.6, 0.6)]}
    found = [square("nut", 0.1, 0.1, score=0.9), square("nut", 0.11, 0.1, score=0.8)]

    metrics = evaluate(POLYGONS, truths, {"a": found}).metrics

    # Precision 1 up to a recall of one half, none after: 51 of 101 recalls.
    assert metrics["primary"] == metrics["map_50"] == pytest.approx(51 / 101)
    assert metrics["per_class"]["nut"]["num_things"] == 2
    assert metrics["per_class"]["nut"]["num_predicted_things"] == 2


def test_a_thing_needs_its_label() -> None:
    assert (
        evaluate(POLYGONS, {"a": [square("nut", 0.1, 0.1)]}, {"a": [square("fig", 0.1, 0.1, score=1.0)]}).primary == 0
    )


def test_strict_precision_falls_with_the_overlap() -> None:
    truths = {"a": [square("nut", 0.1, 0.1)]}
    smaller = [square("nut", 0.1, 0.1, side=0.2 * 0.72**0.5, score=1.0)]  # an overlap of 0.72: 5 of 10 thresholds

    metrics = evaluate(POLYGONS, truths, {"a": smaller}).metrics

    assert metrics["map_50"] == pytest.approx(1)
    assert metrics["map_50_95"] == pytest.approx(0.5)
    assert metrics["mean_iou"] == pytest.approx(0.72, abs=0.01)


def test_polygons_without_an_area_are_not_counted() -> None:
    flat = Polygon("nut", ((0.1, 0.1), (0.5, 0.1), (0.9, 0.1)), 1.0)

    assert evaluate(POLYGONS, {"a": [flat]}, {"a": []}).primary == 1
    assert evaluate(POLYGONS, {"a": [square("nut", 0.1, 0.1)]}, {"a": [flat]}).primary == 0


def test_nothing_to_outline_is_perfect_if_nothing_is_outlined() -> None:
    assert evaluate(POLYGONS, {"a": []}, {}).primary == 1
    assert evaluate(POLYGONS, {"a": []}, {"a": [square("nut", 0.1, 0.1, score=0.3)]}).primary == 0


def test_how_much_of_a_polygon_must_be_found_can_be_asked_for() -> None:
    # Shifted by a quarter of its side: 3/4 shared of 5/4, an overlap of 0.6.
    truths = {"a": [square("nut", 0.1, 0.1)]}
    predictions = {"a": [square("nut", 0.15, 0.1, score=0.9)]}

    loose, strict = (evaluate(POLYGONS, truths, predictions, min_overlap=overlap).metrics for overlap in (0.55, 0.65))

    assert (loose["map_at_overlap"], strict["map_at_overlap"]) == (pytest.approx(1.0), 0.0)
    assert strict["per_class"]["nut"]["ap_at_overlap"] == 0.0
    assert strict["primary"] == strict["map_50"] == pytest.approx(1.0)
