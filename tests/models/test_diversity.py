from __future__ import annotations

import numpy as np
import pytest

from models.diversity import certainty, describe, order
from models.images import Image
from models.labels import Objective
from models.regions import Box, Choice, Number, Region


@pytest.mark.parametrize(
    ("objective", "regions", "expected"),
    [
        (Objective.CLASSIFICATION, [Choice("cat", 0.9)], 0.9),
        (Objective.CLASSIFICATION, [], 0.0),
        (Objective.REGRESSION, [Number(3.0, 0.25)], 0.25),
        (Objective.DETECTION, [Box("a", 0.5, 0.5, 0.1, 0.1, score=s) for s in (0.9, 0.5)], 0.7),
        (Objective.DETECTION, [], 0.5),
        (Objective.MULTI_LABEL, [], 0.5),
    ],
)
def test_a_model_is_as_sure_as_its_scores(objective: Objective, regions: list[Region], expected: float) -> None:
    assert certainty(objective, regions) == pytest.approx(expected)


def test_of_twins_only_one_comes_early() -> None:
    descriptions = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)

    assert order(np.array([0.9, 0.8, 0.3, 0.2]), descriptions, 4)[:2] == [0, 2]
    assert len(order(np.array([0.9, 0.8, 0.3, 0.2]), descriptions, 3)) == 3


def test_among_equally_different_items_the_least_certain_comes_first() -> None:
    descriptions = np.eye(3, dtype=np.float32)

    assert order(np.array([0.2, 0.9, 0.5]), descriptions, 3) == [1, 2, 0]


def test_alike_texts_are_nearer_than_others() -> None:
    first, alike, other = (describe(text) for text in ("where is my card", "where is my new card", "乾いた靴下"))

    assert np.linalg.norm(first - alike) < np.linalg.norm(first - other)


def test_alike_images_are_nearer_than_others() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    ramp = np.tile(np.linspace(0, 255, 40, dtype=np.uint8)[:, None, None], (1, 40, 3))
    first, alike, other = (describe(Image(pixels, 40, 40)) for pixels in (noise, noise // 2, ramp))

    assert np.linalg.norm(first - alike) < np.linalg.norm(first - other)
