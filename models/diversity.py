"""In which order should items be labelled? The least certain first, and none that is like one already chosen.

Source: Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", 2018 (farthest-first
choice), with each distance weighted by the uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from models.images import Image, resize
from models.labels import Objective
from models.regions import Region
from models.text_features import count

# N items, F features
_SIDE_PX = 12
_NUM_BUCKETS = 512


def certainty(objective: Objective, regions: Sequence[Region]) -> float:
    """Return how sure a model is of what it found in an item, in [0, 1]; the uncertainty is what is left to 1.

    One answer (CLASSIFICATION, REGRESSION): its score, 0 without one. Any number of regions: their mean score; where
    nothing was found 0.5, because nothing tells whether there is nothing or it was missed.
    """
    scores = [1.0 if region.score is None else region.score for region in regions]
    if objective in (Objective.CLASSIFICATION, Objective.REGRESSION):
        return scores[0] if scores else 0.0
    return fmean(scores) if scores else 0.5


def describe(content: Image | str) -> npt.NDArray[np.float32]:
    """Return a short description of an item, shape (F,), of length 1, in which alike items are near each other."""
    if isinstance(content, str):
        features, times = count(content)
        counts = np.bincount(features % _NUM_BUCKETS, weights=times, minlength=_NUM_BUCKETS)
        return np.asarray(counts / (float(np.linalg.norm(counts)) + 1e-6), dtype=np.float32)
    small = resize(content.pixels, width_px=_SIDE_PX, height_px=_SIDE_PX).astype(np.float32) / 255
    flat = (small - small.mean()).ravel()
    return np.asarray(flat / (float(np.linalg.norm(flat)) + 1e-6), dtype=np.float32)


def order(uncertainties: npt.NDArray[np.float64], descriptions_NF: npt.NDArray[np.float32], num: int) -> list[int]:
    """Return the indices of the items to label next, at most `num`, the first one first.

    Each next item is the one with the greatest uncertainty × distance to the nearest item before it.
    """
    weights = np.asarray(uncertainties, dtype=np.float64) + 1e-3
    nearest = np.full(len(weights), 2.0)
    chosen: list[int] = []
    for _ in range(min(num, len(weights))):
        gains = weights * nearest
        gains[chosen] = -1.0
        best = int(np.argmax(gains))
        chosen.append(best)
        distances = np.linalg.norm(descriptions_NF - descriptions_NF[best], axis=1)
        nearest = np.minimum(nearest, distances)
    return chosen
