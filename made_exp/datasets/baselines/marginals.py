"""Densities of single numbers: kernels at quantiles of train, and values that are counted.

    p(t) = sum_v s_v [t = v] / unit + (1 - sum_v s_v) f(t),

with f the kernels and a Cauchy density of a share of 1 / (N + 1), so that no value is impossible.
A whole number has the mass of its cell, the unit is 1; values of real numbers that come again have
the unit of an atom. Where a whole number has atoms, f has nothing in their cells.

Legend: N rows, R numbers, t their coordinates, F the cumulative function.
"""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from made_exp.datasets.baselines.coordinates import Coordinates
from made_exp.datasets.baselines.fitted import FittedTables
from made_exp.variables.distributions import normal_log_prob

# Points that stand for the values of a number, and over which share of them each is spread.
_MAX_KNOTS = 200
_SPREADS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_FLOOR = 1e-3  # of the deviation, the least width of a kernel; as in conditionals
_MAX_JUDGED = 20_000  # rows by which it is decided how much counting counts
_ROWS = 4096
_PLACES, _TAIL_STEPS = 300, 40  # at which F is known for draws


@final
class Marginals(FittedTables):
    """Each number on its own, with its cumulative function and the inverse."""

    knots: Tensor
    widths: Tensor
    tails: Tensor
    values: Tensor
    shares: Tensor
    holes: Tensor
    places: Tensor
    heights: Tensor

    def __init__(self, coordinates: Coordinates) -> None:
        super().__init__()
        self.coordinates = coordinates
        count = len(coordinates.numeric)
        empty = torch.zeros(count, 1)
        self._hold(
            knots=empty,  # infinite beyond the last
            widths=empty,
            tails=torch.zeros(count, 3),  # middle, width and share of the Cauchy density
            values=empty,  # counted ones, rising, infinite beyond the last
            shares=empty,  # their probabilities; 0 beyond the last
            holes=torch.zeros(count, 1, 2),  # F without holes at the ends of the atoms' cells
            places=empty,  # rising points (whole numbers: in values) and
            heights=empty,  # F there, from 0 to 1
        )

    @torch.no_grad()
    def fit(self, numbers: Tensor) -> None:
        """Fit to numbers (N, R); NaN is left out."""
        columns = [column[~torch.isnan(column)] for column in numbers.T]
        kernels = [_kernels(column) for column in columns]
        self.knots = padded([knots for knots, _ in kernels], torch.inf)
        self.widths = padded([widths for _, widths in kernels], 1.0)
        self.tails = torch.stack([_tail(column) for column in columns])
        none = numbers.new_zeros(0)
        self.values, self.shares = (padded([none] * len(columns), v) for v in (torch.inf, 0.0))
        edges = [self.coordinates.atom_cells(r) for r in range(len(columns))]
        holes = [self._kernel_cdf(r, own.flatten()).view(-1, 2) for r, own in enumerate(edges)]
        ends = [padded([own[:, side] for own in holes], 1.0) for side in (0, 1)]
        self.holes = torch.stack(ends, 2)  # none where both are 1
        counted = [self._counted(r, column) for r, column in enumerate(columns)]
        self.values = padded([values for values, _ in counted], torch.inf)
        self.shares = padded([shares for _, shares in counted], 0.0)
        known = [self._known_places(r, column) for r, column in enumerate(columns)]
        self.places, self.heights = (
            torch.stack([_extended(own[k], max(len(one[0]) for one in known)) for own in known])
            for k in (0, 1)
        )

    def log_prob(self, numbers: Tensor) -> Tensor:
        """Log-density, or log-mass of whole ones, (N, R) of numbers; 0 where NaN."""
        out = torch.zeros_like(numbers)
        for r, column in enumerate(numbers.T):
            values, index = column.unique(return_inverse=True)
            known = values[~torch.isnan(values)]
            smooth = self._log_smooth(r, known) + (1 - self.shares[r].sum()).log()
            counted = self._share(r, known).log() - self._log_units(r, known)
            found = torch.cat([torch.logaddexp(counted, smooth), known.new_zeros(len(values))])
            out[:, r] = found[index.where(~torch.isnan(column), len(known))]
        return out

    def cumulative(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """F (N, R) up to numbers, without what has its mass there and with it; NaN where NaN."""
        pairs = [self._cumulative(r, column) for r, column in enumerate(numbers.T)]
        lower, upper = (torch.stack(part, 1) for part in zip(*pairs, strict=True))
        return lower, upper

    def _cumulative(self, r: int, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """`cumulative` of one number, (n,)."""
        numbers, index = numbers.unique(return_inverse=True)
        edges = self.coordinates.cell(r, numbers)
        below, share = self._counted_below(r, numbers), self._share(r, numbers)
        lower, upper = self._cdf(r, edges[0]) + below, self._cdf(r, edges[1]) + below + share
        return lower.clamp(0, 1)[index], upper.clamp(0, 1)[index]

    def quantile(self, uniforms: Tensor) -> Tensor:
        """Numbers (N, R) at which F is uniforms (N, R): between known places it is a line."""
        out = torch.empty_like(uniforms)
        for r, (places, heights) in enumerate(zip(self.places, self.heights, strict=True)):
            u = uniforms[:, r].contiguous()
            above = torch.searchsorted(heights, u, right=True).clamp(1, len(heights) - 1)
            low, high = heights[above - 1], heights[above]
            part = ((u - low) / (high - low).clamp(min=1e-300)).clamp(0, 1)
            at = places[above - 1] + part * (places[above] - places[above - 1])
            out[:, r] = self.coordinates.whole_at(r, at) if self.coordinates.whole[r] else at
        return out

    def _cdf(self, r: int, t: Tensor) -> Tensor:
        """F (n,) of the smooth part at t (n,), with its share."""
        smooth, holes = self._kernel_cdf(r, t), self.holes[r]
        lost = (smooth[:, None].minimum(holes[:, 1]) - holes[:, 0]).clamp(min=0).sum(1)
        return (1 - self.shares[r].sum()) / self._room(r) * (smooth - lost)

    def _room(self, r: int) -> Tensor:
        """What the holes leave of the mass of the smooth part."""
        return (1 - self.holes[r].diff(dim=1).sum()).clamp(min=1e-12)

    def _kernel_cdf(self, r: int, t: Tensor) -> Tensor:
        """F (n,) of the kernels and the Cauchy density alone."""
        middle, width, share = self.tails[r]
        is_knot = torch.isfinite(self.knots[r])
        knots, widths = self.knots[r][is_knot], self.widths[r][is_knot]
        parts = [torch.special.ndtr((e[:, None] - knots) / widths).mean(1) for e in t.split(_ROWS)]
        return (1 - share) * torch.cat(parts) + share * _cauchy((t - middle) / width)

    def _log_smooth(self, r: int, numbers: Tensor) -> Tensor:
        """Log-density, or log-mass of the cells of whole numbers, (n,) of the smooth part."""
        middle, width, share = self.tails[r]
        is_knot = torch.isfinite(self.knots[r])
        knots, widths = self.knots[r][is_knot], self.widths[r][is_knot]
        if not self.coordinates.whole[r]:
            z = (numbers - middle) / width
            far = share / (torch.pi * width * (1 + z * z))
            parts = [
                normal_log_prob((own[:, None] - knots) / widths, widths.log()).exp().mean(1)
                for own in numbers.split(_ROWS)
            ]
            return ((1 - share) * torch.cat(parts) + far).clamp(min=1e-300).log()
        edges = torch.stack(self.coordinates.cell(r, numbers), 1)
        far = _cauchy((edges - middle) / width).diff(dim=1)[:, 0]
        near = [
            torch.special.ndtr((own[..., None] - knots) / widths).diff(dim=1).mean((1, 2))
            for own in edges.split(_ROWS)
        ]
        mass = (1 - share) * torch.cat(near) + share * far
        return mass.clamp(min=1e-300).log() - self._room(r).log()

    def _counted(self, r: int, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Values that are counted, rising, and the probabilities (V,) that they get for it.

        Each of the N numbers is predicted from the others: by its share of them, or by its smooth
        density. How much the former counts is fitted to this (EM).
        """
        variable = self.coordinates.variables[int(self.coordinates.numeric[r])]
        total = len(numbers)
        if total < 2 or (variable.is_real and not variable.echoes):
            return numbers.new_zeros(0), numbers.new_zeros(0)
        distinct, inverse, counts = numbers.unique(return_inverse=True, return_counts=True)
        judged = inverse[:: 1 + total // _MAX_JUDGED]
        others = (counts - 1).double() / (total - 1) / self._log_units(r, distinct).exp()
        smooth = torch.zeros_like(others)
        asked = judged.unique()
        smooth[asked] = self._log_smooth(r, distinct[asked]).exp()
        others, smooth, weight = others[judged], smooth[judged], 0.5
        for _ in range(100):
            both = weight * others + (1 - weight) * smooth
            weight = float((weight * others / both).sum() / (len(judged) + 1))
        values = self.coordinates.values_of(r, distinct)
        return values, weight * counts / total

    def _log_units(self, r: int, numbers: Tensor) -> Tensor:
        """Log of the unit (n,) in which a counted value has its probability: see above."""
        d = int(self.coordinates.numeric[r])
        variable = self.coordinates.variables[d]
        if not variable.is_real:
            return torch.zeros_like(numbers)
        slopes = variable.transform.log_slope(variable.transform.inverse(numbers))
        return slopes + math.log(variable.resolution)

    def _share(self, r: int, numbers: Tensor) -> Tensor:
        """Probabilities (n,) that values have for being counted."""
        values = self.coordinates.values_of(r, numbers)
        found = torch.searchsorted(self.values[r], values).clamp(max=self.values.shape[1] - 1)
        return torch.where(self.values[r][found] == values, self.shares[r][found], 0.0)

    def _counted_below(self, r: int, numbers: Tensor) -> Tensor:
        """Sum (n,) of the probabilities of counted values below numbers (n,)."""
        values = self.coordinates.values_of(r, numbers)
        sums = torch.cat([self.shares.new_zeros(1), self.shares[r].cumsum(0)])
        return sums[torch.searchsorted(self.values[r], values)]

    def _known_places(self, r: int, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Rising places (P,) from end to end, and F (P,) there."""
        ranked, (middle, width, _) = numbers.unique(), self.tails[r]
        if len(ranked) > _PLACES:
            ranked = ranked[torch.linspace(0, len(ranked) - 1, _PLACES).long()]
        low, high = (ranked[0], ranked[-1]) if len(ranked) else (middle, middle)
        away = width * 2 ** torch.linspace(-8, 32, _TAIL_STEPS).double()
        between = low + torch.linspace(0, 1, _PLACES).double() * (high - low)
        at = torch.cat([low - away, between, ranked, high + away])
        counted = self.values[r][torch.isfinite(self.values[r])]
        if not self.coordinates.whole[r]:
            places = torch.cat([at, counted]).sort().values
            heights = self._cumulative(r, places)
            places = torch.stack([places, places], 1)
        else:
            variable = self.coordinates.variables[int(self.coordinates.numeric[r])]
            values = torch.cat([self.coordinates.values_of(r, at), counted])
            values = torch.cat([values, values.new_tensor(variable.atoms)])
            values = self.coordinates.inside(r, values).unique()
            heights = self._cumulative(r, self.coordinates.whole_at(r, values))
            places = torch.stack([values - 0.5, values + 0.5], 1)
        return places.flatten(), torch.stack(heights, 1).flatten().cummax(0).values


def _cauchy(z: Tensor) -> Tensor:
    return torch.atan(z) / torch.pi + 0.5


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


def padded(columns: Sequence[Tensor], value: float) -> Tensor:
    """Columns of different lengths as (R, longest), at least one long, filled with `value`."""
    width = max([1, *map(len, columns)])
    out = torch.full((len(columns), width), value, dtype=torch.float64)
    for row, column in zip(out, columns, strict=True):
        row[: len(column)] = column
    return out


def _extended(column: Tensor, width: int) -> Tensor:
    """A column with its last entry repeated to a length."""
    return torch.cat([column, column[-1:].expand(width - len(column))])
