"""What answers with a number? A network and a linear model on fixed descriptors, and how far both err.

Numbers are standardized here: zero mean and unit deviation over the labelled examples.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

# B batch, N examples, V views, F features, M parts

_NUM_FOLDS = 5
_STRENGTHS = tuple(10.0**power for power in range(-1, 5))
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_FLOOR = 0.02
"""Smallest mean error that is believed, in deviations of the labels."""


@dataclass(frozen=True, slots=True)
class RidgeFit:
    """A fitted linear model.

    Attributes:
        layer: Standardizes features of shape (B, F), and returns numbers of shape (B, 1).
        loss: Its mean absolute error in cross-validation.
    """

    layer: nn.Module
    loss: float


def fit_ridge(features_VNF: Tensor, targets_N: Tensor, *, seed: int) -> RidgeFit:
    """Fit a ridge regression, its strength chosen by cross-validation.

    Args:
        features_VNF: Features of V views of each example; it is validated on the first view of others.
        targets_N: Standardized numbers.
        seed: Of the folds.
    """
    num_examples = len(targets_N)
    fold_N = np.random.default_rng((seed, 2)).permutation(num_examples) % min(_NUM_FOLDS, num_examples)
    losses = dict.fromkeys(_STRENGTHS, 0.0)
    for fold in range(int(fold_N.max()) + 1):
        is_in = torch.from_numpy(fold_N == fold).to(targets_N.device)
        for strength, layer in _solve(features_VNF[:, ~is_in], targets_N[~is_in], _STRENGTHS):
            errors = (layer(features_VNF[0, is_in])[:, 0] - targets_N[is_in]).abs()
            losses[strength] += float(errors.sum()) / num_examples
    best = min(losses, key=lambda strength: losses[strength])
    ((_, layer),) = _solve(features_VNF, targets_N, (best,))
    return RidgeFit(layer, losses[best])


def _solve(features_VNF: Tensor, targets_N: Tensor, strengths: tuple[float, ...]) -> list[tuple[float, nn.Module]]:
    num_views, num_examples, num_features = features_VNF.shape
    if not num_examples:
        return [(strength, _Linear(features_VNF.new_zeros((2, num_features)))) for strength in strengths]
    layers = [_Linear(features_VNF[0]) for _ in strengths]
    inputs = layers[0].standardize(features_VNF.flatten(0, 1)).double()
    targets = targets_N.repeat(num_views).double()
    mean = targets.mean()
    left, values, right = torch.linalg.svd(inputs, full_matrices=False)
    moments = left.T @ (targets - mean)
    for strength, layer in zip(strengths, layers, strict=True):
        weights_F = right.T @ (moments * values / (values.square() + strength * num_views))
        layer.linear.weight.data = weights_F.float()[None]
        layer.linear.bias.data = mean.float()[None]
    return list(zip(strengths, layers, strict=True))


class _Linear(nn.Module):
    def __init__(self, features_NF: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", features_NF.mean(0))
        self.register_buffer("scale", 1 / (features_NF.std(0, correction=0) + 1e-3))
        self.linear = nn.Linear(features_NF.shape[1], 1).to(features_NF.device).requires_grad_(False)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def standardize(self, features_BF: Tensor) -> Tensor:
        return ((features_BF - self.mean) * self.scale).clamp(-5, 5)  # what was never seen must not decide alone

    def forward(self, features_BF: Tensor) -> Tensor:
        numbers_B1: Tensor = self.linear(self.standardize(features_BF))
        return numbers_B1


@dataclass(frozen=True, slots=True)
class Mix:
    """How two parts are put together, and how far the answer is off on average.

    Attributes:
        share: Of the first part in the answer.
        error: Mean absolute error where both parts agree.
        doubt: How much that grows with their difference.
    """

    share: float
    error: float
    doubt: float


def fit_mix(numbers_NM: Tensor, targets_N: Tensor) -> Mix:
    """Fit what two parts say about examples that neither was trained on; with few examples near equal shares.

    Errors are taken for Laplace distributed: the likeliest mix is returned.
    """
    best, lowest = Mix(0.5, 0.5, 0.5), np.inf
    if not len(targets_N):
        return best
    difference_N = (numbers_NM[:, 0] - numbers_NM[:, 1]).abs()
    for share, error, doubt in itertools.product(_SHARES, np.geomspace(_FLOOR, 1.5, 20).tolist(), _SHARES):
        errors_N = (numbers_NM @ torch.tensor([share, 1 - share]) - targets_N).abs()
        width_N = error + doubt * difference_N
        surprise = float((errors_N / width_N + width_N.log()).sum())
        belief = 4 * (share - 0.5) ** 2 + (doubt - 0.25) ** 2 + np.log(error / 0.5) ** 2 / 2
        if surprise + belief < lowest:
            best, lowest = Mix(share, error, doubt), surprise + belief
    return best


class Regressor(nn.Module):
    """What is served: pixels in [0, 1] of shape (B, 3, H, W) → number and expected absolute error, shape (B, 2)."""

    def __init__(self, parts: list[nn.Module], mix: Mix) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self._mix = mix

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute both, in deviations of the labels."""
        mix = self._mix
        first_B1, second_B1 = (part(pixels) for part in self.parts)
        number_B1 = mix.share * first_B1 + (1 - mix.share) * second_B1
        return torch.cat((number_B1, mix.error + mix.doubt * (first_B1 - second_B1).abs()), 1)
