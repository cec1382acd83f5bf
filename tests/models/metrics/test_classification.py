import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.regions import Choice

NAMES = ("ant", "bee", "cat", "dog")
SINGLE = LabelSchema(Objective.CLASSIFICATION, tuple(map(Label, NAMES)))
MULTI = LabelSchema(Objective.MULTI_LABEL, tuple(map(Label, NAMES)))


@pytest.mark.parametrize("seed", range(3))
def test_classification_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 40)  # "dog" never occurs
    answer = np.where(rng.random(40) < 0.6, truth, rng.integers(0, 4, 40))

    evaluation = evaluate(
        SINGLE,
        {str(n): (Choice(NAMES[k]),) for n, k in enumerate(truth)},
        {str(n): (Choice(NAMES[k], 0.9), Choice("ant", 0.1)) for n, k in enumerate(answer)},
    )

    metrics = evaluation.metrics
    assert evaluation.primary == metrics["accuracy"] == pytest.approx(accuracy_score(truth, answer))
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, answer, average="macro", zero_division=0))
    assert metrics["confusion"]["counts"] == confusion_matrix(truth, answer, labels=range(4)).tolist()
    assert metrics["confusion"]["labels"] == list(NAMES)
    expected = precision_recall_fscore_support(truth, answer, labels=range(4), zero_division=0)
    for k, name in enumerate(NAMES):
        ours = metrics["per_class"][name]
        assert [ours["precision"], ours["recall"], ours["f1"]] == pytest.approx([figure[k] for figure in expected[:3]])
        assert ours["support"] == expected[3][k]


@pytest.mark.parametrize("seed", range(3))
def test_multi_label_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random((40, 4)) < 0.4
    answer = truth ^ (rng.random((40, 4)) < 0.2)

    def regions(marks: np.ndarray) -> dict[str, tuple[Choice, ...]]:
        return {str(n): tuple(Choice(NAMES[k]) for k in np.flatnonzero(row)) for n, row in enumerate(marks)}

    evaluation = evaluate(MULTI, regions(truth), regions(answer))

    metrics = evaluation.metrics
    assert evaluation.primary == metrics["micro_f1"] == pytest.approx(f1_score(truth, answer, average="micro"))
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, answer, average="macro"))
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, answer))
    expected = precision_recall_fscore_support(truth, answer, zero_division=0)
    for k, name in enumerate(NAMES):
        ours = metrics["per_class"][name]
        assert [ours["precision"], ours["recall"], ours["f1"]] == pytest.approx([figure[k] for figure in expected[:3]])


def test_an_example_without_prediction_counts_as_wrong() -> None:
    evaluation = evaluate(SINGLE, {"1": (Choice("ant"),), "2": (Choice("bee"),)}, {"1": (Choice("ant", 0.9),)})

    assert evaluation.primary == 0.5
    assert evaluation.metrics["per_class"]["bee"]["recall"] == 0
    assert evaluation.metrics["confusion"]["counts"][1] == [0, 0, 0, 0]


def test_predictions_for_other_examples_are_ignored() -> None:
    evaluation = evaluate(SINGLE, {"1": (Choice("ant"),)}, {"1": (Choice("ant"),), "2": (Choice("bee"),)})

    assert evaluation.primary == 1
    assert evaluation.metrics["num_examples"] == 1


def test_an_old_version_is_measured_on_truths_with_a_label_it_never_knew() -> None:
    evaluation = evaluate(SINGLE, {"1": (Choice("emu"),), "2": (Choice("ant"),)}, {k: (Choice("ant"),) for k in "12"})

    assert evaluation.primary == 0.5
    assert evaluation.metrics["per_class"]["emu"]["support"] == 1
    assert evaluation.metrics["confusion"]["labels"] == [*NAMES, "emu"]


def test_finding_nothing_where_nothing_is_counts_as_perfect() -> None:
    evaluation = evaluate(MULTI, {"1": (), "2": ()}, {"1": ()})

    assert evaluation.primary == 1
    assert evaluation.metrics["accuracy"] == 1


@pytest.mark.parametrize("schema", [SINGLE, MULTI])
def test_metrics_of_nothing_are_still_json(schema: LabelSchema) -> None:
    evaluation = evaluate(schema, {}, {})

    assert json.loads(json.dumps(evaluation.metrics, allow_nan=False))["num_examples"] == 0
