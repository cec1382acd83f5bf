import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, median_absolute_error, root_mean_squared_error

from models.labels import LabelSchema, Objective, Scale
from models.metrics import evaluate
from models.regions import Number, Region

FREE = LabelSchema(Objective.REGRESSION, ())
STARS = LabelSchema(Objective.REGRESSION, (), scale=Scale(1, 5, 1))


def numbers(*values: float) -> dict[str, tuple[Region, ...]]:
    return {f"e{n}": (Number(value),) for n, value in enumerate(values)}


def test_errors_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, answer = rng.normal(0, 3, 30), rng.normal(0, 3, 30)

    metrics = evaluate(FREE, numbers(*truth), numbers(*answer)).metrics

    assert metrics["mae"] == pytest.approx(mean_absolute_error(truth, answer))
    assert metrics["rmse"] == pytest.approx(root_mean_squared_error(truth, answer))
    assert metrics["median_error"] == pytest.approx(median_absolute_error(truth, answer))


def test_always_answering_with_the_median_is_half_as_good_as_perfect() -> None:
    truths = numbers(1, 2, 3, 4, 5)

    perfect, median = evaluate(STARS, truths, truths), evaluate(STARS, truths, numbers(3, 3, 3, 3, 3))

    assert (perfect.primary, perfect.metrics["skill"], perfect.metrics["exact"]) == (1, 1, 1)
    assert (median.primary, median.metrics["skill"], median.metrics["exact"]) == (0.5, 0, 0.2)
    assert median.metrics["mae"] == median.metrics["spread"] == pytest.approx(6 / 5)


def test_of_two_bad_versions_the_better_one_can_be_told() -> None:
    truths = numbers(1, 1, 2)

    bad, worse = evaluate(STARS, truths, numbers(5, 4, 5)), evaluate(STARS, truths, numbers(5, 5, 5))

    assert 0 < worse.primary < bad.primary < 0.5


def test_a_missing_answer_counts_as_wrong_by_the_whole_scale() -> None:
    truths = numbers(2, 3)

    on_scale = evaluate(STARS, truths, {"e0": (Number(2),), "e1": (Number(float("nan")),)})
    free = evaluate(FREE, numbers(10, 40), {"e0": (Number(10),)})

    assert on_scale.metrics["num_answered"] == 1
    assert on_scale.metrics["mae"] == pytest.approx(4 / 2)
    assert free.metrics["mae"] == pytest.approx(30 / 2)


def test_truths_that_are_all_the_same_can_be_measured() -> None:
    right, wrong = evaluate(STARS, numbers(3, 3), numbers(3, 3)), evaluate(STARS, numbers(3, 3), numbers(3, 4))

    assert right.primary == 1
    assert wrong.primary == pytest.approx(1 / 1.5)


def test_nothing_to_measure_is_no_success() -> None:
    assert evaluate(FREE, {"e0": ()}, {}).metrics == {"num_examples": 0, "num_answered": 0, "primary": 0.0}
