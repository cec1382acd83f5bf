import math
from dataclasses import replace

import pytest

from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.regions import Box

SCHEMA = LabelSchema(Objective.DETECTION, (Label("cat"), Label("dog")))
CAT = Box.from_bounds("cat", 0.1, 0.1, 0.3, 0.3)
DOG = Box.from_bounds("dog", 0.5, 0.5, 0.9, 0.9)


def found(box: Box, score: float, *, shift: float = 0.0) -> Box:
    return replace(box, x=box.x + shift, score=score)


def test_perfect_boxes_have_the_best_of_all_figures() -> None:
    metrics = evaluate(SCHEMA, {"1": [CAT, DOG]}, {"1": [found(CAT, 0.9), found(DOG, 0.8)]}).metrics

    assert metrics["primary"] == metrics["map_50"] == metrics["map_50_95"] == pytest.approx(1.0)
    assert metrics["precision"] == metrics["recall"] == metrics["f1"] == 1.0


def test_a_shifted_box_counts_only_where_less_overlap_is_asked_for() -> None:
    # Shifted by a sixth of its side: 5/6 shared of 7/6, an overlap of 0.714: enough at 0.50, 0.55, 0.60, 0.65, 0.70.
    evaluation = evaluate(SCHEMA, {"1": [CAT]}, {"1": [found(CAT, 0.9, shift=0.2 / 6)]})

    assert evaluation.metrics["map_50"] == pytest.approx(1.0)
    assert evaluation.metrics["map_50_95"] == pytest.approx(5 / 10)


def test_the_primary_figure_is_the_mean_over_the_labels_that_have_truths() -> None:
    evaluation = evaluate(SCHEMA, {"1": [CAT], "2": [DOG]}, {"1": [found(CAT, 0.9)]})

    assert evaluation.primary == pytest.approx(0.5)
    assert evaluate(SCHEMA, {"1": [CAT]}, {"1": [found(CAT, 0.9), found(DOG, 0.9)]}).primary == pytest.approx(1.0)


def test_a_box_with_the_wrong_label_is_a_miss() -> None:
    evaluation = evaluate(SCHEMA, {"1": [CAT]}, {"1": [found(replace(CAT, label="dog"), 0.9)]})

    assert evaluation.primary == 0.0
    assert evaluation.metrics["per_class"]["dog"]["num_predicted"] == 1


def test_precision_and_recall_are_those_of_sure_boxes() -> None:
    predictions = [found(CAT, 0.5), found(DOG, 0.49), found(CAT, 0.6, shift=0.5)]

    metrics = evaluate(SCHEMA, {"1": [CAT, DOG]}, {"1": predictions}).metrics

    assert (metrics["precision"], metrics["recall"], metrics["f1"]) == (0.5, 0.5, 0.5)
    assert metrics["per_class"]["cat"] | {"ap_50_95": None} == {
        "ap_50": pytest.approx(0.5),
        "ap_50_95": None,
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
        "num_predicted": 2,
    }


@pytest.mark.parametrize(("min_overlap", "of_cat"), [(0.3, 1.0), (0.7, 1.0), (0.72, 0.0), (1.0, 0.0)])
def test_what_is_enough_to_be_found_can_be_asked_for(min_overlap: float, of_cat: float) -> None:
    # Shifted by a sixth of its side, the cat overlaps by 5/7, which is 0.714; the dog lies as it should.
    predictions = [found(CAT, 0.9, shift=0.2 / 6), found(DOG, 0.8)]

    metrics = evaluate(SCHEMA, {"1": [CAT, DOG]}, {"1": predictions}, min_overlap=min_overlap).metrics

    cat, share = metrics["per_class"]["cat"], (of_cat + 1.0) / 2
    assert (cat["precision"], cat["recall"], cat["ap_at_overlap"]) == pytest.approx((of_cat, of_cat, of_cat))
    assert (metrics["precision"], metrics["recall"], metrics["f1"]) == (share, share, share)
    assert metrics["map_at_overlap"] == pytest.approx(share)
    assert metrics["map_50"] == metrics["primary"] == pytest.approx(1.0)


def test_where_no_overlap_is_asked_for_there_is_no_figure_for_it() -> None:
    assert "map_at_overlap" not in evaluate(SCHEMA, {"1": [CAT]}, {}).metrics


def test_rotated_boxes_are_compared_as_they_lie() -> None:
    stick = Box("cat", 0.5, 0.5, 0.6, 0.1, rotation=45)
    upright = Box("cat", 0.5, 0.5, 0.6, 0.1, score=0.9)

    assert evaluate(SCHEMA, {"1": [stick]}, {"1": [upright]}).primary == 0.0
    assert evaluate(SCHEMA, {"1": [stick]}, {"1": [replace(stick, rotation=225, score=0.9)]}).primary == 1.0


def test_images_without_a_prediction_count_and_predictions_for_other_images_do_not() -> None:
    evaluation = evaluate(
        SCHEMA, {"1": [CAT], "2": [CAT]}, {"1": [found(CAT, 0.9)], "3": [found(CAT, 0.95, shift=0.4)]}
    )

    # Half of the truths are found, at a precision of 1: the recalls 0 … 0.50, which are 51 of 101.
    assert evaluation.primary == pytest.approx(51 / 101)


@pytest.mark.parametrize(("score", "primary"), [(0.6, 0.0), (0.4, 1.0)])
def test_where_there_is_nothing_to_find_a_sure_box_is_wrong(score: float, primary: float) -> None:
    assert evaluate(SCHEMA, {"1": []}, {"1": [found(CAT, score)]}).primary == primary


def test_boxes_without_an_area_or_of_no_numbers_are_not_counted() -> None:
    truths = [CAT, replace(CAT, width=0.0), replace(DOG, x=math.nan)]

    evaluation = evaluate(SCHEMA, {"1": truths}, {"1": [found(CAT, 0.9), replace(DOG, height=-0.1, score=0.9)]})

    assert evaluation.primary == 1.0
    assert evaluation.metrics["num_boxes"] == 1
    assert evaluation.metrics["precision"] == 1.0


def test_labels_that_the_schema_does_not_know_are_counted_too() -> None:
    fish = replace(CAT, label="fish")

    metrics = evaluate(SCHEMA, {"1": [fish, DOG]}, {"1": [found(DOG, 0.9)]}).metrics

    assert metrics["per_class"]["fish"]["ap_50"] == 0.0
    assert metrics["map_50"] == pytest.approx(0.5)
