"""How does a detector learn? One place in a map for each thing, its centre; see `models.learning.centres`.

The canvas is chosen so that the things that people drew are large enough on it, and not larger than they need be: small
canvases are learnt from more often in the same time. Scores are scaled on held-out images so that 0.5 is the threshold
with the best F1. Directions are learnt where people's boxes have them; else boxes are upright.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models import images
from models.examples import Example, Split
from models.families.object_detection.predict import Reading, find_boxes
from models.family import FamilyError, FitSettings, Report
from models.labels import LabelSchema
from models.learning import centres, data, dense
from models.learning.centres import Things
from models.metrics.average_precision import Ranking
from models.metrics.detection import boxes_of, rank_boxes
from models.metrics.overlaps import box_overlaps
from models.regions import Box, Region

_MIN_SCORE = 0.35
"""Of answered boxes, see `Reading`."""
_USUAL_THRESHOLD = 0.15
"""Score of the network with the best F1, as long as held-out examples do not say otherwise."""
_LOWEST = 0.01
"""Score of the network from which on boxes are looked at when thresholds are chosen."""
_FEW = 10
"""Held-out boxes that count as much as what is usual."""
_ASIDE = 5
"""Where nothing is held out, one image in so many is set aside, if there are twice that, until scores are scaled."""
_WIDTHS = (8, 24, 48, 96, 128, 128)
_GOOD_SIDE_PX = 32
"""A median thing should be this large on the canvas, …"""
_SMALL_SIDE_PX = 14
"""… and a small one, the tenth percentile, at least this."""
_MAX_LOG = 3.0
"""Of the ratio of a box' sides to the usual size, so that no side is infinite."""
_PRIOR = -2.2
"""Added to heat, so that a new network says that there is probably nothing."""

# B batch, N places, C channels, H height, W width, T things in an image


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
    """Learn boxes; see `models.family.Fit`."""
    usable = _set_aside([_clean(example, schema, log=report.log) for example in examples])
    boxes = [box for example in usable if example.split is Split.TRAIN for box in boxes_of(example.regions)]
    if usable and not boxes:
        raise FamilyError("None of the labelled images has a box to learn from; draw some boxes first.")
    size_px = data.median_size_px(usable) if usable else None
    if size_px is None:
        raise FamilyError("None of the labelled images can be read." if usable else "There are no labelled images yet.")
    job = dense.Job(usable, schema, settings, device, report, folder, weights)
    recipe = _choose_recipe(schema, settings, boxes, size_px)
    dense.fit(job, recipe, lambda canvas: _Detection(canvas, schema, boxes))


def _set_aside(examples: Sequence[Example]) -> list[Example]:
    """Hold some examples out where none are: scores mean little before a network has met images it did not learn.

    In the end it learns from them, too; see `dense.fit`.
    """
    if len(examples) < 2 * _ASIDE or any(example.split is Split.HELD_OUT for example in examples):
        return list(examples)
    ordered = sorted(examples, key=lambda example: example.key)
    return [
        replace(example, split=Split.HELD_OUT) if number % _ASIDE == _ASIDE - 1 else example
        for number, example in enumerate(ordered)
    ]


def _clean(example: Example, schema: LabelSchema, *, log: Callable[[str], None]) -> Example:
    """Keep the boxes that can be learnt: those of a known label that show something of the image."""
    known = [region for region in example.regions if isinstance(region, Box) and region.label in schema.names]
    kept = []
    for box in boxes_of(known):
        left, top, right, bottom = (min(1.0, max(0.0, edge)) for edge in box.bounds)
        if right - left < 1e-4 or bottom - top < 1e-4:
            continue
        kept.append(box if box.rotation else Box.from_bounds(box.label, left, top, right, bottom))
    if len(kept) < len(example.regions):
        num_skipped = len(example.regions) - len(kept)
        log(f"{example.key}: {num_skipped} regions are skipped; they show nothing of the image or have an old label")
    return replace(example, regions=tuple(kept))


def _choose_recipe(
    schema: LabelSchema, settings: FitSettings, boxes: Sequence[Box], size_px: tuple[int, int]
) -> dense.Recipe:
    shares = [math.sqrt(box.width * box.height) for box in boxes]
    median, small = (float(share) for share in np.quantile(shares, (0.5, 0.1)))
    wanted_px = float(np.clip(max(_GOOD_SIDE_PX / median, _SMALL_SIDE_PX / small), 160, 448))
    side_px = settings.image_px or round(min(wanted_px, math.sqrt(size_px[0] * size_px[1])))
    augmentation = data.Augmentation(
        min_area=0.65,
        rotation=30 if _is_rotated(boxes) else 8,
        shear=0.1,
        is_flipped=not any({"left", "right"} & set(name.casefold().split()) for name in schema.names),
        light=0.2,
    )
    return dense.Recipe(
        family="object_detection",
        side_px=side_px,
        num_passes=round(2200 * (224 / side_px) ** 2),
        augmentation=augmentation,
        max_epochs=80,
        learning_rate=3e-3,
        batch_size=4,
        widths=_WIDTHS,
        stride=4 if small * side_px > 12 else 2,
    )


def _is_rotated(boxes: Sequence[Box]) -> bool:
    """Tell whether directions are to be learnt: whether more than a few boxes are turned by more than 3 degrees."""
    num_turned = sum(abs((box.rotation + 45) % 90 - 45) > 3 for box in boxes)
    return num_turned > 0.02 * len(boxes)


class _Detection:
    """A `dense.Target`."""

    def __init__(self, canvas: dense.Canvas, schema: LabelSchema, boxes: Sequence[Box]) -> None:
        self._canvas, self._schema = canvas, schema
        self._size_px = (canvas.width_px, canvas.height_px)
        self._side_px = math.sqrt(canvas.width_px * canvas.height_px)
        self._usual_px = float(np.median([math.sqrt(box.width * box.height) for box in boxes])) * self._side_px
        is_rotated = _is_rotated(boxes)
        self._aspects = [_aspect(example) if is_rotated else 1.0 for example in canvas.examples]
        self._things = [
            Things.of_boxes(boxes_of(example.regions), schema.names, size_px=self._size_px, aspect=aspect)
            for example, aspect in zip(canvas.examples, self._aspects, strict=True)
        ]
        same_overlap, other_overlap = _usual_overlaps(
            [example for example in canvas.examples if example.split is Split.TRAIN]
        )
        power = math.log(0.5) / math.log(_USUAL_THRESHOLD)
        self._reading = Reading(
            *self._size_px,
            is_rotated=is_rotated,
            powers=(power,) * len(schema.names),
            min_score=_MIN_SCORE,
            same_overlap=same_overlap,
            other_overlap=other_overlap,
        )

    @property
    def num_outputs(self) -> int:
        return len(self._schema.names) + (6 if self._reading.is_rotated else 4)

    def loss(self, maps_BCHW: Tensor, indices: Sequence[int], theta_B23: Tensor) -> Tensor:
        with torch.autocast(maps_BCHW.device.type, enabled=False):  # squares of pixels overflow half precision
            return self._loss(maps_BCHW.float(), indices, theta_B23.float())

    def _loss(self, maps_BCHW: Tensor, indices: Sequence[int], theta_B23: Tensor) -> Tensor:
        num_labels = len(self._schema.names)
        shapes_BCN = self.decode(maps_BCHW)[:, num_labels:].flatten(2)
        num_things, total = 0, maps_BCHW.sum() * 0
        for at, index in enumerate(indices):
            rows, columns = maps_BCHW.shape[2:]
            aims = centres.aim(
                self._things[index],
                theta_B23[at],
                num_labels=num_labels,
                shape=(rows, columns),
                size_px=self._size_px,
                is_rotated=self._reading.is_rotated,
            )
            shapes_NC = shapes_BCN[at, :, aims.places_N].T
            total = total + centres.heat_loss(maps_BCHW[at, :num_labels] + _PRIOR, aims)
            total = total + 2 * (self._shape_loss(shapes_NC, aims.things_N) * aims.weights_N).sum()
            num_things += aims.num_things
        return total / max(1, num_things)

    def _shape_loss(self, shapes_NC: Tensor, things_N: Things) -> Tensor:
        apart_N2 = shapes_NC[:, :2] * torch.tensor(self._size_px, device=shapes_NC.device) - things_N.centres_T2
        sizes_N2 = shapes_NC[:, 2:4] * self._side_px
        if self._reading.is_rotated:
            return centres.rotated_loss(apart_N2, sizes_N2, shapes_NC[:, 4:6], things_N)
        return centres.upright_loss(apart_N2, sizes_N2, things_N)

    def head(self) -> nn.Module:
        return _Head(self)

    def regions(self, output_BCHW: dense.Maps, indices: Sequence[int]) -> list[list[Region]]:
        return [
            list(find_boxes(output_CHW, self._schema.names, self._reading, aspect=self._aspects[index]))
            for output_CHW, index in zip(output_BCHW, indices, strict=True)
        ]

    def inputs(self) -> Mapping[str, Any]:
        return self._reading.to_json()

    def tune(self, output_NCHW: dense.Maps, indices: Sequence[int]) -> None:
        names = self._schema.names
        self._reading = replace(self._reading, powers=(1.0,) * len(names), min_score=_LOWEST)
        found = [boxes_of(regions) for regions in self.regions(output_NCHW, indices)]
        true = [boxes_of(self._canvas.examples[index].regions) for index in indices]
        renamed = [[[replace(box, label="") for box in boxes] for boxes in group] for group in (true, found)]
        of_all = _threshold(rank_boxes(list(zip(*renamed, strict=True)), ""), usual=_USUAL_THRESHOLD)
        rankings = [rank_boxes(list(zip(true, found, strict=True)), name) for name in names]
        powers = tuple(math.log(0.5) / math.log(_threshold(ranking, usual=of_all)) for ranking in rankings)
        self._reading = replace(self._reading, powers=powers, min_score=_MIN_SCORE)

    def decode(self, maps_BCHW: Tensor) -> Tensor:
        """Turn maps into the output that predict.py reads."""
        num_labels = len(self._schema.names)
        heat, offset, size, direction = maps_BCHW.tensor_split((num_labels, num_labels + 2, num_labels + 4), 1)
        width_px, height_px = self._size_px
        rows, columns = maps_BCHW.shape[2:]
        ys = (torch.arange(rows, device=maps_BCHW.device) + 0.5) / rows
        xs = (torch.arange(columns, device=maps_BCHW.device) + 0.5) / columns
        grid_2HW = torch.stack(torch.meshgrid(xs, ys, indexing="xy"))
        scale_2 = torch.tensor([self._usual_px / width_px, self._usual_px / height_px], device=maps_BCHW.device)
        centre = grid_2HW + offset * scale_2[:, None, None]
        size = size.clamp(-_MAX_LOG, _MAX_LOG).exp() * (self._usual_px / self._side_px)
        return torch.cat(((heat + _PRIOR).sigmoid(), centre, size, direction), 1)


class _Head(nn.Module):
    def __init__(self, target: _Detection) -> None:
        super().__init__()
        self._target = target

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return self._target.decode(maps_BCHW)


def _threshold(ranking: Ranking, *, usual: float) -> float:
    """Return the threshold with the best F1, nearer to the usual one the fewer things it was found on."""
    best = ranking.best_threshold
    share = 0.0 if best is None else ranking.num_truths / (ranking.num_truths + _FEW)
    chosen = math.exp(share * math.log(max(best or usual, _LOWEST)) + (1 - share) * math.log(usual))
    return min(0.9, max(2 * _LOWEST, chosen))


def _aspect(example: Example) -> float:
    image = images.read_part(example.path, example.part, min_side_px=1)
    return image.width_px / image.height_px


def _usual_overlaps(examples: Sequence[Example]) -> tuple[float, float]:
    """Return how much two boxes of one label may overlap, and two of different labels, as people's boxes do.

    Nearly all boxes that people drew overlap each other less.
    """
    same, other = [np.zeros(1)], [np.zeros(1)]
    for example in examples:
        boxes = boxes_of(example.regions)
        if boxes:
            overlaps_TT = box_overlaps(boxes, boxes)
            np.fill_diagonal(overlaps_TT, 0.0)
            labels_T = np.array([box.label for box in boxes])
            is_same_TT = labels_T[:, None] == labels_T[None, :]
            same.append((overlaps_TT * is_same_TT).max(1))
            other.append((overlaps_TT * ~is_same_TT).max(1))
    usual_same, usual_other = (float(np.quantile(np.concatenate(group), 0.98)) for group in (same, other))
    return float(np.clip(usual_same + 0.1, 0.4, 0.7)), float(np.clip(usual_other + 0.1, 0.6, 0.9))
