import numpy as np
import pytest

from models.families.text_classification.predict import choices
from models.labels import Label, LabelSchema, Medium, Objective

NAMES = tuple(map(Label, ("ant", "bee", "cat")))
SINGLE = LabelSchema(Objective.CLASSIFICATION, NAMES, Medium.TEXT)
MULTI = LabelSchema(Objective.MULTI_LABEL, NAMES, Medium.TEXT)


def test_classification_answers_with_the_best_label_and_its_probability() -> None:
    [answer] = choices(np.array([[0.2, 0.7, 0.1]], dtype=np.float32), SINGLE, threshold=0.9)

    assert [(choice.label, choice.score) for choice in answer] == [("bee", pytest.approx(0.7))]


def test_multi_label_answers_with_every_likely_label_best_first() -> None:
    answers = choices(np.array([[0.35, 0.2, 0.9], [0.1, 0.2, 0.29]], dtype=np.float32), MULTI, threshold=0.3)

    assert [[choice.label for choice in answer] for answer in answers] == [["cat", "ant"], []]
