import numpy as np
import pytest

from models.families.image_classification.predict import choices, prepare
from models.images import Image
from models.labels import Label, LabelSchema, Objective

NAMES = ("ant", "bee", "cat")
SINGLE = LabelSchema(Objective.CLASSIFICATION, tuple(map(Label, NAMES)))
MULTI = LabelSchema(Objective.MULTI_LABEL, tuple(map(Label, NAMES)))


def test_classification_answers_with_the_best_label_and_its_probability() -> None:
    answers = choices(np.array([[0.2, 0.7, 0.1], [0.5, 0.1, 0.4]], dtype=np.float32), SINGLE)

    assert [[(c.label, c.score) for c in answer] for answer in answers] == [
        [("bee", pytest.approx(0.7))],
        [("ant", pytest.approx(0.5))],
    ]


def test_multi_label_answers_with_every_likely_label_best_first() -> None:
    answers = choices(np.array([[0.6, 0.2, 0.9], [0.5, 0.1, 0.4], [0.1, 0.2, 0.3]], dtype=np.float32), MULTI)

    assert [[choice.label for choice in answer] for answer in answers] == [["cat", "ant"], ["ant"], []]


def test_images_of_any_shape_become_squares_between_zero_and_one() -> None:
    wide = Image(np.full((1, 300, 3), 255, dtype=np.uint8), 300, 1)
    dot = Image(np.zeros((1, 1, 3), dtype=np.uint8), 1, 1)

    batch = prepare([wide, dot], side_px=32)

    assert batch.shape == (2, 3, 32, 32)
    assert batch.dtype == np.float32
    assert batch[0].min() == 1
    assert batch[1].max() == 0
