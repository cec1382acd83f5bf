"""How good are masks, and the outlines of things?

What the numbers mean:
    iou: Of a label: what its truths and predictions share, by what they cover together, over all examples; each
        example counts alike, however many pixels it has.
    dice: Twice what they share, by the sum of what each covers.
    mean_iou, mean_dice: Means over the labels that occur in truths or predictions; the background is not one of them.
    background_iou: Of where there is no label at all.
    mean_iou_with_background: As `mean_iou`, with the background as one more label.
    ap_50, map_50, ap_at_overlap and so on: See `models.metrics.detection`; areas of polygons overlap, instead of boxes.

Where a mask has another size than the truth (an older image, a reduced copy), it is scaled to it. Masks whose runs do
not add up and polygons without an area are not counted. Labels that the schema does not know are counted like any
other, so that an older version can be measured on newer truths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.labels import LabelSchema
from models.metrics.average_precision import Compared, average_precisions, mean_average_precisions
from models.metrics.evaluation import Evaluation
from models.outlines import covered, fill, is_whole
from models.regions import Mask, Polygon, Region

_RASTER_PX = 1024
"""Side of the raster on which the polygons of an image are united."""
_PAIR_PX = 128
"""Side of the raster on which two polygons are compared; it lies over just the two, however small they are."""

# P predictions, T truths
_Truths = Mapping[str, Sequence[Region]]
_Inside = npt.NDArray[np.bool_]


def evaluate_masks(schema: LabelSchema, truths: _Truths, predictions: _Truths) -> Evaluation:
    """Compare masks with truths, both by example key; `primary` is `mean_iou`, or 1 where there is nothing at all."""
    areas = _Areas()
    for key, regions in sorted(truths.items()):
        true, found = (
            [region for region in each if isinstance(region, Mask) and is_whole(region)]
            for each in (regions, predictions.get(key, ()))
        )
        largest = max(true or found, key=lambda mask: mask.width_px * mask.height_px, default=None)
        areas.add(true, found, size_px=(largest.width_px, largest.height_px) if largest else (1, 1))
    metrics = areas.summary(schema)
    return Evaluation(metrics["mean_iou"], {"num_examples": len(truths), "primary": metrics["mean_iou"], **metrics})


def evaluate_polygons(
    schema: LabelSchema, truths: _Truths, predictions: _Truths, *, min_overlap: float | None = None
) -> Evaluation:
    """Compare polygons with truths, both by example key.

    `primary` is `map_50`: what counts is each thing, found and told from its neighbours, not the area it takes. Where
    there is nothing to find, it is 1 if nothing is found, else 0.
    """
    areas = _Areas()
    pairs: list[tuple[list[Polygon], list[Polygon]]] = []
    for key, regions in sorted(truths.items()):
        true, found = (_polygons_of(each) for each in (regions, predictions.get(key, ())))
        areas.add(true, found, size_px=(_RASTER_PX, _RASTER_PX))
        pairs.append((true, found))
    summary = areas.summary(schema)
    for name, figures in summary["per_class"].items():
        compared = [_compare(true, found, name) for true, found in pairs]
        figures |= average_precisions(compared, min_overlap=min_overlap)
        figures["num_things"] = sum(each.overlaps_PT.shape[1] for each in compared)
        figures["num_predicted_things"] = sum(each.overlaps_PT.shape[0] for each in compared)
    means = mean_average_precisions(summary["per_class"], min_overlap=min_overlap)
    map_50 = means["map_50"]
    primary = map_50 if map_50 is not None else float(not any(found for _, found in pairs))
    metrics = {"num_examples": len(truths), "primary": primary, **means, **summary}
    return Evaluation(primary, metrics)


def polygon_overlaps(polygons: Sequence[Polygon], others: Sequence[Polygon]) -> npt.NDArray[np.float64]:
    """Return intersection over union of each polygon with each other one, shape (N, M), to about one percent.

    >>> left = Polygon("a", ((0.0, 0.0), (0.2, 0.0), (0.2, 0.2), (0.0, 0.2)))
    >>> right = Polygon("a", ((0.1, 0.0), (0.3, 0.0), (0.3, 0.2), (0.1, 0.2)))
    >>> round(float(polygon_overlaps([left], [right])[0, 0]), 2)
    0.33
    """
    overlaps_NM = np.zeros((len(polygons), len(others)))
    if not polygons or not others:
        return overlaps_NM
    bounds_N, bounds_M = ([_bounds(polygon) for polygon in group] for group in (polygons, others))
    low_NM2, low_MN2 = (np.stack([low for low, _ in bounds]) for bounds in (bounds_N, bounds_M))
    high_NM2, high_MN2 = (np.stack([high for _, high in bounds]) for bounds in (bounds_N, bounds_M))
    meets_NM = ((low_NM2[:, None] < high_MN2) & (low_MN2 < high_NM2[:, None])).all(2)
    for n, m in np.argwhere(meets_NM):
        low, high = np.minimum(low_NM2[n], low_MN2[m]), np.maximum(high_NM2[n], high_MN2[m])
        one, other = (
            fill([((x - low[0]) / (high - low)[0], (y - low[1]) / (high - low)[1]) for x, y in points], *[_PAIR_PX] * 2)
            for points in (polygons[n].points, others[m].points)
        )
        overlaps_NM[n, m] = (one & other).sum() / max(1, (one | other).sum())
    return overlaps_NM


@dataclass(slots=True)
class _Tally:
    """Sums over examples; areas are shares of the image."""

    shared: float = 0.0
    true: float = 0.0
    found: float = 0.0
    num_true: int = 0
    num_found: int = 0

    def add(self, true_HW: _Inside, found_HW: _Inside) -> None:
        self.shared += float((true_HW & found_HW).mean())
        self.true += float(true_HW.mean())
        self.found += float(found_HW.mean())
        self.num_true += bool(true_HW.any())
        self.num_found += bool(found_HW.any())

    @property
    def iou(self) -> float:
        together = self.true + self.found - self.shared
        return self.shared / together if together else 0.0

    @property
    def dice(self) -> float:
        return 2 * self.shared / (self.true + self.found) if self.true + self.found else 0.0


class _Areas:
    """What truths and predictions of each label cover and share."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}
        self._background = _Tally()

    def add(self, true: Sequence[Mask | Polygon], found: Sequence[Mask | Polygon], *, size_px: tuple[int, int]) -> None:
        """Count one example."""
        all_true_HW, all_found_HW = np.zeros((2, size_px[1], size_px[0]), dtype=np.bool_)
        for name in sorted({region.label for region in (*true, *found)}):
            true_HW, found_HW = (
                _union([region for region in regions if region.label == name], size_px) for regions in (true, found)
            )
            self._tallies.setdefault(name, _Tally()).add(true_HW, found_HW)
            all_true_HW |= true_HW
            all_found_HW |= found_HW
        self._background.add(~all_true_HW, ~all_found_HW)

    def summary(self, schema: LabelSchema) -> dict[str, Any]:
        """Return the figures that are about areas."""
        names = [*schema.names, *sorted(self._tallies.keys() - set(schema.names))]
        tallies = {name: self._tallies.get(name, _Tally()) for name in names}
        occurring = [tally for tally in tallies.values() if tally.true or tally.found]
        background_iou = self._background.iou
        return {
            "mean_iou": _mean([tally.iou for tally in occurring]) if occurring else 1.0,
            "mean_dice": _mean([tally.dice for tally in occurring]) if occurring else 1.0,
            "background_iou": background_iou,
            "mean_iou_with_background": _mean([background_iou, *(tally.iou for tally in occurring)]),
            "per_class": {
                name: {
                    "iou": tally.iou,
                    "dice": tally.dice,
                    "support": tally.num_true,
                    "num_predicted": tally.num_found,
                }
                for name, tally in tallies.items()
            },
        }


def _union(regions: Sequence[Mask | Polygon], size_px: tuple[int, int]) -> _Inside:
    inside_HW = np.zeros((size_px[1], size_px[0]), dtype=np.bool_)
    for region in regions:
        inside_HW |= covered(region, *size_px)
    return inside_HW


def _polygons_of(regions: Sequence[Region]) -> list[Polygon]:
    """Return the polygons that have an extent; not more is asked of them, so that no odd truth is lost."""
    polygons = [region for region in regions if isinstance(region, Polygon) and len(region.points) >= 3]
    return [polygon for polygon in polygons if np.isfinite(polygon.points).all() and np.ptp(polygon.points, 0).all()]


def _compare(true: Sequence[Polygon], found: Sequence[Polygon], label: str) -> Compared:
    true, found = ([polygon for polygon in group if polygon.label == label] for group in (true, found))
    return Compared(np.array([polygon.score or 0.0 for polygon in found]), polygon_overlaps(found, true))


def _bounds(polygon: Polygon) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    points_N2 = np.asarray(polygon.points, dtype=np.float64)
    return points_N2.min(0), points_N2.max(0)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
