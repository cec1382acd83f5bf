import math

import numpy as np
import pytest

from models.families.text_regression.predict import numbers
from models.labels import LabelSchema, Medium, Objective, Scale

STARS = LabelSchema(Objective.REGRESSION, (), Medium.TEXT, Scale(1, 5, 1))


def test_outputs_become_numbers_on_the_scale_with_the_probability_of_being_right() -> None:
    outputs = np.array([[0.4, 0.5], [-9, 0.1]], dtype=np.float32)

    answers = numbers(outputs, STARS, centre=3, unit=2, tolerance=0.5)

    assert [answer.value for answer in answers] == [4, 1]
    assert [answer.score for answer in answers] == [
        pytest.approx(1 - math.exp(-0.5 / 1.0), abs=1e-5),
        pytest.approx(1 - math.exp(-0.5 / 0.2), abs=1e-5),
    ]
