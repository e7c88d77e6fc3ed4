"""How labels that have an order depend on each other: as cells of two normal variables do.

    q(b | a) = E[P(z_b in cell b | z_a)] over z_a in cell a,   corr(z_a, z_b) = rho

The labels of a variable are cells of a standard normal one, in the order of their values and as
wide as they are probable. One number for each pair is learned from few rows, in which a table of
counts sees only noise (Pearson 1900).

Legend: D variables, T labels of all of them, L labels of the variable above, L' of the one below.
"""

import math
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor
from torch.special import ndtr, ndtri

from made_exp.datasets.baselines.boxes import values_of_states
from made_exp.datasets.baselines.labels import Labels
from made_exp.variables.distributions import normal_log_prob
from made_exp.variables.variable import Kind, Variable

_STRONGEST = 0.98
_PLACES = 8  # of z_a in its cell, over which is averaged


@final
@dataclass(frozen=True, eq=False)
class OrderedLabels:
    """Cells of all labels, and how strongly the variables of each pair go together.

    Attributes:
        cells: (T, 2) ends in [0, 1] of the cells, in probability; NaN where there is no order.
        rho: (D, D) in -0.98..0.98, correlations of the normal variables; 0 with itself and where
            one of the two has no order.
        gains: (D, D) mutual information in nats for which these stand, less what chance gives.
    """

    cells: Tensor
    rho: Tensor
    gains: Tensor

    @classmethod
    def of(cls, labels: Labels, counts: Tensor) -> Self:
        """Of labels that come together as often as counts (T, T) say."""
        num_variables, sizes = len(labels.sizes), labels.sizes.long()
        cells = torch.cat([_cells(labels, d) for d in range(num_variables)])
        mass = cells.diff(dim=1)[:, 0].nan_to_num(0.0)
        heights = normal_log_prob(ndtri(cells), torch.zeros(())).exp()
        scores = (-heights.diff(dim=1)[:, 0] / mass.clamp(min=1e-300)).nan_to_num(0.0)
        variable = torch.repeat_interleave(torch.arange(num_variables), sizes)

        def by_pair(one: Tensor, other: Tensor) -> Tensor:
            """Sums (D, D) over all pairs of rows of one (T,) and the other (T,)."""
            across = summed(counts * one[:, None] * other, variable, num_variables)
            return summed(across.mT, variable, num_variables).mT

        is_there = (mass > 0).double()
        products, squares = by_pair(scores, scores), by_pair(scores.square(), is_there)
        pairs = by_pair(is_there, is_there).clamp(min=1)
        plain = products / (squares * squares.mT).sqrt().clamp(min=1e-300)
        # Means of cells vary less than z does: their covariance is rho times both variances.
        spread = summed((mass * scores.square())[None], variable, num_variables)[0]
        rho = products / pairs / torch.outer(spread, spread).clamp(min=1e-9)
        rho, plain = (
            own.clamp(-_STRONGEST, _STRONGEST).fill_diagonal_(0.0) for own in (rho, plain)
        )
        return cls(cells, rho, -0.5 * torch.log1p(-plain.square()) - 0.5 / pairs)

    def given(self, above: slice, below: slice, rho: float, own: Tensor) -> Tensor:
        """q(b | a) (L, L') of labels `below` given those `above`, of T.

        Labels without a place in the order, of either, are as probable as own (L',) says.
        """
        low, high = self.cells[above].split(1, 1)
        at = (torch.arange(_PLACES).double() + 0.5) / _PLACES
        z = ndtri(low + at * (high - low))  # (L, P)
        ends = ndtri(self.cells[below].mT)  # (2, L')
        up_to = ndtr((ends[:, None, None] - rho * z[..., None]) / math.sqrt(1 - rho * rho))
        inside = up_to.diff(dim=0)[0].mean(1).clamp(min=1e-12)  # NaN stays
        is_there = ~torch.isnan(self.cells[below, 0])
        share = own[is_there].sum() / inside.nansum(1, keepdim=True)
        return torch.where(is_there & ~torch.isnan(low), inside * share, own)


def summed(table: Tensor, variable: Tensor, count: int) -> Tensor:
    """Columns (.., T) of a table added up by the variable (T,) of each, (.., D) of `count`."""
    return table.new_zeros(len(table), count).index_add_(1, variable, table)


def _cells(labels: Labels, d: int) -> Tensor:
    """The cells (L, 2) of the labels of one variable, in the order of what they are worth."""
    values = _values(labels, d)
    probs = labels.log_probs[d, : len(values)].exp().masked_fill(torch.isnan(values), 0.0)
    order = values.nan_to_num(torch.inf).argsort(stable=True)
    upper = (probs[order].cumsum(0) / probs.sum().clamp(min=1e-300)).clamp(max=1)
    cells = torch.empty(len(values), 2, dtype=torch.float64)
    cells[order] = torch.stack([torch.cat([upper.new_zeros(1), upper[:-1]]), upper], 1)
    return cells.masked_fill(torch.isnan(values)[:, None], torch.nan)


def _values(labels: Labels, d: int) -> Tensor:
    """What the labels (L,) of one variable are worth: NaN without order, and of missing cells.

    Of rare values that share a label it is the mean; numbers as they are transformed.
    """
    coordinates = labels.coordinates
    variable, numeric = coordinates.variables[d], coordinates.numeric.tolist()
    found = torch.full((int(labels.sizes[d]),), torch.nan, dtype=torch.float64)
    if not _has_order(variable):
        return found
    values = values_of_states(variable)
    states = torch.tensor([math.nan if v is None else v for v in values], dtype=torch.float64)
    start = coordinates.starts[d]
    by_state = labels.by_state[start : start + len(values)].long()
    if d in numeric:
        r = numeric.index(d)
        ends = labels.ends(r)
        middles = labels.independent.marginals.quantile_of(r, (ends[1:] + ends[:-1]) / 2)
        found[: len(middles)] = middles
        states = variable.transform.forward(states)
    known = ~torch.isnan(states)
    sums, counts = torch.zeros_like(found), torch.zeros_like(found)
    sums.index_add_(0, by_state[known], states[known])
    counts.index_add_(0, by_state[known], torch.ones_like(states[known]))
    return torch.where(counts > 0, sums / counts, found)


def _has_order(variable: Variable) -> bool:
    """Whether its values rise: also names that are numbers, such as the few of a column."""
    if variable.kind is not Kind.CATEGORICAL:
        return True
    try:
        numbers = [float(name) for name in variable.categories or ("",)]
    except ValueError:
        return False
    return numbers == sorted(set(numbers))
