import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from models import text_features
from models.learning.hashed import Counted, HashedLinear, TfIdfLinear, fit_linear

TEXTS = ["the cat sat", "the cat ran", "a dog barked loudly", "the dog sat", "", "cats and dogs, dogs, dogs"]


def counted(texts: list[str]) -> Counted:
    return [text_features.count(text) for text in texts]


@pytest.mark.parametrize("kind", [HashedLinear, TfIdfLinear])
def test_the_sparse_matrix_computes_what_the_network_computes(kind: type[HashedLinear]) -> None:
    layer = kind(counted(TEXTS), 3)
    torch.manual_seed(0)
    with torch.no_grad():
        layer.weight[1:].normal_()
        layer.bias.normal_()
    unseen = counted([*TEXTS, "an elephant and a cat"])

    with torch.no_grad():
        by_matrix = layer.matrix(unseen).times(layer.weight) + layer.bias
        by_network = layer(torch.from_numpy(text_features.pack(unseen, layer.num_buckets)))

    assert torch.allclose(by_matrix, by_network, atol=1e-5)


def test_tf_idf_is_what_it_is_by_hand() -> None:
    layer = TfIdfLinear(counted(["x y y", "x"]), 1)
    packed = torch.from_numpy(text_features.pack(counted(["x y y"]), layer.num_buckets))

    rows = layer.rows(packed)
    values = layer.values(packed, rows)[0]

    is_word = packed[0, :, 0] % 2 == 1
    # words: x (in both texts, once), y (in one, twice), the pairs "x y" and "y y" (in one, once)
    rare = np.log(3 / 2) + 1
    by_hand = np.array([1.0, (1 + np.log(2)) * rare, rare, rare])
    by_hand /= np.linalg.norm(by_hand)
    assert sorted(values[is_word].tolist()) == pytest.approx(sorted(by_hand.tolist()), abs=1e-5)
    assert float(values[~is_word].square().sum()) == pytest.approx(1, abs=1e-5)


def test_features_never_seen_change_nothing() -> None:
    layer = HashedLinear(counted(["cat"]), 2)
    with torch.no_grad():
        layer.weight[1:] = 1

    outputs = layer(torch.from_numpy(text_features.pack(counted(["cat", "zyxwv", ""]), layer.num_buckets)))

    assert outputs[0, 0] > 0
    assert outputs[1:].abs().max() == 0


def test_gradients_flow_into_the_dense_factor() -> None:
    matrix = HashedLinear(counted(TEXTS), 1).matrix(counted(TEXTS))
    torch.manual_seed(0)
    dense = torch.randn(matrix.num_columns, 2, requires_grad=True)
    pull = torch.randn(len(TEXTS), 2)

    (matrix.times(dense) * pull).sum().backward()

    whole = matrix.times(torch.eye(matrix.num_columns))
    assert dense.grad is not None
    assert torch.allclose(dense.grad, whole.T @ pull, atol=1e-5)


def test_a_fit_agrees_with_scikit_learn() -> None:
    labels = np.array([0, 0, 1, 1, 2, 1])
    layer = TfIdfLinear(counted(TEXTS), 3)

    fit_linear(
        layer,
        counted(TEXTS),
        loss=lambda logits: functional.cross_entropy(logits, torch.from_numpy(labels)),
        strength=10.0,
    )

    dense = layer.matrix(counted(TEXTS)).times(torch.eye(len(layer.weight))).numpy()
    theirs = LogisticRegression(C=10.0, tol=1e-8, max_iter=1000).fit(dense, labels)
    with torch.no_grad():
        ours = torch.softmax(layer.matrix(counted(TEXTS)).times(layer.weight) + layer.bias, 1).numpy()
    assert ours == pytest.approx(theirs.predict_proba(dense), abs=5e-3)


def test_rare_features_are_left_out_where_rows_are_few() -> None:
    everything = HashedLinear(counted(TEXTS), 1)

    limited = HashedLinear(counted(TEXTS), 1, max_rows=5)
    repeated = HashedLinear(counted(TEXTS), 1, min_examples=2)

    assert len(limited.weight) == 1 + 5
    assert limited.num_examples_by_row[1:].min() >= np.sort(everything.num_examples_by_row)[-5]
    assert 1 < len(repeated.weight) < len(everything.weight)
    assert repeated.num_examples_by_row[1:].min() == 2
