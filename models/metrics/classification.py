"""How good are labels of whole items?

What the numbers mean:
    accuracy: The share of examples whose answer is right; for MULTI_LABEL whose whole set of labels is right.
    precision, recall, f1: Per label; 0 where undefined (a label that never occurs and is never predicted has f1 0).
    macro_f1: Mean f1 of the labels that occur in truths or predictions.
    micro_f1: f1 over all decisions taken together.

Truths decide what is measured: an example without a prediction counts as answered with nothing, predictions for other
keys are ignored. Labels that the schema does not know are counted like any other, so that an older version can be
measured on newer truths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.labels import LabelSchema, Objective
from models.metrics.evaluation import Evaluation
from models.regions import Region

# N examples, K labels


def evaluate(
    schema: LabelSchema,
    truths: Mapping[str, Sequence[Region]],
    predictions: Mapping[str, Sequence[Region]],
) -> Evaluation:
    """Compare predictions with truths, both by example key.

    `primary` is accuracy for CLASSIFICATION, and micro_f1 for MULTI_LABEL: every decision counts alike, so labels that
    are rare among few held-out examples do not swing it as they would swing a macro average, and half-right answers
    count half, unlike in accuracy.

    For CLASSIFICATION the first predicted region of an example is its answer; for MULTI_LABEL all of them are.
    """
    keys = sorted(truths)
    is_multi = schema.objective is Objective.MULTI_LABEL
    truth_sets = [{region.label for region in truths[key]} for key in keys]
    answers = [predictions.get(key, ()) for key in keys]
    answer_sets = [{region.label for region in (answer if is_multi else answer[:1])} for answer in answers]

    strangers = set().union(*truth_sets, *answer_sets) - set(schema.names)
    names = [*schema.names, *sorted(strangers)]
    truth_NK, answer_NK = _indicators(truth_sets, names), _indicators(answer_sets, names)
    num_true_K = truth_NK.sum(0)
    num_answered_K = answer_NK.sum(0)
    num_hits_K = (truth_NK & answer_NK).sum(0)
    f1_K = _ratio(2 * num_hits_K, num_true_K + num_answered_K)
    occurs_K = (num_true_K + num_answered_K) > 0

    accuracy = float(np.all(truth_NK == answer_NK, axis=1).mean()) if keys else 0.0
    micro_f1 = _micro_f1(int(num_hits_K.sum()), int(num_true_K.sum() + num_answered_K.sum()))
    primary = micro_f1 if is_multi else accuracy
    metrics: dict[str, Any] = {
        "num_examples": len(keys),
        "primary": primary,
        "accuracy": accuracy,
        "macro_f1": float(f1_K[occurs_K].mean()) if occurs_K.any() else 0.0,
        "micro_f1": micro_f1,
        "per_class": {
            name: {
                "precision": float(_ratio(num_hits_K, num_answered_K)[k]),
                "recall": float(_ratio(num_hits_K, num_true_K)[k]),
                "f1": float(f1_K[k]),
                "support": int(num_true_K[k]),
                "num_predicted": int(num_answered_K[k]),
            }
            for k, name in enumerate(names)
        },
    }
    if not is_multi:
        # Rows are truths, columns answers; examples answered with nothing appear in no column.
        confusion_KK = truth_NK.T.astype(np.int64) @ answer_NK.astype(np.int64)
        metrics["confusion"] = {"labels": names, "counts": confusion_KK.tolist()}
    return Evaluation(primary, metrics)


def _indicators(label_sets: Sequence[set[str]], names: Sequence[str]) -> npt.NDArray[np.bool_]:
    columns = {name: k for k, name in enumerate(names)}
    marked_NK = np.zeros((len(label_sets), len(names)), dtype=np.bool_)
    for row, labels in enumerate(label_sets):
        marked_NK[row, [columns[label] for label in labels]] = True
    return marked_NK


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _micro_f1(num_hits: int, num_marks: int) -> float:
    # Nothing to find and nothing claimed is a perfect answer (all examples are valid negatives).
    return 2 * num_hits / num_marks if num_marks else 1.0
