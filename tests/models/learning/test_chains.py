import itertools

import numpy as np
import pytest
import torch

from models.families.sequence_labels.decode import allowed
from models.learning.chains import Chain, Windows


def test_the_loss_agrees_with_a_sum_over_all_chains() -> None:
    torch.manual_seed(0)
    follows, may_be_first = allowed(1)
    chain = Chain(follows, may_be_first).double()
    with torch.no_grad():
        chain.transitions.normal_()
        chain.first.normal_()
    transitions, first = chain.transitions.detach(), chain.first.detach()
    lengths = [2, 4, 1]
    emissions = torch.randn(sum(lengths), 3, dtype=torch.float64)
    tags = torch.tensor([1, 2, 0, 1, 1, 2, 0])

    loss = chain.loss(emissions, tags, Windows(lengths))

    expected, start = 0.0, 0
    for length in lengths:
        part, right = emissions[start : start + length], tuple(tags[start : start + length].tolist())
        start += length
        scores = {}
        for path in itertools.product(range(3), repeat=length):
            if may_be_first[path[0]] and all(follows[a, b] for a, b in itertools.pairwise(path)):
                score = first[path[0]] + sum(part[n, tag] for n, tag in enumerate(path))
                scores[path] = float(score + sum(transitions[a, b] for a, b in itertools.pairwise(path)))
        expected += float(np.logaddexp.reduce(list(scores.values()))) - scores[right]
    assert float(loss.detach()) == pytest.approx(expected)


def test_long_windows_and_strong_emissions_overflow_nowhere() -> None:
    chain = Chain(*allowed(2))
    emissions = torch.randn(3000, 5) * 60
    emissions[:, 0] += 100

    loss = chain.loss(emissions, torch.zeros(3000, dtype=torch.long), Windows([3000]))
    loss.backward()

    assert torch.isfinite(loss)
    assert chain.transitions.grad is not None
    assert torch.isfinite(chain.transitions.grad).all()
