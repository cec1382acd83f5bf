"""How likely is a sequence of tags? Linear-chain conditional random fields, differentiable.

Source: Lafferty, McCallum and Pereira 2001, "Conditional Random Fields"; the forward recursion in probabilities, scaled
at each step, as in Rabiner 1989, which is several times faster than in logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

_LEAST = 1e-20
"""Of a potential: where tokens contradict each other, no chain may come out as impossible."""

# N tokens of all windows, B windows, M tokens of the longest window, T tags


class Windows:
    """Which tokens stand in a row. The tokens of all windows are numbered through, window by window."""

    def __init__(self, lengths: Sequence[int]) -> None:
        """Take the number of tokens of each window; there is one at least, and none is empty."""
        length_B = np.array(lengths, np.int64)
        starts_B = np.cumsum(length_B) - length_B
        order = np.argsort(-length_B, kind="stable")
        self.num_tokens = int(length_B.sum())
        self.firsts = torch.from_numpy(starts_B)
        inner = np.ones(self.num_tokens, np.bool_)
        inner[starts_B] = False
        self.followers = torch.from_numpy(np.flatnonzero(inner))
        descending = length_B[order]
        # For each position the tokens of those windows that reach so far, longest window first.
        self.columns = [
            torch.from_numpy(starts_B[order[: int((descending > at).sum())]] + at) for at in range(int(descending[0]))
        ]


class Chain(nn.Module):
    """How tags follow each other.

    Args:
        follows_TT: Which tag (column) may follow which (row).
        may_be_first_T: Which tag may come first.
    """

    def __init__(self, follows_TT: npt.NDArray[np.bool_], may_be_first_T: npt.NDArray[np.bool_]) -> None:
        super().__init__()
        self._follows_TT = torch.from_numpy(follows_TT)
        self._may_be_first_T = torch.from_numpy(may_be_first_T)
        self.transitions = nn.Parameter(torch.zeros(follows_TT.shape))
        self.first = nn.Parameter(torch.zeros(len(may_be_first_T)))

    def loss(self, emissions_NT: Tensor, tags_N: Tensor, windows: Windows) -> Tensor:
        """Return minus the log-likelihood of the tags, summed over windows.

        Args:
            emissions_NT: Log-potentials of each token's tags.
            tags_N: The right ones; they obey what may follow what.
            windows: Which tokens stand in a row.
        """
        right = emissions_NT.gather(1, tags_N[:, None]).sum() + self.first[tags_N[windows.firsts]].sum()
        right = right + self.transitions[tags_N[windows.followers - 1], tags_N[windows.followers]].sum()

        highest_N1 = emissions_NT.detach().max(1, keepdim=True).values
        potential_NT = torch.exp(emissions_NT - highest_N1).clamp(min=_LEAST)
        step_TT = torch.exp(self.transitions) * self._follows_TT
        state_BT = torch.exp(self.first) * self._may_be_first_T * potential_NT[windows.columns[0]]
        total = highest_N1.sum()
        for at, tokens in enumerate(windows.columns):
            if at:
                state_BT = (state_BT[: len(tokens)] @ step_TT) * potential_NT[tokens]
            scale_B1 = state_BT.sum(1, keepdim=True)
            total = total + torch.log(scale_B1).sum()
            state_BT = state_BT / scale_B1
        return total - right
