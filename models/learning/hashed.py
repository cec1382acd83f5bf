"""How does a linear model on hashed features learn, and what does it compute?

Features come as `models.text_features.pack` writes them. A bucket leads to a row of the weights; buckets that no
example for learning had lead to row 0, which is always zero. Learning works on a sparse matrix of the same rows and
values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import text_features
from models.text_features import Features

Counted = Sequence[tuple[Features, npt.NDArray[np.float32]]]
"""Features and values of each example."""

# N examples, B batch, L features of an example, V rows, K outputs


class HashedLinear(nn.Module):
    """A linear layer on hashed features: shape (B, L, 2) → (B, K)."""

    def __init__(
        self, learnt_from: Counted, num_outputs: int, *, min_examples: int = 1, max_rows: int = 1 << 20
    ) -> None:
        """Take the features that are to have a row from examples; weights are zero.

        Args:
            learnt_from: The examples.
            num_outputs: K.
            min_examples: Features of fewer examples get no row.
            max_rows: Only so many of the features that most examples have get a row.
        """
        super().__init__()
        everything = np.concatenate([features for features, _ in learnt_from] or [np.zeros(0, np.int64)])
        features, num_examples = np.unique(everything, return_counts=True)
        self.num_buckets = text_features.choose_num_buckets(min(len(features), max_rows))
        buckets, inverse = np.unique(text_features.buckets(features, self.num_buckets), return_inverse=True)
        examples_by_bucket = np.bincount(inverse, weights=num_examples, minlength=len(buckets))
        order = np.argsort(-examples_by_bucket, kind="stable")[:max_rows]
        kept = np.sort(order[examples_by_bucket[order] >= min_examples])
        row_of_bucket = np.zeros(self.num_buckets, np.int32)
        row_of_bucket[buckets[kept]] = np.arange(1, len(kept) + 1)
        self.num_examples_by_row = np.concatenate(([0.0], examples_by_bucket[kept]))
        self.row_of_bucket: Tensor
        self.register_buffer("row_of_bucket", torch.from_numpy(row_of_bucket))
        self.weight = nn.Parameter(torch.zeros(len(kept) + 1, num_outputs))
        self.bias = nn.Parameter(torch.zeros(num_outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Compute the outputs."""
        rows_BL = self.rows(features)
        values_BL = self.values(features, rows_BL)
        outputs_BK: Tensor = torch.matmul(values_BL[:, None], self.weight[rows_BL])[:, 0] + self.bias
        return outputs_BK

    def rows(self, features: Tensor) -> Tensor:
        """Return which row of the weights each feature has, shape (B, L)."""
        return self.row_of_bucket[features[..., 0].long()].long()

    def values(self, features: Tensor, rows_BL: Tensor) -> Tensor:
        """Return what the weights of each feature are multiplied with, shape (B, L)."""
        return features[..., 1] * (rows_BL > 0)

    def matrix(self, counted: Counted) -> Matrix:
        """Return examples as a sparse matrix, so that `matrix.times(weight) + bias` is what `forward` computes."""
        rows: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(counted)
        values: list[npt.NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(counted)
        for indices, packed in text_features.batches(counted, self.num_buckets, num_outputs=1):
            features = torch.from_numpy(packed)
            with torch.no_grad():
                rows_BL = self.rows(features)
                values_BL = self.values(features, rows_BL)
            for index, row_L, value_L in zip(indices, rows_BL.numpy(), values_BL.numpy(), strict=True):
                is_known = row_L > 0
                rows[index], values[index] = row_L[is_known], value_L[is_known]
        return Matrix(rows, values, num_columns=len(self.weight))


class TfIdfLinear(HashedLinear):
    """A linear layer on TF-IDF: rare n-grams count more, repetitions less; words and characters have length 1 each."""

    def __init__(self, learnt_from: Counted, num_outputs: int) -> None:
        # Rows beyond these are of n-grams so rare that they change no answer, and would only take memory.
        max_rows = min(400_000, 20_000_000 // num_outputs)
        super().__init__(learnt_from, num_outputs, min_examples=1 if len(learnt_from) < 3000 else 2, max_rows=max_rows)
        self.idf: Tensor
        idf_V = np.log((1 + len(learnt_from)) / (1 + self.num_examples_by_row)) + 1
        self.register_buffer("idf", torch.from_numpy(np.maximum(idf_V, 0.1).astype(np.float32)))

    def values(self, features: Tensor, rows_BL: Tensor) -> Tensor:
        """Return 1 + log of the count, times the inverse document frequency, at unit length."""
        raw_BL = (1 + features[..., 1].clamp(min=1).log()) * self.idf[rows_BL] * (rows_BL > 0)
        is_word_BL = torch.remainder(features[..., 0], 2)
        kinds = []
        for is_kind_BL in (is_word_BL, 1 - is_word_BL):
            kind_BL = raw_BL * is_kind_BL
            kinds.append(kind_BL / kind_BL.square().sum(1, keepdim=True).sqrt().clamp(min=1e-6))
        return kinds[0] + kinds[1]


class Matrix:
    """A sparse matrix of shape (N, V), constant."""

    def __init__(
        self, columns: Sequence[npt.NDArray[np.int64]], values: Sequence[npt.NDArray[np.float32]], *, num_columns: int
    ) -> None:
        self.num_rows, self.num_columns = len(columns), num_columns
        lengths = np.array([len(row) for row in columns], np.int64)
        column = np.concatenate([*columns, np.zeros(0, np.int64)])
        value = np.concatenate([*values, np.zeros(0, np.float32)])
        row = np.repeat(np.arange(self.num_rows), lengths)
        order = np.argsort(column, kind="stable")
        starts = np.concatenate(([0], np.cumsum(np.bincount(column, minlength=num_columns))))[:-1]
        self.num_values = len(value)
        self._bags = _bags(column, np.concatenate(([0], np.cumsum(lengths)))[:-1], value)
        self._transposed = _bags(row[order], starts, value[order])

    def times(self, dense_VK: Tensor) -> Tensor:
        """Return the product with a dense matrix, shape (N, K); gradients flow into that."""
        product_NK: Tensor = _Product.apply(dense_VK, self)  # type: ignore[no-untyped-call]
        return product_NK


def _bags(
    indices: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], values: npt.NDArray[np.float32]
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.from_numpy(indices), torch.from_numpy(offsets), torch.from_numpy(values)


def _multiply(bags: tuple[Tensor, Tensor, Tensor], dense: Tensor) -> Tensor:
    # Faster than torch's sparse matrices, and without their warnings.
    indices, offsets, values = bags
    return functional.embedding_bag(indices, dense, offsets, mode="sum", per_sample_weights=values)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dense_VK: Tensor, matrix: Matrix) -> Tensor:
        ctx.matrix = matrix
        return _multiply(matrix._bags, dense_VK)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _multiply(ctx.matrix._transposed, gradients[0].contiguous()), None


def fit_linear(
    layer: HashedLinear, counted: Counted, *, loss: Callable[[Tensor], Tensor], strength: float, max_steps: int = 100
) -> None:
    """Fit the weights of a layer, in place.

    Args:
        layer: Built from these examples.
        counted: The examples.
        loss: Of the outputs for all examples, shape (N, K): the mean over examples.
        strength: Weight of the examples against that of a prior for small weights.
        max_steps: Of the optimizer.
    """
    matrix = layer.matrix(counted)
    minimize(
        [layer.weight, layer.bias],
        lambda: (
            loss(matrix.times(layer.weight) + layer.bias)
            + layer.weight.square().sum() / (2 * strength * max(1, len(counted)))
        ),
        max_steps=max_steps,
    )


def minimize(parameters: Sequence[nn.Parameter], loss: Callable[[], Tensor], *, max_steps: int) -> None:
    """Change parameters, in place, until a smooth loss of all examples no longer falls (L-BFGS)."""
    optimizer = torch.optim.LBFGS(
        list(parameters), max_iter=max_steps, tolerance_change=1e-7, history_size=8, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
