import json

import pytest

from models.labels import Label, LabelSchema, Medium, Objective
from models.metrics import evaluate
from models.regions import Span

SCHEMA = LabelSchema(Objective.SPANS, (Label("person"), Label("place")), Medium.TEXT)


def test_a_span_is_right_where_its_label_and_both_ends_are() -> None:
    truths = {"e0": (Span("person", 0, 4), Span("place", 10, 15)), "e1": (Span("person", 2, 6),), "e2": ()}
    found = {
        "e0": (Span("person", 0, 4), Span("person", 10, 15), Span("place", 10, 14)),
        "e2": (Span("place", 0, 1),),
        "other": (Span("place", 0, 1),),
    }

    metrics = evaluate(SCHEMA, truths, found).metrics

    assert metrics["precision"] == pytest.approx(1 / 4)
    assert metrics["recall"] == pytest.approx(1 / 3)
    assert metrics["f1"] == metrics["primary"] == pytest.approx(2 / 7)
    assert metrics["per_class"]["person"] == {
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "support": 2,
        "num_predicted": 2,
    }
    assert metrics["per_class"]["place"]["f1"] == 0
    assert metrics["macro_f1"] == pytest.approx(0.25)
    assert metrics["exact"] == 0
    json.dumps(metrics)


def test_nearly_right_spans_get_credit_by_the_character() -> None:
    metrics = evaluate(SCHEMA, {"e": (Span("person", 0, 10),)}, {"e": (Span("person", 5, 10),)}).metrics

    assert metrics["f1"] == 0
    assert metrics["character_f1"] == pytest.approx(2 * 5 / 15)


def test_overlapping_spans_are_each_counted_and_the_same_span_once() -> None:
    truths = {"e": (Span("person", 0, 9), Span("person", 0, 4), Span("place", 2, 9))}

    evaluation = evaluate(SCHEMA, truths, {"e": (*truths["e"], Span("person", 0, 9, 0.3))})

    assert evaluation.primary == 1
    assert evaluation.metrics["per_class"]["person"]["num_predicted"] == 2
    assert evaluation.metrics["exact"] == 1


def test_finding_nothing_where_there_is_nothing_is_right() -> None:
    assert evaluate(SCHEMA, {"e": ()}, {}).primary == 1


def test_labels_that_the_schema_does_not_know_are_counted() -> None:
    metrics = evaluate(SCHEMA, {"e": (Span("thing", 0, 4),)}, {}).metrics

    assert metrics["f1"] == 0
    assert metrics["per_class"]["thing"]["support"] == 1
