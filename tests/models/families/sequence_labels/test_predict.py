import numpy as np
import pytest

from models.families.sequence_labels.decode import Layer
from models.families.sequence_labels.predict import find_spans
from models.regions import Span
from models.token_features import Granularity, tokenize


def flat(*types: str) -> Layer:
    size = 1 + 2 * len(types)
    return Layer(types, np.zeros((size, size)), np.zeros(size))


def test_spans_of_all_layers_come_in_characters_surest_first() -> None:
    tokens = tokenize("🙂 Ann Lee", Granularity.WORDS)
    emissions = np.zeros((3, 6), np.float32)
    emissions[[1, 2], [1, 2]] = 8  # first layer: Ann begins, Lee goes on
    emissions[2, 4] = 6  # second layer: Lee begins
    emissions[0, [0, 3]] = emissions[1, 3] = 8

    [spans] = find_spans([flat("person"), flat("surname")], [tokens], [emissions], threshold=0.5)

    assert [(span.label, span.start, span.end) for span in spans if isinstance(span, Span)] == [
        ("person", 2, 9),
        ("surname", 6, 9),
    ]
    assert spans[0].score == pytest.approx(1, abs=0.01)
    assert spans[1].score < spans[0].score


def test_a_span_that_two_layers_find_is_answered_once() -> None:
    tokens = tokenize("Rome", Granularity.WORDS)

    [spans] = find_spans(
        [flat("place"), flat("place")], [tokens], [np.array([[0, 2, 0, 0, 5, 0]], np.float32)], threshold=0.1
    )

    assert [(span.label, span.start, span.end) for span in spans if isinstance(span, Span)] == [("place", 0, 4)]
    assert spans[0].score == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-4)
