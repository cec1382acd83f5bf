"""How good are predictions, compared with what people said? NumPy and OpenCV only; one module per kind of region.

Truths decide what is measured: an example without a prediction counts as answered with nothing, predictions for other
keys are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from models.labels import LabelSchema, Objective
from models.metrics import classification, detection, key_points, regression, segmentation, spans
from models.metrics.evaluation import Evaluation
from models.regions import Region

__all__ = ["Evaluation", "evaluate"]

_EVALUATE: Mapping[
    Objective,
    Callable[[LabelSchema, Mapping[str, Sequence[Region]], Mapping[str, Sequence[Region]]], Evaluation],
] = {
    Objective.CLASSIFICATION: classification.evaluate,
    Objective.MULTI_LABEL: classification.evaluate,
    Objective.REGRESSION: regression.evaluate,
    Objective.DETECTION: detection.evaluate,
    Objective.KEY_POINTS: key_points.evaluate,
    Objective.SPANS: spans.evaluate,
    Objective.INSTANCE_SEGMENTATION: segmentation.evaluate_polygons,
    Objective.SEMANTIC_SEGMENTATION: segmentation.evaluate_masks,
}


def evaluate(
    schema: LabelSchema,
    truths: Mapping[str, Sequence[Region]],
    predictions: Mapping[str, Sequence[Region]],
) -> Evaluation:
    """Compare predictions with truths, both by example key, as the schema's objective asks."""
    return _EVALUATE[schema.objective](schema, truths, predictions)
