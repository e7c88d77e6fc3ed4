"""Each variable on its own, by counting; numbers by a smooth density of their values too."""

import math
from collections.abc import Sequence
from typing import Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.datasets.baselines.coordinates import Rows
from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.variables.distributions import (
    categorical_quantile,
    normal_log_prob,
    normal_quantile,
)
from made_exp.variables.variable import Kind, Variable

# Counts that are added to each value: what predicts a row of train from the others decides.
_ADDED = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
# Points that stand for the values of a number, and over which share of them each is spread.
_MAX_KNOTS = 200
_SPREADS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_FLOOR = 1e-3  # of the deviation, the least width of a kernel; as in conditionals
_ROWS = 4096


@final
class Independent(SimpleDensity):
    """p(x) = prod_d p(x_d): counts of states, and for numbers kernels at quantiles of train.

    A kernel is as wide as the values around it are apart; one example in N + 1 is from a Cauchy
    density, so that no value is impossible. Whole numbers are also counted one by one, as far as
    this predicts rows of train from the others.
    """

    log_probs: Tensor
    knots: Tensor
    widths: Tensor
    tails: Tensor
    values: Tensor
    shares: Tensor

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__(variables)
        states, numbers = self.coordinates.num_states, len(self.coordinates.numeric)
        for name, shape in (
            ("log_probs", (states + 2,)),  # of states, see Coordinates.log_units
            ("knots", (numbers, 1)),  # infinite beyond the last
            ("widths", (numbers, 1)),
            ("tails", (numbers, 3)),  # middle, width and share of the Cauchy density
            ("values", (numbers, 1)),  # counted ones, rising, infinite beyond the last
            ("shares", (numbers, 1)),  # their probabilities; 0 beyond the last
        ):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @classmethod
    @torch.no_grad()
    def fit(cls, variables: Sequence[Variable], codes: Tensor) -> Self:
        """Of codes (N, D); NaN is left out. Binary ones may be probabilities of 1."""
        density = cls(variables)
        coordinates = density.coordinates
        is_plain = all(v.kind is Kind.BINARY and not v.may_be_missing for v in variables)
        rows = coordinates.rows(codes[:0] if is_plain else codes)
        counts = []
        for d, variable in enumerate(variables):
            if variable.kind is Kind.BINARY and not variable.may_be_missing:
                known = codes[:, d][~torch.isnan(codes[:, d])].double()
                counts.append(torch.stack([len(known) - known.sum(), known.sum()]) + 1)
            else:
                states = rows.states[:, d]
                counts.append(_smoothed(states[states >= 0], coordinates.sizes[d]))
        log_probs = [(own / own.sum()).log() for own in counts]
        density.log_probs = torch.cat([*log_probs, torch.zeros(2)]).double() + coordinates.log_units
        if len(coordinates.numeric):
            density._fit_numbers(rows.numbers)
        return density

    def _fit_numbers(self, numbers: Tensor) -> None:
        whole = self.coordinates.whole.tolist()
        columns = [column[~torch.isnan(column)] for column in numbers.T]
        kernels = [_kernels(column) for column in columns]
        self.knots = _padded([knots for knots, _ in kernels], torch.inf)
        self.widths = _padded([widths for _, widths in kernels], 1.0)
        self.tails = torch.stack([_tail(column) for column in columns])
        none = numbers.new_zeros(0)
        self.values, self.shares = (_padded([none] * len(columns), v) for v in (torch.inf, 0.0))
        counted = [(none, none)] * len(columns)
        if any(whole):
            smooth, values = self._smooth(numbers), self.coordinates.values(numbers)
            for r in (r for r, is_whole in enumerate(whole) if is_whole):
                known = ~torch.isnan(numbers[:, r])
                counted[r] = _counted(values[known, r], smooth[known, r])
        self.values = _padded([values for values, _ in counted], torch.inf)
        self.shares = _padded([shares for _, shares in counted], 0.0)

    @override
    def row_terms(self, rows: Rows) -> Tensor:
        terms = self.log_probs[self.coordinates.index(rows.states)]
        numbers = rows.numbers
        if numbers.shape[1]:
            values = self.coordinates.values(numbers).T.contiguous()
            found = torch.searchsorted(self.values, values).clamp(max=self.values.shape[1] - 1)
            is_counted = self.values.gather(1, found) == values
            counted = torch.where(is_counted, self.shares.gather(1, found), 0.0).T
            rest = (1 - self.shares.sum(1)).log()
            log_prob = torch.logaddexp(counted.log(), self._smooth(numbers) + rest)
            terms[:, self.coordinates.numeric] += log_prob.masked_fill(torch.isnan(numbers), 0.0)
        return terms

    def _smooth(self, numbers: Tensor) -> Tensor:
        """Log-density, or log-mass of the cells of whole numbers, (N, R); NaN where NaN."""
        lower, upper = self.coordinates.cells(numbers)
        whole = self.coordinates.whole
        middle, width, share = self.tails.T
        z = (numbers - middle) / width
        density = share / (torch.pi * width * (1 + z * z))
        mass = share * (_cauchy((upper - middle) / width) - _cauchy((lower - middle) / width))
        total = torch.where(whole, mass, density)
        for r in range(numbers.shape[1]):
            edges = torch.stack([lower[:, r], upper[:, r]], 1)
            edges, where = edges.unique(dim=0, return_inverse=True)  # values often repeat
            kernels = [self._kernel_sum(r, part) for part in edges.split(_ROWS)]
            total[:, r] += (1 - share[r]) * torch.cat(kernels)[where]
        return total.clamp(min=1e-300).log()

    def _kernel_sum(self, r: int, edges: Tensor) -> Tensor:
        """Density (n,) of the kernels at numbers with these edges (n, 2); mass of whole ones."""
        is_knot = torch.isfinite(self.knots[r])
        z = (edges[..., None] - self.knots[r][is_knot]) / self.widths[r][is_knot]
        if self.coordinates.whole[r]:
            return torch.special.ndtr(z).diff(dim=1).mean((1, 2))
        return (normal_log_prob(z[:, 0], self.widths[r][is_knot].log())).exp().mean(1)

    @override
    def draw(self, given: Rows, uniforms: Tensor) -> Rows:
        coordinates, states, numbers = self.coordinates, given.states.clone(), given.numbers.clone()
        for d, (start, size) in enumerate(zip(coordinates.starts, coordinates.sizes, strict=True)):
            log_probs = self.log_probs[start : start + size]
            log_probs = log_probs - coordinates.log_units[start : start + size]
            drawn = categorical_quantile(
                log_probs.exp().expand(len(states), -1), uniforms[:, 1 + d]
            )
            states[:, d] = torch.where(states[:, d] < 0, drawn, states[:, d])
        for r, d in enumerate(coordinates.numeric.tolist()):
            is_open = (states[:, d] == 0) & torch.isnan(numbers[:, r])
            own = uniforms[:, 1 + len(coordinates.sizes) + d]
            numbers[:, r] = torch.where(is_open, self._quantile(r, own), numbers[:, r])
        return Rows(states, numbers)

    def _quantile(self, r: int, uniforms: Tensor) -> Tensor:
        """Numbers (N,) of variable r; the fraction of a uniform within what it chose is reused."""
        is_knot = torch.isfinite(self.knots[r])
        knots, widths = self.knots[r][is_knot], self.widths[r][is_knot]
        middle, width, share = self.tails[r]
        rest = 1 - self.shares[r].sum()
        kernel = rest * (1 - share) / len(knots)
        masses = torch.cat([self.shares[r], kernel.expand(len(knots)), (rest * share)[None]])
        ends = masses.cumsum(0)
        chosen = categorical_quantile(masses.expand(len(uniforms), -1), uniforms)
        within = ((uniforms * ends[-1] - ends[chosen] + masses[chosen]) / masses[chosen]).clamp(
            0, 1
        )
        k = (chosen - len(self.shares[r])).clamp(0, len(knots) - 1)
        smooth = knots[k] + widths[k] * normal_quantile(within)
        far = middle + width * torch.tan(torch.pi * (within.clamp(1e-12, 1 - 1e-12) - 0.5))
        drawn = torch.where(chosen == len(masses) - 1, far, smooth)
        variable = self.coordinates.variables[int(self.coordinates.numeric[r])]
        counted = self.values[r][chosen.clamp(max=len(self.values[r]) - 1)]
        counted = variable.transform.forward(counted) if self.coordinates.whole[r] else counted
        return torch.where(chosen < len(self.shares[r]), counted, drawn)


def _cauchy(z: Tensor) -> Tensor:
    return torch.atan(z) / torch.pi + 0.5


def _smoothed(states: Tensor, size: int) -> Tensor:
    """Counts (size,) of states (N,), with what is added to each chosen by leaving one out."""
    counts = torch.bincount(states, minlength=size).double()
    total = counts.sum()
    if size <= 2 or total < 2:
        return counts + 1

    def score(added: float) -> float:
        left = (counts - 1 + added).clamp(min=1e-12).log() - math.log(total - 1 + added * size)
        return float((counts * left).sum())

    return counts + max(_ADDED, key=score)


def _kernels(values: Tensor) -> tuple[Tensor, Tensor]:
    """Knots (Q,) of values (N,) and the widths (Q,) of the kernels there."""
    if len(values) == 0:
        return values.new_zeros(1), values.new_ones(1)
    ranked = values.sort().values
    count = min(len(values), _MAX_KNOTS)
    knots = ranked[((torch.arange(count).double() + 0.5) * len(values) / count).long()]
    # Rounded numbers repeat: kernels narrower than the digits are apart would be spikes.
    floor = torch.clamp(_gaps(ranked)[torch.searchsorted(ranked.unique(), knots)] / 2, min=1e-9)
    floor = floor.clamp(min=float(values.std(correction=0)) * _FLOOR)
    if count < 3:
        return knots, floor.clamp(min=max(float(knots.std(correction=0)), 1e-3))

    def widths(spread: float) -> Tensor:
        reach, at = max(1, round(spread * count)), torch.arange(count)
        above, below = (at + reach).clamp(max=count - 1), (at - reach).clamp(min=0)
        return ((knots[above] - knots[below]) / (above - below) * reach / 2).maximum(floor)

    def score(spread: float) -> float:
        own = widths(spread)
        z = (knots[:, None] - knots) / own
        kernels = normal_log_prob(z, own.log()).exp()
        kernels.fill_diagonal_(0)
        return float((kernels.sum(1) / (count - 1)).clamp(min=1e-12).log().sum())

    return knots, widths(max(_SPREADS, key=score))


def _gaps(ranked: Tensor) -> Tensor:
    """How far each different value of rising ones is from its nearest neighbour; 0 for one."""
    apart = ranked.unique().diff()
    if not len(apart):
        return ranked.new_zeros(1)
    ends = apart.new_tensor([torch.inf])
    return torch.minimum(torch.cat([ends, apart]), torch.cat([apart, ends]))


def _tail(values: Tensor) -> Tensor:
    """Middle, width and share (3,) of the Cauchy density for values (N,)."""
    if len(values) == 0:
        return values.new_tensor([0.0, 1.0, 0.5])
    quartiles = values.quantile(values.new_tensor([0.25, 0.5, 0.75]))
    width = max(float(quartiles[2] - quartiles[0]), float(values.std(correction=0)), 1e-6)
    return torch.stack(
        [quartiles[1], quartiles.new_tensor(width), quartiles.new_tensor(1 / (len(values) + 1))]
    )


def _counted(numbers: Tensor, smooth: Tensor) -> tuple[Tensor, Tensor]:
    """Values that occur more than once, rising, and the probabilities that they get for it.

    Each of the N numbers is predicted from the others: by its share of them, or by its smooth
    log-probability (N,). How much the former counts is fitted to this (EM).
    """
    values, inverse, counts = numbers.unique(return_inverse=True, return_counts=True)
    total = len(numbers)
    if total < 2:
        return numbers.new_zeros(0), numbers.new_zeros(0)
    others = (counts[inverse] - 1).double() / (total - 1)
    weight, density = 0.5, smooth.exp()
    for _ in range(100):
        explained = weight * others / (weight * others + (1 - weight) * density)
        weight = float(explained.sum() / (total + 1))
    return values, weight * counts / total


def _padded(columns: Sequence[Tensor], value: float) -> Tensor:
    """Columns of different lengths as (R, longest), at least one long, filled with `value`."""
    width = max([1, *map(len, columns)])
    out = torch.full((len(columns), width), value, dtype=torch.float64)
    for row, column in zip(out, columns, strict=True):
        row[: len(column)] = column
    return out
