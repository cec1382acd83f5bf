"""What should maps say about things with boxes, and how wrong are they? One place for each thing: its centre.

A thing is kept as its centre and its spread, the symmetric matrix of the ellipse that fits into its box: distortions
then act on it exactly as on the pixels, and round things keep a tight box when they are turned.

Sources: Zhou, Wang, Krähenbühl, "Objects as Points", 2019 (heat, focal loss); Liu et al., "Training-Time-Friendly
Network for Real-Time Object Detection", 2020 (elliptic bumps, boxes learnt around centres); Rezatofighi et al.,
"Generalized Intersection over Union", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.learning import data
from models.regions import Box

# K labels, H height, W width, T things in an image, N places
_BUMP = 0.18
"""Deviation of the bumps of heat, as a share of half a thing's size."""
_CORE = 0.25
"""Likewise, of the weight with which boxes are learnt; it ends at half of half the size."""
_CHUNK = 64
_SEEN = 0.35
"""Share of an upright box that must be left in a distorted image for it to be found there."""


@dataclass(frozen=True, slots=True)
class Things:
    """The things in an image, in pixels of the canvas.

    Attributes:
        labels_T: Indices into the schema's labels.
        centres_T2: x before y.
        spreads_T22: Symmetric; its eigenvectors are the axes of the box, its eigenvalues squares of half its sides.
    """

    labels_T: Tensor
    centres_T2: Tensor
    spreads_T22: Tensor

    @classmethod
    def of_boxes(cls, boxes: Sequence[Box], names: Sequence[str], *, size_px: tuple[int, int], aspect: float) -> Things:
        """Read boxes.

        Args:
            boxes: With labels among the names, and an area.
            names: Of the labels.
            size_px: Width and height of the canvas.
            aspect: Width / height of the image, which the canvas may have squeezed.
        """
        spreads = []
        for box in boxes:
            angle = math.radians(box.rotation)
            turn_22 = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            image_aspect = box.aspect if box.rotation else aspect
            half_2 = np.array([box.width * image_aspect, box.height]) / 2  # in units of the image's height
            axes_22 = np.diag(np.array(size_px) / (image_aspect, 1.0)) @ turn_22 @ np.diag(half_2)
            spreads.append(axes_22 @ axes_22.T)
        return cls(
            torch.tensor([names.index(box.label) for box in boxes], dtype=torch.long),
            torch.tensor([(box.x, box.y) for box in boxes], dtype=torch.float32).reshape(-1, 2) * torch.tensor(size_px),
            torch.from_numpy(np.array(spreads, dtype=np.float32).reshape(-1, 2, 2)),
        )

    def __len__(self) -> int:
        return len(self.labels_T)

    def select(self, which: Tensor | slice) -> Things:
        """Return some of them: those of a mask, of indices, or of a slice."""
        return Things(self.labels_T[which], self.centres_T2[which], self.spreads_T22[which])

    @property
    def upright_sizes(self) -> Tensor:
        """Widths and heights of the upright boxes around the ellipses, shape (T, 2)."""
        return 2 * self.spreads_T22.diagonal(dim1=1, dim2=2).sqrt()

    @property
    def rotated_sizes(self) -> Tensor:
        """Longer and shorter sides of the rotated boxes, shape (T, 2)."""
        xx, yy, xy = self._entries
        mean, difference = (xx + yy) / 2, torch.hypot((xx - yy) / 2, xy)
        return 2 * torch.stack((mean + difference, (mean - difference).clamp(min=0.25)), 1).sqrt()

    @property
    def double_angles(self) -> Tensor:
        """Twice the angles of the longer sides, clockwise on screen, in radians; that of a square means nothing."""
        xx, yy, xy = self._entries
        return torch.atan2(xy, (xx - yy) / 2)

    @property
    def _entries(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.spreads_T22[:, 0, 0], self.spreads_T22[:, 1, 1], self.spreads_T22[:, 0, 1]

    def distances(self, pixels_HW2: Tensor) -> Tensor:
        """Return squared distances in units of each thing's own ellipse, 1 on its outline; shape (T, H, W)."""
        x, y = (pixels_HW2[None] - self.centres_T2[:, None, None]).unbind(3)
        xx, yy, xy = (entry[:, None, None] for entry in self._entries)
        return (x**2 * yy - 2 * x * y * xy + y**2 * xx) / (xx * yy - xy**2)

    def move(self, theta_23: Tensor, *, size_px: tuple[int, int], is_rotated: bool) -> tuple[Things, Things]:
        """Move them along with the pixels, to the device of the map.

        Args:
            theta_23: See `data.draw_warp`.
            size_px: Width and height of the canvas.
            is_rotated: Else boxes are upright, and cut off at the edge of the canvas as people would draw them.

        Returns:
            Those that can be seen, and those of which something is left, but too little.
        """
        size_2 = torch.tensor(size_px, dtype=torch.float32, device=theta_23.device)
        labels_T, centres_T2 = self.labels_T.to(theta_23.device), self.centres_T2.to(theta_23.device)
        centres_T2 = data.warp_points(centres_T2[None] / size_2, theta_23[None])[0] * size_2
        moved_22 = torch.linalg.inv(size_2[:, None] * theta_23[:, :2] / size_2[None, :])
        moved = Things(labels_T, centres_T2, moved_22 @ self.spreads_T22.to(theta_23.device) @ moved_22.T)
        sizes_T2 = moved.upright_sizes
        low_T2 = (centres_T2 - sizes_T2 / 2).clamp(min=0).minimum(size_2)
        high_T2 = (centres_T2 + sizes_T2 / 2).clamp(min=0).minimum(size_2)
        share_T = ((high_T2 - low_T2) / sizes_T2).prod(1)
        if is_rotated:
            is_seen_T = ((centres_T2 > 0) & (centres_T2 < size_2)).all(1)
        else:
            is_seen_T = share_T > _SEEN
            spreads_T22 = torch.diag_embed(((high_T2 - low_T2) / 2).clamp(min=0.5) ** 2)
            moved = Things(labels_T, (low_T2 + high_T2) / 2, spreads_T22)
        return moved.select(is_seen_T), moved.select(~is_seen_T & (share_T > 0))


@dataclass(frozen=True, slots=True)
class Aims:
    """What the maps for one image should say.

    Attributes:
        heat_KHW: 1 where things are centred, less around.
        counts_HW: Whether the heat of a place is learnt from; not outside of the image, nor where a thing is cut off.
        places_N: Where boxes are learnt: indices into H × W.
        things_N: The thing whose box is learnt there.
        weights_N: How much; they add up to 1 for each thing that is not hidden by another.
        num_things: In the distorted image.
    """

    heat_KHW: Tensor
    counts_HW: Tensor
    places_N: Tensor
    things_N: Things
    weights_N: Tensor
    num_things: int


def aim(
    things: Things,
    theta_23: Tensor,
    *,
    num_labels: int,
    shape: tuple[int, int],
    size_px: tuple[int, int],
    is_rotated: bool,
) -> Aims:
    """Say what maps of some shape (H, W) should be for a distorted image; see `Things.move` for the others."""
    device = theta_23.device
    rows, columns = shape
    size_2 = torch.tensor(size_px, dtype=torch.float32, device=device)
    step_2 = size_2 / torch.tensor([columns, rows], device=device)
    xs, ys = torch.arange(columns, device=device), torch.arange(rows, device=device)
    pixels_HW2 = (torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1) + 0.5) * step_2
    original_HW2 = (2 * pixels_HW2 / size_2 - 1) @ theta_23[:, :2].T + theta_23[:, 2]
    counts_HW = (original_HW2.abs() <= 1).all(2)
    seen, cut = things.move(theta_23, size_px=size_px, is_rotated=is_rotated)
    if len(cut):
        counts_HW &= (cut.distances(pixels_HW2) > 1).all(0)
    heat_KHW = torch.zeros(num_labels, rows, columns, device=device)
    if not len(seen):
        nowhere = torch.zeros(0, dtype=torch.long, device=device)
        return Aims(heat_KHW, counts_HW, nowhere, seen, nowhere.float(), 0)
    most_2 = torch.tensor([columns - 1, rows - 1], device=device)
    middles_T2 = torch.minimum((seen.centres_T2 / step_2).floor().clamp(min=0), most_2)
    # From the middle of a place, which then has a distance of exactly 0; and never narrower than a few places.
    blurred = Things(seen.labels_T, (middles_T2 + 0.5) * step_2, seen.spreads_T22 + torch.diag((2 * step_2) ** 2))
    nearest, which = (values_HW.flatten() for values_HW in _warm(heat_KHW, blurred, pixels_HW2))
    places_N = (nearest < 0.25).nonzero()[:, 0]
    weights_N, which_N = torch.exp(-nearest[places_N] / (2 * _CORE**2)), which[places_N]
    sums_T = torch.zeros(len(seen), device=device).index_add(0, which_N, weights_N)
    return Aims(heat_KHW, counts_HW, places_N, seen.select(which_N), weights_N / sums_T[which_N], len(seen))


def _warm(heat_KHW: Tensor, things: Things, pixels_HW2: Tensor) -> tuple[Tensor, Tensor]:
    """Add the bumps of things to the heat; return for each place how far the nearest thing is, and which it is."""
    nearest_HW = torch.full(heat_KHW.shape[1:], torch.inf, device=heat_KHW.device)
    which_HW = torch.zeros_like(nearest_HW, dtype=torch.long)
    for start in range(0, len(things), _CHUNK):  # hundreds of things at once would take gigabytes
        part = things.select(slice(start, start + _CHUNK))
        distance_THW = part.distances(pixels_HW2)
        bumps_THW = torch.exp(-distance_THW / (2 * _BUMP**2))
        for label in set(part.labels_T.tolist()):
            heat_KHW[label] = torch.maximum(heat_KHW[label], bumps_THW[part.labels_T == label].amax(0))
        value_HW, at_HW = distance_THW.min(0)
        which_HW = torch.where(value_HW < nearest_HW, at_HW + start, which_HW)
        nearest_HW = torch.minimum(value_HW, nearest_HW)
    return nearest_HW, which_HW


def heat_loss(logits_KHW: Tensor, aims: Aims) -> Tensor:
    """Return the focal loss of one image, summed."""
    is_centre_KHW = aims.heat_KHW == 1
    score_KHW = logits_KHW.sigmoid()
    of_centres = functional.logsigmoid(logits_KHW) * (1 - score_KHW) ** 2 * is_centre_KHW
    elsewhere = functional.logsigmoid(-logits_KHW) * score_KHW**2 * (1 - aims.heat_KHW) ** 4
    return -(of_centres + elsewhere * ~is_centre_KHW * aims.counts_HW).sum()


def upright_loss(apart_N2: Tensor, sizes_N2: Tensor, things_N: Things) -> Tensor:
    """Return how wrong upright boxes are, shape (N,).

    Args:
        apart_N2: From the true centre to the one that was said.
        sizes_N2: Said widths and heights.
        things_N: The truth.
    """
    return _overlap_loss(apart_N2, sizes_N2, things_N.upright_sizes)


def rotated_loss(apart_N2: Tensor, sizes_N2: Tensor, directions_N2: Tensor, things_N: Things) -> Tensor:
    """Return how wrong rotated boxes are, shape (N,); overlaps are taken in the frame of the true box.

    Args:
        apart_N2: From the true centre to the one that was said.
        sizes_N2: Said longer and shorter sides.
        directions_N2: Cosine and sine of twice the angle of the longer side; should be short for what is nearly square.
        things_N: The truth.
    """
    x, y = apart_N2.unbind(1)
    double, sizes_true_N2 = things_N.double_angles, things_N.rotated_sizes
    cos, sin = (double / 2).cos(), (double / 2).sin()
    turned_N2 = torch.stack((x * cos + y * sin, y * cos - x * sin), 1)
    clarity_N = ((sizes_true_N2[:, 0] / sizes_true_N2[:, 1]).log() / 0.3).clamp(max=1)
    true_N2 = clarity_N[:, None] * torch.stack((double.cos(), double.sin()), 1)
    of_directions = functional.smooth_l1_loss(directions_N2, true_N2, reduction="none").sum(1)
    return _overlap_loss(turned_N2, sizes_N2, sizes_true_N2) + of_directions


def _overlap_loss(apart_N2: Tensor, sizes_N2: Tensor, true_sizes_N2: Tensor) -> Tensor:
    """Return 1 - generalized intersection over union of boxes along common axes, plus a share of the errors of sizes.

    The latter teach sizes from the start, when boxes are too far off to overlap well.
    """
    low_N2, true_low_N2 = apart_N2 - sizes_N2 / 2, -true_sizes_N2 / 2
    high_N2, true_high_N2 = apart_N2 + sizes_N2 / 2, true_sizes_N2 / 2
    shared = (torch.minimum(high_N2, true_high_N2) - torch.maximum(low_N2, true_low_N2)).clamp(min=0).prod(1)
    around = (torch.maximum(high_N2, true_high_N2) - torch.minimum(low_N2, true_low_N2)).prod(1)
    together = sizes_N2.prod(1) + true_sizes_N2.prod(1) - shared
    of_sizes = functional.smooth_l1_loss(sizes_N2.log(), true_sizes_N2.log(), reduction="none").sum(1)
    return 1 - shared / together + (around - together) / around + 0.3 * of_sizes
