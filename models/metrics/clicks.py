"""Is a click segmenter better than another one? Both answer the same clicks on the same things.

Better means more than chance: resampled sets of things agree on it, 19 of 20 times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.metrics.evaluation import Evaluation

MIN_THINGS = 5
"""Fewer things say nothing."""
_NUM_RESAMPLED = 2000
_QUANTILE = 0.05

# T things, P ways to point, R resampled sets


def compare(ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]) -> Evaluation:
    """Compare IoUs: for each thing, what each way to point ("box", "1" click, "2" clicks …) reached.

    The metrics hold the mean of each way under `iou` and `iou_classical`, and of all of them: `primary`, `gain` (ours
    less theirs), `gain_lower_bound` (which 95 % of resampled sets of things exceed) and `is_better_than_classical`.
    """
    if not ours:
        return Evaluation(0.0, {"is_better_than_classical": False, "num_things": 0})
    ways = list(ours[0])
    ours_TP, theirs_TP = (np.array([[thing[way] for way in ways] for thing in group]) for group in (ours, theirs))
    gains_T = (ours_TP - theirs_TP).mean(1)
    picks_RT = np.random.default_rng(0).integers(0, len(gains_T), (_NUM_RESAMPLED, len(gains_T)))
    lower_bound = float(np.quantile(gains_T[picks_RT].mean(1), _QUANTILE))
    primary = round(float(ours_TP.mean()), 4)
    metrics = {
        "primary": primary,
        "iou": _by_way(ways, ours_TP.mean(0)),
        "iou_classical": _by_way(ways, theirs_TP.mean(0)),
        "gain": round(float(gains_T.mean()), 4),
        "gain_lower_bound": round(lower_bound, 4),
        "num_things": len(gains_T),
        "is_better_than_classical": len(gains_T) >= MIN_THINGS and lower_bound > 0,
    }
    return Evaluation(primary, metrics)


def _by_way(
    ways: Sequence[str], means_P: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]
) -> dict[str, float]:
    return {way: round(float(mean), 4) for way, mean in zip(ways, means_P, strict=True)}
