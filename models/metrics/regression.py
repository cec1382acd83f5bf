"""How good are numbers for whole items?

What the numbers mean (truths and answers are on the schema's scale):
    mae, rmse, median_error: Mean absolute, root mean square and median absolute difference from the truth.
    exact: The share of answers that equal the truth.
    spread: How far truths lie from their median, on average: the mae of always answering with the median.
    skill: 1 - mae / spread: 1 is perfect, 0 no better than the median, less than 0 worse; 0 where the spread is 0.
    primary: spread / (spread + mae): 1 is perfect, ½ no better than always answering with the median, and it falls
        towards 0, without ever reaching it, so that of two bad versions the better one can be told.

An example without an answer counts as wrong by the width of the scale, or where that has no ends, by the distance
between the smallest and the largest truth. Examples without a number among their truths are not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from models.labels import LabelSchema
from models.metrics.evaluation import Evaluation
from models.regions import Number, Region

# N examples


def evaluate(
    schema: LabelSchema,
    truths: Mapping[str, Sequence[Region]],
    predictions: Mapping[str, Sequence[Region]],
) -> Evaluation:
    """Compare predictions with truths, both by example key; of several numbers for one example the first counts."""
    true_values = {key: value for key in sorted(truths) if (value := _value(truths[key])) is not None}
    answers = [_value(predictions.get(key, ())) for key in true_values]
    if not true_values:
        return Evaluation(0.0, {"num_examples": 0, "num_answered": 0, "primary": 0.0})
    truth_N = np.array(list(true_values.values()))
    worst = _width(schema, float(np.ptp(truth_N)))
    pairs = zip(truth_N.tolist(), answers, strict=True)
    error_N = np.array([worst if answer is None else abs(answer - truth) for truth, answer in pairs])
    mae = float(error_N.mean())
    spread = float(np.abs(truth_N - np.median(truth_N)).mean())
    unit = spread or (schema.scale.step if schema.scale and schema.scale.step else 1.0)  # all truths may be the same
    primary = unit / (unit + mae)
    return Evaluation(
        primary,
        {
            "num_examples": len(truth_N),
            "num_answered": sum(answer is not None for answer in answers),
            "primary": primary,
            "mae": mae,
            "rmse": float(np.sqrt((error_N**2).mean())),
            "median_error": float(np.median(error_N)),
            "exact": float((error_N < 1e-9).mean()),
            "spread": spread,
            "skill": 1 - mae / spread if spread else 0.0,
        },
    )


def _value(regions: Sequence[Region]) -> float | None:
    values = (region.value for region in regions if isinstance(region, Number) and math.isfinite(region.value))
    return next(values, None)


def _width(schema: LabelSchema, range_of_truths: float) -> float:
    scale = schema.scale
    if scale and scale.minimum is not None and scale.maximum is not None:
        return max(scale.maximum - scale.minimum, range_of_truths)
    return range_of_truths or 1.0
