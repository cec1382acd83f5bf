"""What comes of ranked answers that overlap truths more or less? Hits, average precision, the best threshold.

It does not matter what overlaps, boxes or masks, or how that is measured.

Source: the evaluation of COCO (Lin et al., "Microsoft COCO: Common Objects in Context", 2014), without its limit of
100 answers per image and without crowds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# P predictions, T truths, R recalls
Floats = npt.NDArray[np.float64]

STRICTNESS: tuple[float, ...] = tuple(percent / 100 for percent in range(50, 100, 5))
"""The overlaps that "50:95" stands for."""
_RECALLS_R = np.arange(101) / 100
_SLACK = 1e-9
"""So that an overlap of exactly one half counts as one, whatever its last bit is."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The predictions and truths of one label in one image.

    Attributes:
        scores_P: Of the predictions, in any order.
        overlaps_PT: In [0, 1].
    """

    scores_P: Floats
    overlaps_PT: Floats


@dataclass(frozen=True, slots=True)
class Ranking:
    """The predictions of one label in all images, best first.

    Attributes:
        scores_P: Falling.
        is_hit_P: Whether each found a truth that no better one had found.
        num_truths: How many there were to be found.
    """

    scores_P: Floats
    is_hit_P: npt.NDArray[np.bool_]
    num_truths: int

    @property
    def average_precision(self) -> float | None:
        """Mean precision at 101 recalls, each the best one at that recall or more; None where there are no truths."""
        if not self.num_truths:
            return None
        hits_P = np.cumsum(self.is_hit_P)
        precision_P = hits_P / np.arange(1, len(hits_P) + 1)
        best_P = np.maximum.accumulate(precision_P[::-1])[::-1]
        at_R = np.searchsorted(hits_P / self.num_truths, _RECALLS_R - _SLACK)
        return float(np.append(best_P, 0.0)[at_R].mean())

    @property
    def best_threshold(self) -> float | None:
        """The score from which on predictions, taken together, have the best F1; None where none is a hit."""
        if not self.is_hit_P.any():
            return None
        f1_P = 2 * np.cumsum(self.is_hit_P) / (np.arange(1, len(self.is_hit_P) + 1) + self.num_truths)
        at = int(np.argmax(f1_P))
        below = self.scores_P[at + 1] if at + 1 < len(self.scores_P) else 0.0
        return float(self.scores_P[at] + below) / 2

    def count(self, min_score: float) -> tuple[int, int]:
        """Return how many predictions have at least a score, and how many of them are hits."""
        is_taken_P = self.scores_P >= min_score
        return int(is_taken_P.sum()), int(self.is_hit_P[is_taken_P].sum())


def rank(images: Sequence[Compared], *, min_overlap: float) -> Ranking:
    """Match predictions with truths, image by image, and line them up.

    The best prediction chooses first, and takes the truth that it overlaps most among those that are left and that it
    overlaps enough.
    """
    scores: list[Floats] = []
    hits: list[npt.NDArray[np.bool_]] = []
    for image in images:
        order_P = np.argsort(-image.scores_P, kind="stable")
        left_PT = image.overlaps_PT[order_P].copy()
        is_hit_P = np.zeros(len(order_P), dtype=np.bool_)
        for p in range(len(order_P) if left_PT.shape[1] else 0):
            best = int(left_PT[p].argmax())
            if left_PT[p, best] >= min_overlap - _SLACK:
                is_hit_P[p] = True
                left_PT[:, best] = -1.0
        scores.append(image.scores_P[order_P])
        hits.append(is_hit_P)
    all_scores_P = np.concatenate(scores) if scores else np.zeros(0)
    all_hits_P = np.concatenate(hits) if hits else np.zeros(0, dtype=np.bool_)
    order_P = np.argsort(-all_scores_P, kind="stable")
    num_truths = sum(image.overlaps_PT.shape[1] for image in images)
    return Ranking(all_scores_P[order_P], all_hits_P[order_P], num_truths)


def average_precisions(images: Sequence[Compared], *, min_overlap: float | None) -> dict[str, float | None]:
    """Return the average precisions of one label, named as in `models.metrics.detection`."""
    strict = [rank(images, min_overlap=overlap).average_precision for overlap in STRICTNESS]
    figures = {"ap_50": strict[0], "ap_50_95": _mean(strict)}
    if min_overlap is not None:
        figures["ap_at_overlap"] = rank(images, min_overlap=min_overlap).average_precision
    return figures


def mean_average_precisions(
    per_class: Mapping[str, Mapping[str, Any]], *, min_overlap: float | None
) -> dict[str, float | None]:
    """Return the means of what `average_precisions` returned for each label, over those that have truths."""
    names = ("ap_50", "ap_50_95", *(("ap_at_overlap",) if min_overlap is not None else ()))
    return {f"m{name}": _mean([figures[name] for figures in per_class.values()]) for name in names}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
