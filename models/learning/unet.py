"""Which network sees where things are? A U-Net: what a pyramid of ever coarser features says about each pixel.

The way down is a small network of our own, or a pretrained backbone.

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.learning.backbones import IMAGENET_MEAN, IMAGENET_STD, Backbone

_COLOURS = 3

# B batch, C channels, H height, W width


class UNet(nn.Module):
    """Pixels in [0, 1] of shape (B, 3, H, W) → maps of shape (B, num_outputs, H / stride, W / stride).

    Height and width must be multiples of `multiple`.
    """

    def __init__(
        self,
        num_outputs: int,
        *,
        backbone: Backbone | None = None,
        widths: Sequence[int] = (24, 48, 96, 128, 160),
        stride: int = 1,
        num_inputs: int = 3,
    ) -> None:
        """Build the network.

        Args:
            num_outputs: Channels of the maps.
            backbone: Pretrained way down; None: a small one with random weights.
            widths: Channels at strides 1, 2, 4, … of a small way down.
            stride: Of the maps: 1, 2 or 4.
            num_inputs: Channels of the input; those after the third are no colours (not with a backbone).
        """
        super().__init__()
        self.down: nn.Module = _Small(num_inputs, widths) if backbone is None else _Pyramid(backbone.features)
        levels = _levels(self.down, num_inputs)
        self.multiple: int = levels[-1][1]
        # The finest level that is read again is at stride 2: where maps are finer, each of its pixels says something
        # about four. A pass takes half of the time then (measured at 256 × 256), and twice as many can be made.
        kept = [(width, at) for width, at in levels if at >= max(2, stride)]
        self._first = len(levels) - len(kept)
        finer = kept[0][1] // stride
        *others, (last, _) = kept
        width = last if backbone is None else 128
        self.neck = _block(last, width)
        ups = []
        for level, _ in reversed(others):
            narrow = level if backbone is None else max(32, width // 2)
            ups.append(_block(width + level, narrow))
            width = narrow
        self.ups = nn.ModuleList(ups)
        self.head = nn.Sequential(nn.Conv2d(width, num_outputs * finer**2, 1), nn.PixelShuffle(finer))

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the maps."""
        levels = self.down(pixels.contiguous(memory_format=torch.channels_last))[self._first :]
        x = self.neck(levels[-1])
        for block, level in zip(self.ups, reversed(levels[:-1]), strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(torch.cat((x, level), 1))
        maps: Tensor = self.head(x)
        return maps


def _levels(down: nn.Module, num_inputs: int) -> list[tuple[int, int]]:
    """Return the width and the stride of each level."""
    was_training = down.training
    with torch.no_grad():
        levels = down.eval()(torch.zeros(1, num_inputs, 64, 64))
    down.train(was_training)
    return [(level.shape[1], 64 // level.shape[-1]) for level in levels]


def _block(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(num_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(num_out),
        nn.ReLU(inplace=True),
    )


class _Small(nn.Module):
    """Features at stride 1, and at twice the stride from level to level."""

    def __init__(self, num_inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _block(before, width) for before, width in zip((num_inputs + _COLOURS, *widths), widths, strict=False)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        # Colours as they are, and as they differ from the rest of the image: dark and pale images look alike then.
        colours = pixels[:, :_COLOURS]
        differences = colours - colours.mean((1, 2, 3), keepdim=True)
        spread = (differences.square().mean((1, 2, 3), keepdim=True) + 1e-4).sqrt()
        x = torch.cat((2 * colours - 1, differences / spread, pixels[:, _COLOURS:]), 1)
        levels: list[Tensor] = []
        for block in self.blocks:
            x = block(functional.max_pool2d(x, 2) if levels else x)
            levels.append(x)
        return levels


class _Pyramid(nn.Module):
    """The last features of a torchvision classifier at each of its strides."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])
        inner = getattr(features, "features", None)
        self.steps = inner if isinstance(inner, nn.Sequential) else nn.Sequential(*list(features.children())[:-2])

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = (pixels - self.mean) / self.std
        levels: list[Tensor] = []
        for step in self.steps:
            before, x = x, step(x)
            if levels and x.shape[-1] == before.shape[-1]:
                levels.pop()
            levels.append(x)
        return levels
