"""How are points learnt? As heat maps: a small hill at each point, one map for each label, drawn by a U-Net.

A map is learnt in two ways at once: as the odds that a point is here (so that its height is a score, and a point that
is not there can be told), and as the answer to where the point is, if there is one (so that few examples are enough to
tell the right place from the next best). Images are never mirrored where that could turn a left paw into a right one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.examples import Example, Split
from models.families.key_points.predict import Reading, points
from models.family import FamilyError, FitSettings, Report
from models.labels import LabelSchema
from models.learning import data, dense
from models.metrics import evaluate
from models.regions import KeyPoint, Region

_SIDES_PX = (256, 512)
"""Root of the area of the canvas: the smaller one is enough, unless points of one label are close together."""
_APART_PX = 8
"""How far apart they should be on the canvas."""
_MIN_SPACING = 0.005
"""Points that are closer to each other were marked twice."""
_HILL = 0.02
"""Deviation of a hill, as a share of the canvas; less where points of one label are close together."""
_SEVERAL_SHARE = 0.05
"""Share of a label's images that must show it more than once for that to be no slip."""
_OFFSET = 4.0
"""What a network that knows nothing says is that a point is unlikely."""
_THRESHOLD = 0.03
"""Where nothing was held out to choose it."""
_CANDIDATES = np.geomspace(0.02, 0.8, 30)
_AS_GOOD = 0.003
"""Thresholds that are less than this worse than the best are as good; the middle one is taken."""

# B batch, K labels, P points, H height, W width


def fit(
    examples: Sequence[Example],
    schema: LabelSchema,
    settings: FitSettings,
    *,
    device: str,
    report: Report,
    folder: Path,
    weights: Path | None,
) -> None:
    """Learn to find points; see `models.family.Fit`."""
    cleaned = [_clean(example, schema, log=report.log) for example in examples]
    if not any(example.regions for example in cleaned if example.split is Split.TRAIN):
        raise FamilyError("There are no points in the labelled images yet; mark some.")
    crowds = _crowds(cleaned)
    spacing = _spacing(cleaned, crowds)
    hill = min(_HILL, spacing / 4)
    side_px = round(float(np.clip(_APART_PX / spacing, *_SIDES_PX)))
    size_px = data.median_size_px(cleaned) or (side_px, side_px)
    canvas_px = settings.image_px or min(side_px, (size_px[0] * size_px[1]) ** 0.5)
    stride = 4 if hill * canvas_px >= 4 else 2
    recipe = dense.Recipe(
        family="key_points",
        side_px=side_px,
        num_passes=2400,
        stride=stride,
        widths=(8, 24, 48, 64, 96, 128),
        batch_size=4,  # few images need many small steps
        augmentation=data.Augmentation(
            min_area=0.6,
            rotation=15,
            shear=0.1,
            shift=0.03,
            light=0.2,
            # A name that occurs many times in an image says what a thing is, and not which of two sides it is on.
            is_flipped=crowds >= {region.label for example in cleaned for region in example.regions},
        ),
    )

    def aim(canvas: dense.Canvas) -> dense.Target:
        if sum(bool(example.regions) for example in canvas.examples if example.split is Split.TRAIN) < 2:
            raise FamilyError("At least two images with points are needed; mark some more.")
        return _Hills(canvas, schema, crowds, hill=hill, stride=stride)

    dense.fit(dense.Job(cleaned, schema, settings, device, report, folder, weights), recipe, aim)


def _clean(example: Example, schema: LabelSchema, *, log: Callable[[str], None]) -> Example:
    """Return an example with points of this label set that are in the image, and nothing else."""
    known = [region for region in example.regions if isinstance(region, KeyPoint) and region.label in schema.names]
    kept = [point for point in known if 0 <= point.x <= 1 and 0 <= point.y <= 1]
    if len(kept) < len(known):
        log(f"{example.key}: {len(known) - len(kept)} points outside of the image are left out")
    return Example(example.key, example.path, tuple(kept), example.split, example.part)


def _crowds(examples: Sequence[Example]) -> frozenset[str]:
    """Return the labels that occur more than once in an image, and not by a slip in one or two of many."""
    num_images: Counter[str] = Counter()
    num_several: Counter[str] = Counter()
    for example in examples:
        counts = Counter(region.label for region in example.regions)
        num_images.update(counts.keys())
        num_several.update(label for label, count in counts.items() if count > 1)
    return frozenset(label for label, count in num_several.items() if count >= _SEVERAL_SHARE * num_images[label])


def _spacing(examples: Sequence[Example], crowds: frozenset[str]) -> float:
    """Return how close points of one label come to each other, as a share of the image, but for the closest tenth."""
    nearest = []
    for example in examples:
        by_label: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for region in example.regions:
            assert isinstance(region, KeyPoint)
            if region.label in crowds:
                by_label[region.label].append((region.x, region.y))
        for places in by_label.values():
            distance_PP = np.linalg.norm(np.array(places)[:, None] - np.array(places)[None], axis=2)
            np.fill_diagonal(distance_PP, np.inf)
            nearest += distance_PP.min(1).tolist()
    among_several = [distance for distance in nearest if math.isfinite(distance)]
    return max(_MIN_SPACING, float(np.quantile(among_several, 0.1))) if among_several else math.inf


class _Hills:
    """What the maps are to say; see `dense.Target`."""

    def __init__(
        self, canvas: dense.Canvas, schema: LabelSchema, crowds: frozenset[str], *, hill: float, stride: int
    ) -> None:
        self._canvas, self._schema = canvas, schema
        self.num_outputs = len(schema.labels)
        # In pixels of the map, as the radius is; narrower hills would fall between them.
        self._deviation = max(0.9, hill * (canvas.width_px * canvas.height_px) ** 0.5 / stride)
        self._reading = Reading(crowds, _THRESHOLD, max(1, round(2 * self._deviation)))
        columns = {name: k for k, name in enumerate(schema.names)}
        self._places: list[Tensor] = []
        self._labels: list[Tensor] = []
        for example in canvas.examples:
            known = [region for region in example.regions if isinstance(region, KeyPoint)]
            places = torch.tensor([(point.x, point.y) for point in known], dtype=torch.float32)
            self._places.append(places.reshape(-1, 2).to(canvas.device))
            self._labels.append(torch.tensor([columns[point.label] for point in known]).long().to(canvas.device))

    def loss(self, maps_BCHW: Tensor, indices: Sequence[int], theta_B23: Tensor) -> Tensor:
        """Return the mean loss of a batch; see `dense.Target`."""
        height, width = maps_BCHW.shape[2:]
        hills_BKHW = torch.stack(
            [self._draw(index, theta_23, height, width) for index, theta_23 in zip(indices, theta_B23, strict=True)]
        )
        maps_BKHW = maps_BCHW.float()
        odds = functional.binary_cross_entropy_with_logits(maps_BKHW - _OFFSET, hills_BKHW, reduction="sum")
        odds = odds / (hills_BKHW[:, :, 0, 0].numel() * 2 * math.pi * self._deviation**2)
        mass_BK = hills_BKHW.sum((2, 3))
        is_shown_BK = mass_BK > 1  # else no more than the slope of a hill beyond the edge
        log_chance_NP = functional.log_softmax(maps_BKHW.flatten(2)[is_shown_BK], 1)
        chance_NP = hills_BKHW.flatten(2)[is_shown_BK] / mass_BK[is_shown_BK][:, None]
        where = -(chance_NP * log_chance_NP).sum() / max(1, len(chance_NP))
        loss: Tensor = odds + where
        return loss

    def _draw(self, index: int, theta_23: Tensor, height: int, width: int) -> Tensor:
        """Return the distorted hills of an example, shape (K, H, W); where they overlap the higher one counts."""
        hills_KHW = torch.zeros((self.num_outputs, height, width), device=theta_23.device)
        if not len(self._labels[index]):
            return hills_KHW
        centres_P2 = data.warp_points(self._places[index][None], theta_23[None])[0]
        along_x_PW, along_y_PH = (
            self._profiles(centre_P * length - 0.5, length)
            for length, centre_P in ((width, centres_P2[:, 0]), (height, centres_P2[:, 1]))
        )
        hills_PHW = along_y_PH[:, :, None] * along_x_PW[:, None, :]
        labels_PHW = self._labels[index][:, None, None].expand_as(hills_PHW)
        hills_KHW.scatter_reduce_(0, labels_PHW, hills_PHW, "amax")
        return hills_KHW

    def _profiles(self, centre_P: Tensor, length: int) -> Tensor:
        distance_PL = torch.arange(length, device=centre_P.device) - centre_P[:, None]
        return torch.exp(-((distance_PL / self._deviation) ** 2) / 2)

    def head(self) -> nn.Module:
        """Return what turns maps into scores."""
        return _Scores()

    def regions(self, output_BCHW: dense.Maps, indices: Sequence[int]) -> list[list[Region]]:
        """Read points out of scores."""
        return [points(maps_KHW, self._schema, self._reading) for maps_KHW in output_BCHW]

    def inputs(self) -> Mapping[str, Any]:
        """Return how predict.py is to read scores."""
        return {"reading": self._reading.to_json()}

    def tune(self, output_NCHW: dense.Maps, indices: Sequence[int]) -> None:
        """Choose the threshold, holding a missed point for worse than a wrong one."""
        self._reading = replace(self._reading, threshold=float(_CANDIDATES[0]))
        found = dict(zip(map(str, indices), self.regions(output_NCHW, indices), strict=True))
        truths = {str(index): self._canvas.examples[index].regions for index in indices}
        merits = np.array([self._merit(truths, found, threshold) for threshold in _CANDIDATES])
        good = _CANDIDATES[merits >= merits.max() - _AS_GOOD]
        self._reading = replace(self._reading, threshold=round(float(np.median(good)), 3))

    def _merit(
        self, truths: Mapping[str, Sequence[Region]], found: Mapping[str, Sequence[Region]], threshold: float
    ) -> float:
        """Return the F-measure that weighs recall twice as much as precision."""
        answers = {key: [point for point in points if (point.score or 0) >= threshold] for key, points in found.items()}
        metrics = evaluate(self._schema, truths, answers).metrics
        precision, recall = float(metrics["precision"]), float(metrics["primary"])
        return 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


class _Scores(nn.Module):
    """Maps → scores in [0, 1]."""

    def forward(self, maps_BKHW: Tensor) -> Tensor:
        """Compute the scores."""
        return torch.sigmoid(maps_BKHW - _OFFSET)
