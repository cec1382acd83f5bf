import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from models.learning.regressor import Mix, Regressor, fit_mix, fit_ridge


def make_linear(num_examples: int, *, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn((num_examples, 12), generator=rng)
    targets = features[:, 0] - 0.5 * features[:, 1] + noise * torch.randn(num_examples, generator=rng)
    return features, targets


def test_ridge_agrees_with_scikit_learn_at_one_of_its_strengths() -> None:
    features, targets = make_linear(40)

    fitted = fit_ridge(features[None], targets, seed=0).layer(features)[:, 0]

    scaled = (features - features.mean(0)) / (features.std(0, correction=0) + 1e-3)
    references = [
        Ridge(alpha=10.0**power).fit(scaled.numpy(), targets.numpy()).predict(scaled.numpy()) for power in range(-1, 5)
    ]
    assert min(float(np.abs(reference - fitted.numpy()).max()) for reference in references) < 1e-4


def test_ridge_says_how_far_it_is_off_on_examples_that_it_has_not_seen() -> None:
    features, targets = make_linear(200, noise=0.5)

    loss = fit_ridge(features[None], targets, seed=0).loss

    assert loss == pytest.approx(0.5 * (2 / np.pi) ** 0.5, rel=0.15)  # mean absolute deviation of the noise


def test_ridge_learns_from_two_examples() -> None:
    layer = fit_ridge(torch.tensor([[[0.0, 1.0], [1.0, 1.0]]]), torch.tensor([-1.0, 1.0]), seed=0).layer

    low, high = layer(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))[:, 0].tolist()
    assert -1.1 < low < high < 1.1


def test_the_better_part_gets_the_larger_share() -> None:
    rng = torch.Generator().manual_seed(0)
    targets = torch.randn(60, generator=rng)
    good, bad = (targets + noise * torch.randn(60, generator=rng) for noise in (0.1, 2.0))

    assert fit_mix(torch.stack((good, bad), 1), targets).share >= 0.75
    assert fit_mix(torch.stack((bad, good), 1), targets).share <= 0.25


def test_parts_that_err_alike_and_apart_are_averaged() -> None:
    rng = torch.Generator().manual_seed(0)
    targets = torch.randn(60, generator=rng)
    numbers = targets[:, None] + torch.randn((60, 2), generator=rng)

    assert fit_mix(numbers, targets).share == 0.5


def test_with_nothing_to_go_by_parts_count_alike() -> None:
    assert fit_mix(torch.zeros((0, 2)), torch.zeros(0)).share == 0.5


def test_disagreement_of_the_parts_raises_the_expected_error() -> None:
    class Constant(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean((1, 2, 3))[:, None] * 0 + 1

    class Brightness(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean((1, 2, 3))[:, None]

    served = Regressor([Constant(), Brightness()], Mix(share=0.25, error=0.1, doubt=0.5))

    output = served(torch.stack((torch.ones(3, 4, 4), torch.zeros(3, 4, 4))))

    assert torch.allclose(output, torch.tensor([[1.0, 0.1], [0.25, 0.6]]))
