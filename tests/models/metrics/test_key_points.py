import json
import math

import numpy as np
import pytest

from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.metrics.key_points import match
from models.regions import KeyPoint, Region

SCHEMA = LabelSchema(Objective.KEY_POINTS, (Label("nose"), Label("tail"), Label("ear")))


def at(label: str, x: float, y: float) -> KeyPoint:
    return KeyPoint(label, x, y)


def test_points_count_within_a_share_of_the_image() -> None:
    truths = {"a": (at("nose", 0.5, 0.5), at("tail", 0.1, 0.1)), "b": (at("nose", 0.2, 0.8), at("tail", 0.9, 0.9))}
    found = {
        "a": (at("nose", 0.53, 0.53), at("tail", 0.1, 0.17)),  # 0.042 and 0.07 away
        "b": (at("nose", 0.2, 0.79), at("tail", 0.7, 0.9)),  # 0.01 and 0.2 away
    }

    evaluation = evaluate(SCHEMA, truths, found)

    assert evaluation.primary == evaluation.metrics["pck@0.05"] == 2 / 4
    assert evaluation.metrics["pck@0.1"] == 3 / 4
    assert evaluation.metrics["median_distance"] == pytest.approx((0.0018**0.5 + 0.07) / 2)
    assert evaluation.metrics["per_class"]["nose"]["pck@0.05"] == 1
    assert evaluation.metrics["per_class"]["tail"]["pck@0.05"] == 0


def test_a_missing_point_is_a_miss_and_lowers_no_precision() -> None:
    truths = {"a": (at("nose", 0.5, 0.5), at("tail", 0.1, 0.1))}

    metrics = evaluate(SCHEMA, truths, {"a": (at("nose", 0.5, 0.5),)}).metrics

    assert (metrics["primary"], metrics["precision"]) == (0.5, 1)
    assert metrics["f1"] == pytest.approx(2 / 3)


def test_a_point_where_there_is_none_lowers_precision_and_misses_nothing() -> None:
    truths = {"a": (at("nose", 0.5, 0.5),), "b": ()}
    found = {"a": (at("nose", 0.5, 0.5), at("ear", 0.5, 0.5)), "b": (at("nose", 0.5, 0.5), at("tail", 0.5, 0.5))}

    metrics = evaluate(SCHEMA, truths, found).metrics

    assert (metrics["primary"], metrics["precision"]) == (1, 1 / 4)
    assert (metrics["per_class"]["nose"]["support"], metrics["per_class"]["nose"]["num_predicted"]) == (1, 2)


def test_nothing_to_find_is_right_only_if_nothing_was_found() -> None:
    truths: dict[str, tuple[Region, ...]] = {"a": (), "b": ()}

    assert evaluate(SCHEMA, truths, {}).primary == 1
    assert evaluate(SCHEMA, truths, {"a": (at("nose", 0.5, 0.5),)}).primary == 0


def test_an_example_without_a_prediction_is_missed_and_other_predictions_are_ignored() -> None:
    metrics = evaluate(SCHEMA, {"a": (at("nose", 0.5, 0.5),)}, {"z": (at("nose", 0.5, 0.5),)}).metrics

    assert (metrics["num_examples"], metrics["primary"], metrics["oks"]) == (1, 0, 0)


def test_several_points_of_one_label_are_matched_once_each() -> None:
    truths = {"a": (at("nose", 0.1, 0.1), at("nose", 0.9, 0.9))}
    found = {"a": (at("nose", 0.1, 0.12), at("nose", 0.1, 0.11), at("nose", 0.88, 0.9))}

    metrics = evaluate(SCHEMA, truths, found).metrics

    assert (metrics["primary"], metrics["precision"]) == (1, 2 / 3)


def test_the_nearest_pairs_are_matched_first() -> None:
    true, found = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.6, 0.0], [0.9, 0.0], [5.0, 5.0]])

    matched = match(true, found)

    assert [(t, a) for t, a, _ in matched] == [(1, 1), (0, 0)]
    assert [distance for _, _, distance in matched] == pytest.approx([0.1, 0.6])
    assert match(true, np.zeros((0, 2))) == match(np.zeros((0, 2)), found) == []


def test_the_size_of_the_thing_counts_where_it_is_what_matters() -> None:
    truths = {"a": (at("nose", 0.4, 0.5), at("tail", 0.6, 0.5))}  # 0.2 long
    found = {"a": (at("nose", 0.4, 0.505), at("tail", 0.6, 0.515))}  # 0.025 and 0.075 of that away

    metrics = evaluate(SCHEMA, truths, found).metrics

    assert (metrics["pck@0.05"], metrics["extent_pck@0.05"], metrics["extent_pck@0.1"]) == (1, 0.5, 1)


def test_object_key_point_similarity_agrees_with_a_value_computed_by_hand() -> None:
    truths = {"a": (at("nose", 0.2, 0.2), at("tail", 0.6, 0.7), at("ear", 0.3, 0.3))}  # in a box of 0.4 by 0.5
    found = {"a": (at("nose", 0.23, 0.24), at("tail", 0.6, 0.7))}

    metrics = evaluate(SCHEMA, truths, found).metrics

    expected = (math.exp(-(0.05**2) / (2 * 0.4 * 0.5 * 0.1**2)) + 1 + 0) / 3
    assert metrics["oks"] == pytest.approx(expected)


def test_a_label_that_the_schema_does_not_know_is_counted_like_any_other() -> None:
    metrics = evaluate(SCHEMA, {"a": (at("whisker", 0.5, 0.5),)}, {"a": (at("whisker", 0.5, 0.5),)}).metrics

    assert metrics["per_class"]["whisker"]["pck@0.05"] == 1


def test_all_numbers_can_be_stored_as_json() -> None:
    metrics = evaluate(SCHEMA, {"a": (at("nose", 0.5, 0.5), at("ear", 0.1, 0.2))}, {"a": (at("nose", 0.5, 0.5),)})

    assert json.loads(json.dumps(metrics.metrics)) == metrics.metrics
