"""Labels of values: few of them for each variable, so that pairs can be counted.

A discrete variable has its states as labels, the rarest together in one. A number has intervals of
its coordinate that hold about as many rows each, and a label for each of its other states.

Legend: N rows, D variables, R numbers, S states of all variables, L labels of each, T of all.
"""

from typing import final

import torch
from torch import Tensor

from made_exp.datasets.baselines.boxes import Inside
from made_exp.datasets.baselines.coordinates import Rows, has_coordinate
from made_exp.datasets.baselines.counting import Independent
from made_exp.datasets.baselines.fitted import FittedTables
from made_exp.variables.distributions import categorical_quantile
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Kind

_MOST, _FEWEST, _ALL = 32, 4, 4096  # labels of a variable, and of all if there are many
_MOST_INTERVALS, _LEAST_ROWS = 16, 20  # of a number, and in each of them
_MAX_ROWS = 50_000  # by which intervals are found


@final
class Labels(FittedTables):
    """How values become labels, and what these are worth to a density of single variables.

    Args:
        independent: That density, already fitted when `fit` is called.
    """

    by_state: Tensor
    edges: Tensor
    sizes: Tensor
    starts: Tensor
    log_probs: Tensor

    def __init__(self, independent: Independent) -> None:
        super().__init__()
        self.independent = independent
        self.coordinates = coordinates = independent.coordinates
        count = len(coordinates.sizes)
        self._hold(
            by_state=torch.zeros(coordinates.num_states + 2),  # (S + 2,); -1 where unknown
            edges=torch.zeros(len(coordinates.numeric), 1),  # inner ones, infinite after the last
            sizes=torch.ones(count),  # (D,) labels of each variable
            starts=torch.zeros(count),  # (D,) the first of them among all
            log_probs=torch.zeros(count, 1),  # (D, L) under `independent`; -inf after the last
        )

    @property
    def num_labels(self) -> int:
        """T."""
        return int(self.sizes.sum())

    @torch.no_grad()
    def fit(self, codes: Tensor, seed: int) -> None:
        """Find labels for codes (N, D)."""
        coordinates = self.coordinates
        if len(codes) > _MAX_ROWS:
            generator = torch.Generator().manual_seed(seed)
            codes = codes[torch.randperm(len(codes), generator=generator)[:_MAX_ROWS]]
        most = max(_FEWEST, min(_MOST, _ALL // len(coordinates.sizes)))
        numbers = coordinates.rows(codes).numbers
        edges = [self._edges(r, column, most) for r, column in enumerate(numbers.T)]
        width = max([1, *map(len, edges)])
        self.edges = torch.full((len(edges), width), torch.inf, dtype=torch.float64)
        for row, own in zip(self.edges, edges, strict=True):
            row[: len(own)] = own
        self._set_states(most, {d: r for r, d in enumerate(coordinates.numeric.tolist())})

    def _edges(self, r: int, numbers: Tensor, most: int) -> Tensor:
        """Inner edges of the intervals of the r-th number, by its values (N,)."""
        known = numbers[~torch.isnan(numbers)].sort().values
        count = min(_MOST_INTERVALS, most, len(known) // _LEAST_ROWS)
        if count < 2:
            return known[:0]
        places = (torch.arange(1, count).double() * len(known) / count).long()
        distinct = known.unique()
        above = torch.searchsorted(distinct, known[places].unique())
        above = above[above > 0]
        if self.coordinates.whole[r]:
            return self.coordinates.cell(r, distinct[above])[0].unique()
        return ((distinct[above - 1] + distinct[above]) / 2).unique()

    def _set_states(self, most: int, numeric: dict[int, int]) -> None:
        coordinates, independent = self.coordinates, self.independent
        state_logs = independent.log_probs[:-2] - coordinates.log_units[:-2]
        by_state, labels = torch.full_like(independent.log_probs, -1.0), []
        for d, (start, size) in enumerate(zip(coordinates.starts, coordinates.sizes, strict=True)):
            logs, own = state_logs[start : start + size], torch.arange(size)
            first = logs[:0]
            if d in numeric:
                r = numeric[d]
                first = logs[0] + self.ends(r).diff().clamp(min=1e-12).log()
                logs, own = logs[1:], own[:-1]
            kept = max(2, most - len(first))
            if len(logs) > kept:
                rank = logs.argsort(descending=True, stable=True).argsort()
                own = rank.clamp(max=kept - 1)
            sums = torch.zeros(int(own.max()) + 1 if len(own) else 0).double()
            sums = sums.index_add_(0, own, logs.exp())
            by_state[start + size - len(own) : start + size] = (own + len(first)).double()
            labels.append(torch.cat([first, sums.log()]))
        self.by_state = by_state
        self.sizes = torch.tensor([len(own) for own in labels]).double()
        self.starts = self.sizes.cumsum(0) - self.sizes
        shape = (len(labels), int(self.sizes.max()))
        self.log_probs = torch.full(shape, -torch.inf, dtype=torch.float64)
        for row, own in zip(self.log_probs, labels, strict=True):
            row[: len(own)] = own

    def of(self, rows: Rows) -> Tensor:
        """Labels (N, D) int64 of rows; -1 where unknown."""
        labels = self.by_state[self.coordinates.index(rows.states)].long()
        numeric, numbers = self.coordinates.numeric, rows.numbers
        if len(numeric):
            intervals = torch.searchsorted(self.edges, numbers.T.contiguous(), right=True).T
            is_number = ~torch.isnan(numbers)
            labels[:, numeric] = torch.where(is_number, intervals, labels[:, numeric])
        return labels

    def own(self, labels: Tensor) -> Tensor:
        """Log-probability (N, D) of labels under `independent`; 0 where unknown."""
        d = torch.arange(labels.shape[1])
        return self.log_probs[d, labels.clamp(min=0)].masked_fill(labels < 0, 0.0)

    def shares_inside(self, d: int, subset: Subset) -> Tensor:
        """What share (L,) of each label's probability a subset of values has; 0 after the last."""
        coordinates, inside = self.coordinates, Inside.of(self.independent.marginals, d, subset)
        shares = torch.zeros_like(self.log_probs[d])
        whole = torch.zeros_like(shares)
        own = slice(coordinates.starts[d], coordinates.starts[d] + coordinates.sizes[d])
        by_state, probs = self.by_state[own].long(), self.independent.state_probs(d)
        first = 0
        if has_coordinate(coordinates.variables[d]):
            ends = self.ends(coordinates.numeric.tolist().index(d))
            low, high = ends[:-1, None], ends[1:, None]
            overlap = high.minimum(inside.stretches[:, 1]) - low.maximum(inside.stretches[:, 0])
            shares[: len(low)], whole[: len(low)] = overlap.clamp(min=0).sum(1), ends.diff()
            first = 1
        shares.index_add_(0, by_state[first:], (probs * inside.states)[first:])
        whole.index_add_(0, by_state[first:], probs[first:])
        return shares / whole.clamp(min=1e-300)

    def one_hot(self, codes: Tensor) -> Tensor:
        """Which labels codes (N, D) have, (N, T) float32; 0 where unknown.

        Binary variables may be probabilities of 1, which they share.
        """
        variables = self.coordinates.variables
        if all(v.kind is Kind.BINARY and not v.may_be_missing for v in variables):
            ones = codes.float()
            return torch.stack([1 - ones, ones], 2).nan_to_num(0.0).flatten(1)
        labels = self.of(self.coordinates.rows(codes))
        out = torch.zeros(len(codes), self.num_labels + 1)
        place = torch.where(labels < 0, self.num_labels, labels + self.starts.long())
        return out.scatter_(1, place, 1.0)[:, :-1]

    def inside(self, given: Rows, labels: Tensor, uniforms: Tensor) -> Rows:
        """Rows with these labels (N, D): what is unknown in `given` drawn as `independent` does.

        Uniforms are (N, D).
        """
        coordinates, states = self.coordinates, given.states.clone()
        numeric = {d: r for r, d in enumerate(coordinates.numeric.tolist())}
        numbers = given.numbers.clone()
        within = torch.zeros_like(numbers)
        logs = self.independent.log_probs - coordinates.log_units
        for d, (start, size) in enumerate(zip(coordinates.starts, coordinates.sizes, strict=True)):
            own = slice(start, start + size)
            matches = self.by_state[own] == labels[:, d, None]
            if d in numeric:
                r, ends = numeric[d], self.ends(numeric[d])
                is_number = labels[:, d] < len(ends) - 1
                matches[:, 0] = is_number
                at = labels[:, d].clamp(max=len(ends) - 2)
                within[:, r] = ends[at] + uniforms[:, d] * (ends[at + 1] - ends[at])
            drawn = categorical_quantile(logs[own].exp() * matches, uniforms[:, d])
            states[:, d] = torch.where(states[:, d] < 0, drawn, states[:, d])
        drawn = self.independent.marginals.quantile(within)
        drawn = drawn.where(torch.isnan(numbers), numbers)
        is_there = states[:, coordinates.numeric] == 0
        return Rows(states, drawn.where(is_there, torch.nan))

    def ends(self, r: int) -> Tensor:
        """F (I + 1,) at the ends of the r-th number's intervals."""
        edges = self.edges[r][torch.isfinite(self.edges[r])]
        inner = self.independent.marginals.up_to(r, edges)
        return torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])
