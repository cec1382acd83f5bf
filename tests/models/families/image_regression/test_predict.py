import math

import numpy as np
import pytest

from models.families.image_regression.predict import Unit, numbers
from models.labels import LabelSchema, Objective, Scale
from models.regions import Number

FREE = LabelSchema(Objective.REGRESSION, ())
STARS = LabelSchema(Objective.REGRESSION, (), scale=Scale(1, 5, 1))
UNIT = Unit(mean=3.0, deviation=2.0, tolerance=0.5)


def answer(number: float, error: float, schema: LabelSchema = FREE) -> Number:
    ((region,),) = numbers(np.array([[number, error]], dtype=np.float32), schema, UNIT)
    assert isinstance(region, Number)
    return region


def test_numbers_are_given_in_the_unit_of_the_labels() -> None:
    assert answer(-0.25, 1.0).value == pytest.approx(2.5)


@pytest.mark.parametrize(("number", "stars"), [(0.6, 4.0), (-0.9, 1.0), (50.0, 5.0), (-50.0, 1.0)])
def test_answers_lie_on_the_scale(number: float, stars: float) -> None:
    assert answer(number, 1.0, STARS).value == stars


def test_the_score_is_the_chance_of_an_error_within_the_tolerance() -> None:
    drawn = np.random.default_rng(0).laplace(0, 0.3 * UNIT.deviation, 200_000)

    score = answer(0.0, 0.3).score

    assert score == pytest.approx(1 - math.exp(-0.5 / 0.6), abs=1e-6)
    assert score == pytest.approx((np.abs(drawn) <= UNIT.tolerance).mean(), abs=0.01)


def test_scores_stay_between_zero_and_one() -> None:
    assert (answer(0.0, 0.0).score, answer(0.0, 1e9).score) == (1, 0)


def test_what_numbers_mean_survives_storage() -> None:
    assert Unit.from_json(UNIT.to_json()) == UNIT
