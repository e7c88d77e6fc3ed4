"""What one binary column implies of another in every row of train, as the start of networks.

A literal is x_j = 1 or x_j = 0. In one-hot codes, games and forms there are many of which every
row of train says the same of a column d: its group has its one already, the cell below is empty.
A network learns that slowly, and a penalty on its weights takes it back. So a network starts at

    logit p(x_d = 1 | earlier) = base_d + sum over literals l that imply of d a_ld [l holds]

by its output bias and its direct connections, and penalties pull towards that, not to zero. It
learns what comes on top; nothing is forbidden.
"""

import logging
import math
from typing import final

import numpy as np
import torch
from torch import Tensor

from made_exp.masks.mask_set import visibility
from made_exp.model.members import Members
from made_exp.model.networks import MaskedNetwork
from made_exp.variables.variable import Kind

_log = logging.getLogger(__name__)
_ROWS = 10_000
# Of all pairs of literals and columns that have nothing to do with each other, about exp(-5) of
# one would look like an implication.
_MARGIN = 5.0


@final
class Implications:
    """Literals of D binary columns and what they imply: literal j is x_j = 1, D + j is x_j = 0.

    That l implies x_d = 0 says that no row of train has both l and x_d = 1, where more than
    log(4 D^2) + 5 would, were they independent; that l implies x_d = 1, the same of x_d = 0. Of a
    group of columns no two of which are 1 at once, one is 0 where another is 1 even if both are
    rare: it is enough that so many rows would have it and any of the group, were it independent.

    Args:
        train: (N, D) of 0 and 1.

    Attributes:
        num_implied: Columns of which something is implied.
    """

    def __init__(self, train: Tensor) -> None:
        self._num_rows, num_dims = train.shape
        self._counts = _literal_counts(train).numpy()
        self._rows, self._ones = self._counts.diagonal(), np.diagonal(self._counts)[:num_dims]
        self._least = math.log(4 * num_dims**2) + _MARGIN
        self._share = self._ones / self._num_rows
        zero = self._rows[:, None] * self._share > self._least
        one = self._rows[:, None] * (1 - self._share) > self._least
        self._zero = zero & (self._counts[:, :num_dims] == 0)
        self._one = one & (self._counts[:, num_dims:] == 0)
        for implies in (self._zero, self._one):  # not a column of itself
            for own in np.split(implies, 2):
                np.fill_diagonal(own, val=False)
        self._support = np.repeat(self._rows[:, None], num_dims, 1)
        for group in self._groups():
            pairs = np.ix_(group, group)
            self._zero[pairs] = ~np.eye(len(group), dtype=bool)
            others = self._ones[group].sum() - self._ones[group]
            self._support[pairs] = np.maximum(self._support[pairs], others)
        self.num_implied = int((self._zero | self._one).any(0).sum())

    def _groups(self) -> list[list[int]]:
        """Columns no two of which are 1 in one row, from each that is far from so by chance."""
        num_dims = len(self._ones)
        apart = self._counts[:num_dims, :num_dims] == 0
        groups = set[tuple[int, ...]]()
        for d in np.flatnonzero(self._zero[:num_dims].any(0)).tolist():
            group, fits = [d], self._zero[:num_dims, d].copy()
            while fits.any():
                group.append(int(np.argmax(np.where(fits, self._ones, -1))))
                most = self._ones[group].sum() * self._share
                fits = apart[group].all(0) & (most > self._least)
            groups.add(tuple(sorted(group)))
        return [list(group) for group in sorted(groups)]

    def start(self, sees: Tensor) -> tuple[Tensor, dict[int, float]]:
        """Weights and biases of a network.

        Args:
            sees: (D, D) bool, whether the params of a column (row) depend on another (column).

        Returns:
            Weights (D, D) float32 from columns to logits, zero where `sees` is not; and the bias,
            which holds base_d and a_ld of literals x_j = 0, of each d of which something is
            implied by what it sees.
        """
        num_dims = len(sees)
        weights, biases = np.zeros((num_dims, num_dims)), dict[int, float]()
        seen = np.concatenate([sees.cpu().numpy()] * 2, 1)
        implied = (self._zero | self._one).T & seen
        for d in np.flatnonzero(implied.any(1)).tolist():
            chosen, base = self._choose(d, np.flatnonzero(implied[d]))
            biases[d] = base
            for literal in chosen:
                amount = self._amount(literal, d, base)
                if literal < num_dims:
                    weights[d, literal] += amount
                else:
                    weights[d, literal - num_dims] -= amount
                    biases[d] += amount
        return torch.tensor(weights, dtype=torch.float32), biases

    def _choose(self, d: int, candidates: np.ndarray) -> tuple[list[int], float]:
        """Literals that settle d, most of whose rows those before them leave open; and base_d.

        So a cell at the bottom is not counted again for each cell above it. base_d is the log-odds
        of d in the rows that are left.
        """
        zeros, rows = self._zero[candidates, d], self._rows[candidates]
        gains = rows.copy()
        left = [self._num_rows - float(self._ones[d]), float(self._ones[d])]
        chosen = []
        while True:
            best = int(np.argmax(np.where(gains > rows / 2, gains, 0)))
            if gains[best] <= rows[best] / 2:
                break
            chosen.append(int(candidates[best]))
            left[0 if zeros[best] else 1] -= float(gains[best])
            # At least so many rows are new: those of two literals before it count twice.
            gains -= self._counts[candidates[best], candidates]
            gains[best] = 0
        return chosen, math.log((left[1] + 0.5) / (left[0] + 0.5))

    def _amount(self, literal: int, d: int, base: float) -> float:
        """By how much the log-odds change: to one in n + 1, of the n rows that say so."""
        certain = math.log(self._support[literal, d] + 1)
        return -max(certain + base, 0) if self._zero[literal, d] else max(certain - base, 0)


@torch.no_grad()
def start_at_implications(model: Members, train: Tensor) -> None:
    """Start networks with one order each at what columns of `train` (N, D) imply.

    Nothing is done where a column is not binary, or a network has no direct connections.
    """
    members = [member for member in model.members if _can_start(member)]
    is_binary = [v.kind == Kind.BINARY and not v.may_be_missing for v in model.groups.variables]
    if not members or not all(is_binary):
        return
    implications = Implications(train)
    if not implications.num_implied:
        return
    text = "networks know from the start what others imply of %d of %d columns"
    _log.info(text, implications.num_implied, len(is_binary))
    for member in members:
        assert member.direct is not None
        in_degrees, out_degrees = member.direct.in_degrees, member.direct.out_degrees
        assert in_degrees is not None
        assert out_degrees is not None
        weights, biases = implications.start(visibility(in_degrees, out_degrees))
        member.direct.centre_at(weights)
        for d, bias in biases.items():
            member.output_bias[d] = bias


def _can_start(member: MaskedNetwork) -> bool:
    is_fixed = member.direct is not None and not member.schedule.is_resampled
    return member.implications and is_fixed


def _literal_counts(train: Tensor) -> Tensor:
    """Rows (2D, 2D) float32 of train in which two literals hold, zero only where there are none."""
    num_dims = train.shape[1]
    both = torch.zeros(num_dims, num_dims, dtype=torch.float64)
    for rows in train.split(_ROWS):
        part = rows.to("cpu", torch.float32)
        both += (part.t() @ part).double()  # exact below 2^24 rows
    ones = both.diagonal()
    first_alone = ones[:, None] - both
    neither = len(train) - ones[:, None] - ones + both
    upper, lower = torch.cat([both, first_alone], 1), torch.cat([first_alone.t(), neither], 1)
    return torch.cat([upper, lower]).float()
