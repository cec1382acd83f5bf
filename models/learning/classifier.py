"""What is a classifier made of? A network, a linear model on fixed descriptors, and how far each is trusted."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.learning.backbones import IMAGENET_MEAN, IMAGENET_STD, Backbone
from models.learning.descriptors import Descriptors
from models.learning.linear import classification_loss

# B batch, N examples, K labels, H height, W width


class Network(nn.Module):
    """A backbone with a linear layer on top: pixels in [0, 1] of shape (B, 3, H, W) → logits of shape (B, K)."""

    def __init__(self, backbone: Backbone, num_outputs: int, *, dropout: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])
        self.backbone = backbone.features
        self.dropout = nn.Dropout(dropout)
        self.head: nn.Module = nn.Linear(backbone.num_features, num_outputs)

    def features(self, pixels: Tensor) -> Tensor:
        """Return what the last layer sees."""
        normalized = (pixels - self.mean) / self.std
        features: Tensor = self.backbone(normalized.contiguous(memory_format=torch.channels_last))
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits."""
        logits: Tensor = self.head(self.dropout(self.features(pixels)))
        return logits


class Described(nn.Module):
    """A linear model on descriptors: pixels in [0, 1] of shape (B, 3, H, W) → logits of shape (B, K)."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.descriptors = Descriptors()
        self.linear = linear

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits."""
        logits: Tensor = self.linear(self.descriptors(pixels))
        return logits


class Mirrored(nn.Module):
    """A part that looks at an image and at its mirror image: the mean of what it says, shape (B, K)."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits."""
        logits_BK: Tensor = (self.part(pixels) + self.part(pixels.flip(3))) / 2
        return logits_BK


class Classifier(nn.Module):
    """What is served: pixels in [0, 1] of shape (B, 3, H, W) → calibrated probabilities of shape (B, K)."""

    def __init__(self, parts: list[nn.Module], trust: list[float], *, is_single: bool) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.trust: Tensor
        self.register_buffer("trust", torch.tensor(trust))
        self._is_single = is_single

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the probabilities."""
        logits_BK = torch.stack([part(pixels) for part in self.parts], -1) @ self.trust
        return torch.softmax(logits_BK, 1) if self._is_single else torch.sigmoid(logits_BK)


def fit_trust(logits_NKM: Tensor, targets_NK: Tensor, *, is_single: bool) -> list[float]:
    """Return the factors of each part's logits whose sum makes the targets likeliest: stacking and calibration in one.

    With few examples the factors stay near equal shares of 1.

    Args:
        logits_NKM: Of M parts, one or two, on examples that none of them was trained on.
        targets_NK: 1 where a label applies.
        is_single: Whether labels exclude each other.
    """
    num_examples, _, num_parts = logits_NKM.shape
    best, lowest = [1.0 / num_parts] * num_parts, np.inf
    if not num_examples:
        return best
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9) if num_parts == 2 else (1.0,):
        shares = torch.tensor([share, 1 - share][:num_parts], dtype=logits_NKM.dtype, device=logits_NKM.device)
        mixed_NK = logits_NKM @ shares
        for scale in np.geomspace(0.25, 4, 33):
            loss = classification_loss(mixed_NK * float(scale), targets_NK, is_single=is_single)
            belief = np.log(scale) ** 2 + (10 * (share - 0.5) ** 2 if num_parts == 2 else 0.0)
            cost = float(loss) * num_examples + belief
            if cost < lowest:
                best, lowest = [float(part * scale) for part in shares.tolist()], cost
    return best
