from __future__ import annotations

import numpy as np
import pytest

from models.doubts import doubts
from models.labels import Label, LabelSchema, Medium, Objective, Scale
from models.regions import Box, Choice, KeyPoint, Mask, Number, Region, Span


def schema(objective: Objective, medium: Medium = Medium.IMAGE) -> LabelSchema:
    return LabelSchema(objective, (Label("cat"), Label("dog")), medium, Scale(1, 5, 1))


def box(label: str, x: float = 0.5, score: float | None = None, width: float = 0.2) -> Box:
    return Box(label, x, 0.5, width, 0.2, score=score)


@pytest.mark.parametrize(
    ("objective", "given", "expected", "reasons"),
    [
        (Objective.CLASSIFICATION, [Choice("cat")], [Choice("dog", 0.9)], ["'cat' is probably 'dog'"]),
        (Objective.CLASSIFICATION, [Choice("cat")], [Choice("cat", 0.6)], []),
        (
            Objective.MULTI_LABEL,
            [Choice("cat")],
            [Choice("dog", 0.9)],
            ["'dog' is probably missing", "'cat' probably does not apply"],
        ),
        (Objective.MULTI_LABEL, [Choice("cat")], [Choice("cat", 0.9)], []),
        (Objective.REGRESSION, [Number(1.0)], [Number(5.0, 0.8)], ["1 is far from the 5 that was expected"]),
        (Objective.REGRESSION, [Number(4.0)], [Number(5.0, 0.8)], []),
        (Objective.DETECTION, [box("cat")], [box("cat", score=0.9)], []),
        (Objective.DETECTION, [box("cat")], [box("dog", score=0.9)], ["'cat' is probably 'dog'"]),
        (Objective.DETECTION, [box("cat")], [box("cat", score=0.9, width=0.33)], ["'cat' is probably not well placed"]),
        (Objective.DETECTION, [], [box("cat", score=0.9)], ["'cat' is probably missing"]),
        (Objective.DETECTION, [], [box("cat", score=0.3)], []),
        (Objective.DETECTION, [box("cat")], [], ["nothing was found where 'cat' is"]),
        (Objective.SPANS, [Span("cat", 0, 5)], [Span("dog", 0, 5, 0.9)], ["'cat' is probably 'dog'"]),
        (Objective.SPANS, [Span("cat", 0, 5)], [Span("cat", 0, 5, 0.9)], []),
        (Objective.KEY_POINTS, [KeyPoint("cat", 0.5, 0.5)], [KeyPoint("cat", 0.51, 0.5, 0.9)], []),
        (
            Objective.KEY_POINTS,
            [KeyPoint("cat", 0.5, 0.5)],
            [KeyPoint("cat", 0.8, 0.5, 0.9)],
            ["'cat' is probably missing", "nothing was found where 'cat' is"],
        ),
    ],
)
def test_what_contradicts_the_model_is_doubted(
    objective: Objective, given: list[Region], expected: list[Region], reasons: list[str]
) -> None:
    assert [doubt.reason for doubt in doubts(schema(objective), given, expected)] == reasons


def test_the_surer_the_model_the_greater_the_doubt() -> None:
    given = [box("cat", 0.2), box("cat", 0.8)]

    found = doubts(schema(Objective.DETECTION), given, [box("dog", 0.2, 0.6), box("dog", 0.8, 0.9)])

    assert [(doubt.given, doubt.score) for doubt in found] == [(given[1], 0.9), (given[0], 0.6)]


@pytest.mark.parametrize(("columns", "is_doubted"), [(slice(0, 4), False), (slice(6, 10), True)])
def test_masks_that_hardly_overlap_are_doubted(columns: slice, is_doubted: bool) -> None:
    said, likely = np.zeros((10, 10)), np.zeros((10, 10))
    said[:, 0:4], likely[:, columns] = 1, 1

    found = doubts(
        schema(Objective.SEMANTIC_SEGMENTATION),
        [Mask.from_array("cat", said)],
        [Mask.from_array("cat", likely, score=0.9)],
    )

    assert bool(found) is is_doubted


def test_a_label_that_the_schema_has_lost_casts_no_doubt() -> None:
    assert doubts(schema(Objective.CLASSIFICATION), [Choice("cat")], [Choice("fish", 0.9)]) == []
