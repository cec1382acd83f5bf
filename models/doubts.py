"""Which annotations are likely wrong? Compares what people said with what a model says about the same items.

The doubt is how sure the model is of what contradicts the annotation, in [0, 1]. It is a hint for a person who looks
again, not a verdict: a model that is wrong itself raises false alarms, and one that saw the annotation in training
may have learnt the mistake.

Source: the idea of ranking by the model's confidence in another label is that of Northcutt, Jiang, Chuang, "Confident
Learning: Estimating Uncertainty in Dataset Labels", 2021; boxes and spans are matched first and then ranked likewise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models.labels import LabelSchema, Objective
from models.regions import Box, KeyPoint, Mask, Number, Polygon, Region, Span, bounding_box

_SAME_IOU = 0.5
"""Two regions that overlap so much are about the same thing."""
_TIGHT_IOU = 0.7
"""Below this overlap, a region of the same thing is badly placed."""
_NEAR = 0.05
"""Two key points are at the same place within this share of the image."""
_SURE = 0.5
"""What a model says with a lower score casts no doubt."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason to look at an annotation again.

    Attributes:
        score: How likely it is wrong, in [0, 1]: for ranking.
        reason: A sentence.
        given: What the person said; None: perhaps something is missing.
        expected: What the model says in its place; None: perhaps there is nothing.
    """

    score: float
    reason: str
    given: Region | None
    expected: Region | None


def doubts(schema: LabelSchema, given: Sequence[Region], expected: Sequence[Region]) -> list[Doubt]:
    """Return what speaks against an annotation, worst first.

    Args:
        schema: What was asked.
        given: What a person said about an item.
        expected: What a model says about it, with scores.
    """
    known = [region for region in expected if schema.objective is Objective.REGRESSION or region.label in schema.names]
    match schema.objective:
        case Objective.CLASSIFICATION:
            found = _about_label(given, known)
        case Objective.MULTI_LABEL:
            found = _about_labels(given, known)
        case Objective.REGRESSION:
            found = _about_number(schema, given, known)
        case Objective.SEMANTIC_SEGMENTATION:
            found = _about_masks(given, known)
        case _:
            found = _about_places(given, known)
    return sorted(found, key=lambda doubt: -doubt.score)


def _about_label(given: Sequence[Region], expected: Sequence[Region]) -> Iterable[Doubt]:
    if given and expected and given[0].label != expected[0].label:
        score = expected[0].score or 0.0
        yield Doubt(score, f"{given[0].label!r} is probably {expected[0].label!r}", given[0], expected[0])


def _about_labels(given: Sequence[Region], expected: Sequence[Region]) -> Iterable[Doubt]:
    chosen = {region.label for region in given}
    likely = {region.label for region in expected}
    for region in expected:
        if region.label not in chosen and (region.score or 0.0) >= _SURE:
            yield Doubt(region.score or 0.0, f"{region.label!r} is probably missing", None, region)
    for region in given:
        if region.label not in likely:
            yield Doubt(_SURE, f"{region.label!r} probably does not apply", region, None)


def _about_number(schema: LabelSchema, given: Sequence[Region], expected: Sequence[Region]) -> Iterable[Doubt]:
    numbers = [region for region in (*given[:1], *expected[:1]) if isinstance(region, Number)]
    if len(numbers) < 2:
        return
    said, likely = numbers
    scale = schema.scale
    is_bounded = scale is not None and scale.minimum is not None and scale.maximum is not None
    span = scale.maximum - scale.minimum if is_bounded else max(abs(said.value), abs(likely.value), 1e-9)  # type: ignore[union-attr, operator]
    distance = min(1.0, abs(said.value - likely.value) / span) if span else 0.0
    if distance > 0.25:
        score = distance * (likely.score if likely.score is not None else 1.0)
        yield Doubt(score, f"{said.value:g} is far from the {likely.value:g} that was expected", said, likely)


def _about_masks(given: Sequence[Region], expected: Sequence[Region]) -> Iterable[Doubt]:
    for label in sorted({region.label for region in (*given, *expected)}):
        said, likely = (_union([r for r in regions if r.label == label]) for regions in (given, expected))
        ours = next((region for region in given if region.label == label), None)
        theirs = next((region for region in expected if region.label == label), None)
        if said is None or likely is None:
            if theirs is not None and ours is None and (theirs.score or 0.0) >= _SURE:
                yield Doubt((theirs.score or 0.0) / 2, f"{label!r} is probably missing", None, theirs)
            elif ours is not None and theirs is None:
                yield Doubt(_SURE, f"{label!r} was not found", ours, None)
            continue
        iou = float((said & likely).sum() / max(1, (said | likely).sum()))
        if iou < _SAME_IOU:
            yield Doubt(1 - iou, f"the mask of {label!r} overlaps what was expected by {iou:.0%} only", ours, theirs)


def _union(regions: Sequence[Region]) -> np.ndarray | None:  # type: ignore[type-arg]
    masks = [region.to_array() for region in regions if isinstance(region, Mask)]
    masks = [mask for mask in masks if mask.shape == masks[0].shape]
    return np.logical_or.reduce(masks) if masks else None


def _about_places(given: Sequence[Region], expected: Sequence[Region]) -> Iterable[Doubt]:
    """Match regions by overlap, best first, whatever their labels; what is left over is missing or too much."""
    overlaps = sorted(
        ((_overlap(said, likely), i, j) for i, said in enumerate(given) for j, likely in enumerate(expected)),
        reverse=True,
    )
    free_given, free_expected = dict(enumerate(given)), dict(enumerate(expected))
    for overlap, i, j in overlaps:
        if overlap < _SAME_IOU or i not in free_given or j not in free_expected:
            continue
        said, likely = free_given.pop(i), free_expected.pop(j)
        score = likely.score or 0.0
        if said.label != likely.label:
            yield Doubt(score, f"{said.label!r} is probably {likely.label!r}", said, likely)
        elif overlap < _TIGHT_IOU:
            yield Doubt(score * (1 - overlap), f"{said.label!r} is probably not well placed", said, likely)
    for likely in free_expected.values():
        if (likely.score or 0.0) >= _SURE:
            yield Doubt((likely.score or 0.0) * 0.9, f"{likely.label!r} is probably missing", None, likely)
    for said in free_given.values():
        touched = max((_overlap(said, likely) for likely in expected), default=0.0)
        yield Doubt(_SURE * (1 - touched), f"nothing was found where {said.label!r} is", said, None)


def _overlap(first: Region, second: Region) -> float:
    """Return the intersection over union of two regions; for key points how near they are, 1 at the same place."""
    if isinstance(first, Span) and isinstance(second, Span):
        shared = max(0, min(first.end, second.end) - max(first.start, second.start))
        return shared / max(1, max(first.end, second.end) - min(first.start, second.start))
    if isinstance(first, KeyPoint) and isinstance(second, KeyPoint):
        distance = float(np.hypot(first.x - second.x, first.y - second.y))
        return max(0.0, 1 - distance / (2 * _NEAR)) if first.label == second.label else 0.0
    a, b = _bounds(first), _bounds(second)
    if a is None or b is None:
        return 0.0
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared_area = max(0.0, width) * max(0.0, height)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared_area
    return shared_area / total if total > 0 else 0.0


def _bounds(region: Region) -> tuple[float, float, float, float] | None:
    box = bounding_box(region) if isinstance(region, Box | Polygon | Mask) else None
    return box.bounds if box else None
