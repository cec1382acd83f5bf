"""What do families of texts learn from, and how do they keep what they have computed?"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models import texts
from models.examples import Example, Split

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Readable:
    """Examples whose texts can be read.

    Attributes:
        examples: In the order of their keys.
        contents: Their texts.
    """

    examples: tuple[Example, ...]
    contents: tuple[str, ...]

    def indices(self, split: Split) -> Indices:
        """Return which examples are of a split."""
        return np.array([n for n, example in enumerate(self.examples) if example.split is split], dtype=np.int64)


def read(examples: Sequence[Example], *, log: Callable[[str], None]) -> Readable:
    """Read the texts of examples; those that cannot be read are skipped with a line in the log."""
    chosen, contents = [], []
    for example in sorted(examples, key=lambda example: example.key):
        try:
            contents.append(texts.read(example.path))
        except (texts.BadText, OSError) as error:
            log(f"{example.key} is skipped: {error}")
        else:
            chosen.append(example)
    return Readable(tuple(chosen), tuple(contents))


def folds(groups: Sequence[Hashable], num_folds: int, *, seed: int) -> Indices:
    """Return a fold for each example, so that every fold has its share of every group; shape (N,)."""
    order = np.random.default_rng((seed, 2)).permutation(len(groups)).tolist()
    first_seen = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    order.sort(key=lambda index: first_seen[groups[index]])
    fold_N = np.zeros(len(groups), dtype=np.int64)
    fold_N[order] = np.arange(len(groups)) % max(1, min(num_folds, len(groups)))
    return fold_N


def kept(path: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a computation gave, tensors and numbers by name; an interrupted fit finds it again at this path."""
    if path.exists():
        stored: dict[str, Any] = torch.load(path, weights_only=True)
        return stored
    computed = compute()
    partial = path.with_suffix(".partial")
    torch.save(computed, partial)
    os.replace(partial, path)
    return computed
