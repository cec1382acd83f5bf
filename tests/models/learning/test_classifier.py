import numpy as np
import torch
from torch import nn

from models.learning.classifier import Classifier, fit_trust
from models.learning.linear import classification_loss


class Fixed(nn.Module):
    """Answers with the means of the colours, scaled."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((2, 3)) * self.scale


def sure_and_unsure(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a part that is right but far too timid, and of one that guesses; and the targets."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.eye(3)[torch.arange(count) % 3]
    good = targets * 0.8 + 0.3 * torch.randn(count, 3, generator=generator)
    return torch.stack((good, torch.randn(count, 3, generator=generator)), -1), targets


def test_the_better_part_is_trusted_more() -> None:
    logits, targets = sure_and_unsure()

    trust = fit_trust(logits, targets, is_single=True)

    assert trust[0] > 3 * trust[1]


def test_trust_calibrates_a_timid_part() -> None:
    logits, targets = sure_and_unsure()

    (scale,) = fit_trust(logits[..., :1], targets, is_single=True)

    assert scale > 1.5
    raw, calibrated = (classification_loss(logits[..., 0] * s, targets, is_single=True) for s in (1.0, scale))
    assert calibrated < raw


def test_without_evidence_the_parts_share_alike() -> None:
    assert fit_trust(torch.zeros(0, 3, 2), torch.zeros(0, 3), is_single=True) == [0.5, 0.5]
    assert fit_trust(torch.zeros(0, 3, 1), torch.zeros(0, 3), is_single=False) == [1.0]


def test_probabilities_are_of_the_trusted_sum() -> None:
    pixels = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    logits = pixels.mean((2, 3)).numpy() * (1 * 2 + 3 * 0.5)

    single = Classifier([Fixed(1), Fixed(3)], [2.0, 0.5], is_single=True)(pixels).numpy()
    multi = Classifier([Fixed(1), Fixed(3)], [2.0, 0.5], is_single=False)(pixels).numpy()

    np.testing.assert_allclose(single, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(multi, 1 / (1 + np.exp(-logits)), rtol=1e-5)
