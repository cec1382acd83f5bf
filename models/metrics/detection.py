"""How good are boxes, upright or rotated?

What the numbers mean (a prediction hits a truth of its label where they overlap, intersection over union, enough):
    ap_50: Average precision of a label, where an overlap of one half is enough. None: the label has no truths.
    ap_50_95: Mean of average precisions where 50 %, 55 %, … 95 % are enough.
    map_50, map_50_95: Means over the labels that have truths.
    ap_at_overlap, map_at_overlap: The same where the overlap that was asked for is enough; absent where none was.
    precision, recall, f1: At that overlap, by default one half, of predictions with a score of at least `SURE`; per
        label, and over all of them (micro). 0 where undefined.

Boxes without an area, or with coordinates that are no numbers, are not counted. Labels that the schema does not know
are counted like any other, so that an older version can be measured on newer truths.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.labels import LabelSchema
from models.metrics.average_precision import (
    STRICTNESS,
    Compared,
    Ranking,
    average_precisions,
    mean_average_precisions,
    rank,
)
from models.metrics.evaluation import Evaluation
from models.metrics.overlaps import box_overlaps
from models.regions import Box, Region

SURE = 0.5
"""Predictions with at least this score are the ones that a model stands by; `object_detection` scales its scores so."""


def evaluate(
    schema: LabelSchema,
    truths: Mapping[str, Sequence[Region]],
    predictions: Mapping[str, Sequence[Region]],
    *,
    min_overlap: float | None = None,
) -> Evaluation:
    """Compare predictions with truths, both by example key; `primary` is `map_50`, whatever overlap is asked for.

    Where there is nothing to find, `primary` is 1 if no prediction is sure, else 0.
    """
    pairs = [(boxes_of(regions), boxes_of(predictions.get(key, ()))) for key, regions in sorted(truths.items())]
    occurring = {box.label for pair in pairs for boxes in pair for box in boxes}
    names = [*schema.names, *sorted(occurring - set(schema.names))]
    per_class: dict[str, dict[str, Any]] = {}
    total = np.zeros(3, dtype=np.int64)
    for name in names:
        compared = compare(pairs, name)
        ranking = rank(compared, min_overlap=min_overlap or STRICTNESS[0])
        num_sure, num_hits = ranking.count(SURE)
        counts = (ranking.num_truths, num_sure, num_hits)
        total += counts
        per_class[name] = {
            **average_precisions(compared, min_overlap=min_overlap),
            **_rates(*counts),
            "support": ranking.num_truths,
            "num_predicted": num_sure,
        }
    num_truths, num_sure, num_hits = (int(count) for count in total)
    means = mean_average_precisions(per_class, min_overlap=min_overlap)
    map_50 = means["map_50"]
    primary = map_50 if map_50 is not None else float(num_sure == 0)
    metrics = {
        "num_examples": len(pairs),
        "num_boxes": num_truths,
        "primary": primary,
        **means,
        **_rates(num_truths, num_sure, num_hits),
        "per_class": per_class,
    }
    return Evaluation(primary, metrics)


def boxes_of(regions: Sequence[Region]) -> list[Box]:
    """Return the boxes among regions that have an area."""
    boxes = [region for region in regions if isinstance(region, Box)]
    return [box for box in boxes if box.width > 0 and box.height > 0 and _is_finite(box)]


def compare(pairs: Sequence[tuple[Sequence[Box], Sequence[Box]]], label: str) -> list[Compared]:
    """Measure how boxes of one label overlap: image by image, its truths and its predictions."""
    compared = []
    for all_true, all_found in pairs:
        true, found = ([box for box in boxes if box.label == label] for boxes in (all_true, all_found))
        if true or found:
            scores_P = np.array([1.0 if box.score is None else box.score for box in found])
            compared.append(Compared(scores_P, box_overlaps(found, true)))
    return compared


def rank_boxes(pairs: Sequence[tuple[Sequence[Box], Sequence[Box]]], label: str) -> Ranking:
    """Rank the predictions of one label, with hits where half of the boxes overlap; see `compare`."""
    return rank(compare(pairs, label), min_overlap=STRICTNESS[0])


def _is_finite(box: Box) -> bool:
    return all(math.isfinite(value) for value in (box.x, box.y, box.width, box.height, box.rotation))


def _rates(num_truths: int, num_sure: int, num_hits: int) -> dict[str, float]:
    return {
        "precision": num_hits / num_sure if num_sure else 0.0,
        "recall": num_hits / num_truths if num_truths else 0.0,
        "f1": 2 * num_hits / (num_truths + num_sure) if num_truths + num_sure else 0.0,
    }
