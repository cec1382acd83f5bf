"""Which clicks would an annotator make, who knows the truth? For training and for measuring.

The box is tight; the first click is in the middle of the thing, and each further one in the middle of the largest part
that is wrong.

Source: Sofiiuk, Petrov, Konushin, "Reviving Iterative Training with Mask Guidance for Interactive Segmentation", 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from models.clicks import ClickSegmenter, Encoded, Prompts, Segment
from models.interactive import window
from models.interactive.window import Inside
from models.regions import Box, Point

NUM_CLICKS = (1, 2, 3, 5)
"""After how many clicks answers are measured."""

# H height, W width


def box_around(truth_HW: Inside) -> Prompts:
    """Return the tight box around a thing, which must not be empty."""
    bounds = window.bounds_within(truth_HW)
    assert bounds is not None
    return Prompts(boxes=(Box.from_bounds("", *bounds),))


def first_click(truth_HW: Inside) -> Prompts:
    """Return a click in the middle of a thing."""
    return Prompts(inside=(_middle(truth_HW)[1],))


def next_click(prompts: Prompts, truth_HW: Inside, found_HW: Inside) -> Prompts:
    """Add a click in the middle of the largest error; nothing where there is none."""
    missing, inside = _middle(truth_HW & ~found_HW)
    extra, outside = _middle(found_HW & ~truth_HW)
    if max(missing, extra) == 0:
        return prompts
    if missing >= extra:
        return replace(prompts, inside=(*prompts.inside, inside))
    return replace(prompts, outside=(*prompts.outside, outside))


def overlap(a_HW: Inside, b_HW: Inside) -> float:
    """Return intersection over union; 1 where both are empty.

    >>> overlap(np.array([[True, True]]), np.array([[True, False]]))
    0.5
    """
    union = int((a_HW | b_HW).sum())
    return int((a_HW & b_HW).sum()) / union if union else 1.0


def draw(segment: Segment | None, truth_HW: Inside) -> Inside:
    """Return an answer at the size of the truth."""
    if segment is None:
        return np.zeros_like(truth_HW)
    return window.paste(segment, width_px=truth_HW.shape[1], height_px=truth_HW.shape[0])


def measure(segmenter: ClickSegmenter, encoded: Encoded, truth_HW: Inside) -> dict[str, float]:
    """Return the IoU that one thing reaches: from its "box", and after "1", "2", … clicks."""
    overlaps = {"box": overlap(draw(segmenter.segment(encoded, box_around(truth_HW)), truth_HW), truth_HW)}
    prompts = first_click(truth_HW)
    for num in range(1, max(NUM_CLICKS) + 1):
        found_HW = draw(segmenter.segment(encoded, prompts), truth_HW)
        if num in NUM_CLICKS:
            overlaps[str(num)] = overlap(found_HW, truth_HW)
        prompts = next_click(prompts, truth_HW, found_HW)
    return overlaps


def means(overlaps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over things, for each way to point; nothing for no things."""
    names = overlaps[0] if overlaps else ()
    return {name: round(float(np.mean([one[name] for one in overlaps])), 4) for name in names}


def _middle(part_HW: Inside) -> tuple[float, Point]:
    """Return the pixel that is deepest in a part, and how deep it is; 0 where nothing is in it."""
    depths_HW = cv2.distanceTransform(np.pad(part_HW.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depths_HW.argmax()), depths_HW.shape)
    height, width = part_HW.shape
    return float(depths_HW[row, column]), ((float(column) + 0.5) / width, (float(row) + 0.5) / height)
