import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from models.learning.linear import classification_loss, fit_linear


def blobs(count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    features = rng.normal(size=(count, 6)) + 1.5 * np.eye(3, 6)[labels]
    return torch.tensor(features, dtype=torch.float32), torch.eye(3)[torch.tensor(labels)]


def test_the_fit_is_that_of_scikit_learn_on_the_same_scale() -> None:
    features, targets = blobs()

    layer = fit_linear(features[None], targets, is_single=True, seed=0, strengths=(10.0,)).layer

    scaled = (features - features.mean(0)) / ((features.std(0, correction=0) + 1e-3) * 6**0.5)
    other = LogisticRegression(C=10.0, max_iter=1000).fit(scaled.numpy(), targets.argmax(1).numpy())
    ours = torch.softmax(layer(features), 1).detach().numpy()
    np.testing.assert_allclose(ours, other.predict_proba(scaled.numpy()), atol=0.02)


def test_the_strength_is_chosen_by_the_loss_on_others() -> None:
    features, targets = blobs()
    noise = torch.randn(60, 40, generator=torch.Generator().manual_seed(0))

    chosen = fit_linear(torch.cat((features, noise), 1)[None], targets, is_single=True, seed=0)

    losses = {
        strength: fit_linear(
            torch.cat((features, noise), 1)[None], targets, is_single=True, seed=0, strengths=(strength,)
        ).loss
        for strength in (1.0, 10.0, 100.0)
    }
    assert chosen.strength == min(losses, key=lambda strength: losses[strength])


def test_labels_that_never_occur_and_few_examples_do_no_harm() -> None:
    targets = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]])

    fit = fit_linear(torch.rand(1, 3, 4), targets, is_single=True, seed=0)

    assert torch.isfinite(fit.layer(torch.rand(2, 4))).all()


def test_the_multi_label_loss_is_the_sum_over_labels() -> None:
    loss = classification_loss(torch.zeros(2, 3), torch.ones(2, 3), is_single=False)

    assert float(loss) == pytest.approx(3 * np.log(2))
