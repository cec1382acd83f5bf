"""Which spans does a text have, given what a linear-chain model says of its tokens? NumPy only.

Spans that overlap are found in different layers, each a chain of its own over the tags O, B-x and I-x (outside, begin
and inside of spans of type x). Instead of the likeliest chain, the probability of every single span is computed, over
all chains that have exactly that span, and the likeliest spans above a threshold are the answer: where little was
learnt from, the likeliest chain has hardly any.

Source: Lafferty et al. 2001, "Conditional Random Fields"; constrained sums as in Culotta and McCallum 2004,
"Confidence Estimation for Information Extraction".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FLOOR = 0.02
"""Spans that are less likely are not looked at."""

_LEAST = 1e-20
"""Of a potential: where tokens contradict each other, no chain may come out as impossible."""

# B windows, M tokens of the longest window, T tags of a layer

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layer:
    """One chain.

    Attributes:
        types: Label of each type of span; a label may have several types, in different layers.
        transitions_TT: Log-potential of a tag (column) after another (row). Tag 0 is O, 1 + 2 t is B-t, 2 + 2 t is I-t.
        first_T: Log-potential of a tag at the beginning.
    """

    types: tuple[str, ...]
    transitions_TT: Doubles
    first_T: Doubles

    @property
    def num_tags(self) -> int:
        """T."""
        return 1 + 2 * len(self.types)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "types": list(self.types),
            "transitions": np.round(self.transitions_TT, 6).tolist(),
            "first": np.round(self.first_T, 6).tolist(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form."""
        return cls(tuple(stored["types"]), np.array(stored["transitions"]), np.array(stored["first"]))


def allowed(num_types: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which tags may follow which, shape (T, T), and which may come first, shape (T,)."""
    num_tags = 1 + 2 * num_types
    follows_TT = np.ones((num_tags, num_tags), np.bool_)
    follows_TT[:, 2::2] = False
    for inside in range(2, num_tags, 2):
        follows_TT[[inside - 1, inside], inside] = True
    first_T = np.ones(num_tags, np.bool_)
    first_T[2::2] = False
    return follows_TT, first_T


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span of tokens of a window.

    Attributes:
        probability: That exactly these tokens are a span of this label.
        start: First token.
        end: One after the last token.
        label: Of the schema.
    """

    probability: float
    start: int
    end: int
    label: str


def candidates(layer: Layer, emissions: Sequence[npt.NDArray[np.float32]]) -> list[list[Candidate]]:
    """Return the likely spans of each window, likeliest first; they may overlap.

    Args:
        layer: The chain.
        emissions: For each window what its tokens have of each tag, as log-potentials, shape (tokens, T).
    """
    lengths_B = np.array([len(window) for window in emissions])
    if not lengths_B.size or not layer.types or not lengths_B.max():
        return [[] for _ in emissions]
    follows_TT, may_be_first_T = allowed(len(layer.types))
    step_TT = np.exp(layer.transitions_TT) * follows_TT
    potential_BMT = np.ones((len(emissions), int(lengths_B.max()), layer.num_tags))
    for row, window in enumerate(emissions):
        if len(window):
            potential_BMT[row, : len(window)] = np.maximum(np.exp(window - window.max(1, keepdims=True)), _LEAST)
    is_token_BM = np.arange(potential_BMT.shape[1]) < lengths_B[:, None]
    forward_BMT, scale_BM = _forward(potential_BMT, is_token_BM, step_TT, np.exp(layer.first_T) * may_be_first_T)
    backward_BMT = _backward(potential_BMT, is_token_BM, step_TT, scale_BM)
    found: list[list[Candidate]] = [[] for _ in emissions]
    for number, label in enumerate(layer.types):
        chain = (forward_BMT, backward_BMT, potential_BMT, scale_BM, lengths_B, step_TT)
        for row, start, end, probability in _spans(*chain, begin=1 + 2 * number):
            found[row].append(Candidate(probability, start, end, label))
    return [sorted(spans, key=lambda span: (-span.probability, span.start, span.end)) for spans in found]


def choose(spans: Sequence[Candidate], threshold: float) -> list[Candidate]:
    """Return the likeliest spans of a layer that do not overlap."""
    chosen: list[Candidate] = []
    taken: set[int] = set()
    for span in spans:
        tokens = range(span.start, span.end)
        if span.probability >= threshold and taken.isdisjoint(tokens):
            chosen.append(span)
            taken.update(tokens)
    return chosen


def _forward(
    potential_BMT: Doubles, is_token_BM: npt.NDArray[np.bool_], step_TT: Doubles, first_T: Doubles
) -> tuple[Doubles, Doubles]:
    """Return the probability of each tag given what came before, and what it was divided by; beyond a window 1."""
    forward_BMT = np.zeros_like(potential_BMT)
    scale_BM = np.ones(potential_BMT.shape[:2])
    state_BT = np.broadcast_to(first_T, potential_BMT[:, 0].shape)
    for at in range(potential_BMT.shape[1]):
        next_BT = (state_BT @ step_TT if at else state_BT) * potential_BMT[:, at]
        total_B = np.where(is_token_BM[:, at], next_BT.sum(1), 1.0)
        state_BT = np.where(is_token_BM[:, at, None], next_BT / total_B[:, None], state_BT)
        forward_BMT[:, at], scale_BM[:, at] = state_BT, total_B
    return forward_BMT, scale_BM


def _backward(
    potential_BMT: Doubles, is_token_BM: npt.NDArray[np.bool_], step_TT: Doubles, scale_BM: Doubles
) -> Doubles:
    backward_BMT = np.ones_like(potential_BMT)
    for at in range(potential_BMT.shape[1] - 2, -1, -1):
        after_BT = (potential_BMT[:, at + 1] * backward_BMT[:, at + 1]) @ step_TT.T / scale_BM[:, at + 1, None]
        backward_BMT[:, at] = np.where(is_token_BM[:, at + 1, None], after_BT, 1.0)
    return backward_BMT


def _spans(
    forward_BMT: Doubles,
    backward_BMT: Doubles,
    potential_BMT: Doubles,
    scale_BM: Doubles,
    lengths_B: npt.NDArray[np.int64],
    step_TT: Doubles,
    *,
    begin: int,
) -> list[tuple[int, int, int, float]]:
    """Return window, first token, one after the last token, and probability of each likely span of one type."""
    inside = begin + 1
    # What may come after a span's last token: anything but more of it. Both of its tags lead on in the same way but for
    # their own potentials, so there is one table for spans of one token and one for longer ones.
    ends = {}
    for tag in (begin, inside):
        leads_T = step_TT[tag].copy()
        leads_T[inside] = 0
        end_BM = np.ones(scale_BM.shape)
        end_BM[:, :-1] = (potential_BMT[:, 1:] * backward_BMT[:, 1:]) @ leads_T / scale_BM[:, 1:]
        end_BM[np.arange(len(lengths_B)), np.maximum(lengths_B - 1, 0)] = 1
        ends[tag] = end_BM
    inside_BM = potential_BMT[:, :, inside] / scale_BM
    found: list[tuple[int, int, int, float]] = []
    row, start = np.nonzero((forward_BMT * backward_BMT)[:, :, begin] >= FLOOR)
    is_inner = start < lengths_B[row]
    row, start = row[is_inner], start[is_inner]
    weight, last, tag = forward_BMT[row, start, begin], start, begin
    while len(row):
        probability = weight * ends[tag][row, last]
        for n in np.flatnonzero(probability >= FLOOR):
            found.append((int(row[n]), int(start[n]), int(last[n]) + 1, min(1.0, float(probability[n]))))
        goes_on = last + 1 < lengths_B[row]
        row, start, last, weight = row[goes_on], start[goes_on], last[goes_on] + 1, weight[goes_on]
        weight = weight * step_TT[tag, inside] * inside_BM[row, last]
        tag = inside
        is_likely = weight * backward_BMT[row, last, inside] >= FLOOR
        row, start, last, weight = row[is_likely], start[is_likely], last[is_likely], weight[is_likely]
    return found
