"""What can be said about an image without learning: colours, textures and edges, as classical vision describes them.

With few images and no pretrained weights a linear model on these is as good as a convolutional network, errs
elsewhere, and costs almost nothing. Everything is torch, so that it is exported together with the network.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# B batch, H height, W width, G bins, P pixels

_Kernel = list[list[list[list[float]]]]
# As nested lists: shape (channels out, channels in, height, width).
_GRADIENT: _Kernel = [[[[0, 0, 0], [-1, 0, 1], [0, 0, 0]]], [[[0, -1, 0], [0, 0, 0], [0, 1, 0]]]]
_ORIENTATIONS: _Kernel = [[[[math.cos(math.pi * turn / 4)]], [[math.sin(math.pi * turn / 4)]]] for turn in range(8)]
_AROUND = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
_NEIGHBOURS: _Kernel = [
    [[[1 if (y, x) == neighbour else -1 if (y, x) == (1, 1) else 0 for x in range(3)] for y in range(3)]]
    for neighbour in _AROUND
]


class Descriptors(nn.Module):
    """RGB images in [0, 1] of shape (B, 3, H, W) → descriptors of shape (B, F), about in [0, 1].

    The sides of an image must be equal, a multiple of 8, and at least 32. Histograms are given as square roots, which
    makes the euclidean distance of two the Hellinger distance.
    """

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the descriptors."""
        grey_B1HW = pixels.mean(1, keepdim=True)
        half_B1HW = functional.avg_pool2d(grey_B1HW, 2)
        parts = [_colours(pixels)]
        for level in (grey_B1HW, half_B1HW):
            parts += [_edges(level), _texture(level)]
        return torch.cat(parts, 1)


def _colours(pixels: Tensor) -> Tensor:
    """Joint histograms of two opponent colours, and of brightness with one of them.

    Source: van de Sande et al., Evaluating Color Descriptors for Object and Scene Recognition, opponent histogram.
    """
    red, green, blue = pixels.flatten(2).unbind(1)
    brightness_BPG = _soft_bins((red + green + blue) / 3, 0.0, 1.0, 8)
    red_green_BPG = _soft_bins(red - green, -0.3, 0.3, 7)
    yellow_blue_BPG = _soft_bins((red + green) / 2 - blue, -0.4, 0.4, 7)
    joint = (red_green_BPG.transpose(1, 2) @ yellow_blue_BPG, brightness_BPG.transpose(1, 2) @ yellow_blue_BPG)
    return _root(torch.cat([histogram.flatten(1) for histogram in joint], 1) / red.shape[1])


def _edges(grey_B1HW: Tensor) -> Tensor:
    """Orientations of edges on a grid of 4 by 4 cells, and a histogram of their strength.

    Source: Dalal and Triggs, Histograms of Oriented Gradients for Human Detection; with smooth orientation bins.
    """
    gradient_B2HW = functional.conv2d(
        functional.pad(grey_B1HW, (1, 1, 1, 1), mode="replicate"), _constant(_GRADIENT, grey_B1HW)
    )
    strength_B1HW = _root(gradient_B2HW.square().sum(1, keepdim=True))
    towards_BGHW = functional.conv2d(gradient_B2HW, _constant(_ORIENTATIONS, grey_B1HW)).clamp(min=0)
    side = grey_B1HW.shape[2] // 4
    cells = functional.avg_pool2d(towards_BGHW.square() / (strength_B1HW + 1e-3), side).flatten(1)
    cells = cells / (cells.square().sum(1, keepdim=True).sqrt() + 1e-3)
    strengths_BG = _soft_bins(strength_B1HW.flatten(1), 0.0, 0.5, 12).mean(1)
    return _root(torch.cat((cells, strengths_BG), 1))


def _texture(grey_B1HW: Tensor) -> Tensor:
    """Histograms of uniform local binary patterns at three distances.

    Source: Ojala et al., Multiresolution Gray-Scale and Rotation Invariant Texture Classification, LBP riu2.
    """
    histograms = []
    classes_G11 = torch.arange(10, device=grey_B1HW.device, dtype=grey_B1HW.dtype)[:, None, None]
    for distance in (1, 2, 4):
        difference_B8HW = functional.conv2d(grey_B1HW, _constant(_NEIGHBOURS, grey_B1HW), dilation=distance)
        is_brighter_B8HW = (difference_B8HW > 0.01).to(grey_B1HW.dtype)
        turned_B8HW = torch.cat((is_brighter_B8HW[:, 7:], is_brighter_B8HW[:, :7]), 1)
        num_changes_B1HW = (is_brighter_B8HW - turned_B8HW).abs().sum(1, keepdim=True)
        class_B1HW = torch.where(num_changes_B1HW <= 2, is_brighter_B8HW.sum(1, keepdim=True), 9.0)
        histograms.append((class_B1HW == classes_G11).to(grey_B1HW.dtype).mean((2, 3)))
    return _root(torch.cat(histograms, 1))


def _soft_bins(values: Tensor, low: float, high: float, num_bins: int) -> Tensor:
    """Share each value out to its two nearest bins; values outside count to the outermost."""
    centres_G = torch.linspace(low, high, num_bins, device=values.device)
    distance = (values.clamp(low, high)[..., None] - centres_G).abs()
    return (1 - distance * (num_bins - 1) / (high - low)).clamp(min=0)


def _constant(kernel: _Kernel, like: Tensor) -> Tensor:
    return torch.tensor(kernel, dtype=like.dtype, device=like.device)


def _root(values: Tensor) -> Tensor:
    return (values + 1e-8).sqrt()
