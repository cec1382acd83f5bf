"""How is a linear classifier fitted to fixed features? Logistic regression, its strength chosen by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

# N examples, F features, K labels

_STRENGTHS = (1.0, 10.0, 100.0)
"""Weight of the examples against that of the prior; features are scaled so that their squares sum to about 1."""
_NUM_FOLDS = 5


@dataclass(frozen=True, slots=True)
class LinearFit:
    """A fitted classifier.

    Attributes:
        layer: Standardizes features and returns logits.
        loss: Its mean loss in cross-validation, in nats.
        strength: The one chosen.
    """

    layer: nn.Module
    loss: float
    strength: float


def classification_loss(logits_NK: Tensor, targets_NK: Tensor, *, is_single: bool, smoothing: float = 0.0) -> Tensor:
    """Return the mean loss in nats: cross-entropy for one label per example, else the sum of binary ones."""
    num_labels = targets_NK.shape[1]
    if is_single:
        smooth_NK = targets_NK * (1 - smoothing) + smoothing / num_labels
        return -(smooth_NK * functional.log_softmax(logits_NK.float(), 1)).sum(1).mean()
    smooth_NK = targets_NK * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits_NK.float(), smooth_NK, reduction="sum") / len(logits_NK)


def fit_linear(
    features_VNF: Tensor, targets_NK: Tensor, *, is_single: bool, seed: int, strengths: tuple[float, ...] = _STRENGTHS
) -> LinearFit:
    """Fit logistic regression to features.

    Args:
        features_VNF: Features of V views of each example; it is validated on the first view of others.
        targets_NK: 1 where a label applies.
        is_single: Whether labels exclude each other.
        seed: Of the folds.
        strengths: To choose from.
    """
    num_examples = features_VNF.shape[1]
    fold_N = np.random.default_rng((seed, 2)).permutation(num_examples) % min(_NUM_FOLDS, num_examples)
    losses = {}
    for strength in strengths:
        total = 0.0
        for fold in range(int(fold_N.max()) + 1):
            is_in = torch.from_numpy(fold_N == fold)
            layer = _fit(features_VNF[:, ~is_in], targets_NK[~is_in], strength, is_single=is_single)
            with torch.no_grad():
                loss = classification_loss(layer(features_VNF[0, is_in]), targets_NK[is_in], is_single=is_single)
            total += float(loss) * int(is_in.sum())
        losses[strength] = total / num_examples
    best = min(losses, key=lambda strength: losses[strength])
    return LinearFit(_fit(features_VNF, targets_NK, best, is_single=is_single), losses[best], best)


class _Standardized(nn.Module):
    def __init__(self, features_NF: Tensor, num_outputs: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        num_features = features_NF.shape[1]
        self.register_buffer("mean", features_NF.mean(0))
        self.register_buffer("scale", 1 / ((features_NF.std(0, correction=0) + 1e-3) * num_features**0.5))
        self.linear = nn.Linear(num_features, num_outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features_NF: Tensor) -> Tensor:
        limit = 5 / self.mean.shape[0] ** 0.5  # five deviations: what was never seen must not decide alone
        logits: Tensor = self.linear(((features_NF - self.mean) * self.scale).clamp(-limit, limit))
        return logits


def _fit(features_VNF: Tensor, targets_NK: Tensor, strength: float, *, is_single: bool) -> nn.Module:
    num_views, num_examples, _ = features_VNF.shape
    layer = _Standardized(features_VNF[0], targets_NK.shape[1]).to(features_VNF.device)
    features, targets = features_VNF.flatten(0, 1), targets_NK.repeat(num_views, 1)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = classification_loss(layer(features), targets, is_single=is_single)
        loss = loss + layer.linear.weight.square().sum() / (2 * strength * num_examples)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return layer
