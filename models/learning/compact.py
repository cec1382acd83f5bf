"""Which network learns from few images when there are no pretrained weights?"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class CompactResNet(nn.Module):
    """A small residual network for images of 16 to 160 pixels a side; about half a million parameters.

    Normalized images of shape (B, 3, H, W) → features of shape (B, `num_features`).
    """

    def __init__(self, *, side_px: int, width: int = 16) -> None:
        super().__init__()
        num_stages = 3 if side_px > 48 else 2
        layers: list[nn.Module] = [_convolution(3, width, stride=2 if side_px > 48 else 1)]
        for _ in range(num_stages):
            layers += [_Residual(width), _convolution(width, 2 * width, stride=2)]
            width *= 2
        layers += [_Residual(width), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        self.num_features = width

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the features."""
        features: Tensor = self.layers(pixels)
        return features


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(width)
        nn.init.zeros_(last.weight)  # starts as the identity
        self.branch = nn.Sequential(
            _convolution(width, width, stride=1), nn.Conv2d(width, width, 3, padding=1, bias=False), last
        )

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.branch(features))


def _convolution(num_inputs: int, num_outputs: int, *, stride: int) -> nn.Module:
    convolution = nn.Conv2d(num_inputs, num_outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(num_outputs), nn.ReLU(inplace=True))
