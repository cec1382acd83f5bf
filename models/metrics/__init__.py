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

__all__ = ["OVERLAPPING", "Evaluation", "evaluate"]

_Said = Mapping[str, Sequence[Region]]
_EVALUATE: Mapping[Objective, Callable[[LabelSchema, _Said, _Said], Evaluation]] = {
    Objective.CLASSIFICATION: classification.evaluate,
    Objective.MULTI_LABEL: classification.evaluate,
    Objective.REGRESSION: regression.evaluate,
    Objective.KEY_POINTS: key_points.evaluate,
    Objective.SPANS: spans.evaluate,
    Objective.SEMANTIC_SEGMENTATION: segmentation.evaluate_masks,
}
_EVALUATE_OVERLAPPING = {
    Objective.DETECTION: detection.evaluate,
    Objective.INSTANCE_SEGMENTATION: segmentation.evaluate_polygons,
}
OVERLAPPING = frozenset(_EVALUATE_OVERLAPPING)
"""The objectives of which something is found where it overlaps a truth enough."""


def evaluate(schema: LabelSchema, truths: _Said, predictions: _Said, *, min_overlap: float | None = None) -> Evaluation:
    """Compare predictions with truths, both by example key, as the schema's objective asks.

    Args:
        schema: What there is to say.
        truths: What people said.
        predictions: What is measured.
        min_overlap: What is enough to be found, in (0, 1], see `models.metrics.detection`; only for `OVERLAPPING`.
    """
    if schema.objective in _EVALUATE_OVERLAPPING:
        return _EVALUATE_OVERLAPPING[schema.objective](schema, truths, predictions, min_overlap=min_overlap)
    return _EVALUATE[schema.objective](schema, truths, predictions)
