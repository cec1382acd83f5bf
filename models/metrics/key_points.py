"""How good are key points?

An answered point is held against a true one of the same label in the same image; where a label occurs several times,
the nearest pairs are matched first, each point once. A true point without an answer is missed.

What the numbers mean:
    pck@0.05, pck@0.1: The share of true points with an answer within that share of the image: distances are those of
        (x, y) as fractions of the image's sides, which is never less than in shares of the longer side.
    extent_pck@0.05, extent_pck@0.1: The same with distances as shares of the longer side of the box around all true
        points of the image, as where the thing's own size is what matters. Images with fewer than two true points are
        taken as a whole.
    precision: The share of answered points that are within 0.05 of the image of a true point; a point that is
        answered where there is none is wrong.
    f1: Of that precision and pck@0.05.
    oks: Mean object key point similarity over true points, exp(-d² / (2 s² 0.1²)) with d the distance and s² the area
        of the box around the image's true points; a missed point counts 0.
        Source: COCO key point evaluation, with one constant (0.1) for all labels, as no deviations are known.
    median_distance: Of the matched points, as fractions of the image; 0 where nothing matched.

Labels that the schema does not know are counted like any other, so that an older version can be measured on newer
truths.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.labels import LabelSchema
from models.metrics.evaluation import Evaluation
from models.regions import KeyPoint, Region

NEAR = 0.05
"""What `primary` and `precision` call right."""
_LIMITS = (0.05, 0.1)
_OKS_CONSTANT = 0.1
_MIN_EXTENT = 1e-3

# T true points, A answered points


@dataclass(frozen=True, slots=True)
class _Pair:
    """A true point and its answer.

    Attributes:
        distance: As fractions of the image.
        extent_distance: As shares of the extent of the image's true points.
        similarity: See `oks`.
    """

    label: str
    distance: float
    extent_distance: float
    similarity: float


def evaluate(
    schema: LabelSchema,
    truths: Mapping[str, Sequence[Region]],
    predictions: Mapping[str, Sequence[Region]],
) -> Evaluation:
    """Compare predictions with truths, both by example key; `primary` is pck@0.05.

    Where there is nothing to find, it is 1 if nothing was found, and else 0.
    """
    num_true: Counter[str] = Counter()
    num_found: Counter[str] = Counter()
    pairs: list[_Pair] = []
    for key, regions in sorted(truths.items()):
        true, found = _by_label(regions), _by_label(predictions.get(key, ()))
        num_true.update({label: len(points) for label, points in true.items()})
        num_found.update({label: len(points) for label, points in found.items()})
        pairs += _pairs(true, found)
    num_near = Counter(pair.label for pair in pairs if pair.distance <= NEAR)
    names = [*schema.names, *sorted((num_true.keys() | num_found.keys()) - set(schema.names))]
    primary = _share(num_near.total(), num_true.total(), empty=float(not num_found))
    shares = {
        f"{prefix}pck@{limit}": _share(sum(d <= limit for d in distances), num_true.total(), empty=primary)
        for prefix, distances in (
            ("", [pair.distance for pair in pairs]),
            ("extent_", [pair.extent_distance for pair in pairs]),
        )
        for limit in _LIMITS
    }
    metrics = {
        "num_examples": len(truths),
        "primary": primary,
        **shares,
        "precision": _share(num_near.total(), num_found.total(), empty=primary),
        "f1": _share(2 * num_near.total(), num_true.total() + num_found.total(), empty=1.0),
        "oks": sum(pair.similarity for pair in pairs) / num_true.total() if num_true else primary,
        "median_distance": float(np.median([pair.distance for pair in pairs])) if pairs else 0.0,
        "per_class": {
            name: {
                "pck@0.05": _share(num_near[name], num_true[name]),
                "precision": _share(num_near[name], num_found[name]),
                "f1": _share(2 * num_near[name], num_true[name] + num_found[name]),
                "support": num_true[name],
                "num_predicted": num_found[name],
            }
            for name in names
        },
    }
    return Evaluation(primary, metrics)


def match(true_T2: npt.NDArray[np.float64], found_A2: npt.NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """Match points, nearest pairs first, each once: (index of the true point, index of the answer, distance)."""
    distance_TA = np.linalg.norm(true_T2[:, None] - found_A2[None], axis=2)
    free_t, free_a = set(range(len(true_T2))), set(range(len(found_A2)))
    matched: list[tuple[int, int, float]] = []
    for flat in np.argsort(distance_TA, axis=None, kind="stable").tolist():
        if not free_t or not free_a:
            break
        t, a = divmod(flat, len(found_A2))
        if t in free_t and a in free_a:
            free_t.remove(t)
            free_a.remove(a)
            matched.append((t, a, float(distance_TA[t, a])))
    return matched


def _pairs(true: Mapping[str, list[KeyPoint]], found: Mapping[str, list[KeyPoint]]) -> list[_Pair]:
    everything = _array(list(itertools.chain.from_iterable(true.values())))
    width, height = np.ptp(everything, axis=0).tolist() if len(everything) > 1 else (1.0, 1.0)
    extent = max(_MIN_EXTENT, width, height)
    area = max(_MIN_EXTENT**2, width * height)
    pairs = []
    for label in true.keys() & found.keys():
        for _, _, distance in match(_array(true[label]), _array(found[label])):
            similarity = float(np.exp(-(distance**2) / (2 * area * _OKS_CONSTANT**2)))
            pairs.append(_Pair(label, distance, distance / extent, similarity))
    return pairs


def _by_label(regions: Sequence[Region]) -> dict[str, list[KeyPoint]]:
    points: dict[str, list[KeyPoint]] = {}
    for region in regions:
        if isinstance(region, KeyPoint):
            points.setdefault(region.label, []).append(region)
    return points


def _array(points: Sequence[KeyPoint]) -> npt.NDArray[np.float64]:
    return np.array([(point.x, point.y) for point in points], dtype=np.float64).reshape(-1, 2)


def _share(part: int, whole: int, *, empty: float = 0.0) -> float:
    return part / whole if whole else empty
