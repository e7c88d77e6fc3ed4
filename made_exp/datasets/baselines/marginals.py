"""Densities of single numbers: kernels at quantiles of train, and values that are counted.

    p(t) = sum_v s_v [t = v] / unit + (1 - sum_v s_v) f(t),

with f the kernels and a Cauchy density of a share of 1 / (N + 1), so that no value is impossible.
A whole number has the mass of its cell, the unit is 1; values of real numbers that come again have
the unit of an atom. Where a whole number has atoms, f has nothing in their cells.

Legend: N rows, R numbers, t their coordinates, F the cumulative function.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from made_exp.datasets.baselines.coordinates import Coordinates
from made_exp.datasets.baselines.fitted import FittedTables
from made_exp.datasets.baselines.smoothing import kernels, tail
from made_exp.variables.distributions import normal_log_prob

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
        found = [kernels(column) for column in columns]
        self.knots = padded([knots for knots, _ in found], torch.inf)
        self.widths = padded([widths for _, widths in found], 1.0)
        self.tails = torch.stack([tail(column) for column in columns])
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
            share = self._share(r, known)
            # Beyond the largest number units are 0: only of what is counted.
            counted = (share.log() - self._log_units(r, known)).where(share > 0, -torch.inf)
            found = torch.cat([torch.logaddexp(counted, smooth), known.new_zeros(len(values))])
            out[:, r] = found[index.where(~torch.isnan(column), len(known))]
        return out

    def cumulative(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """F (N, R) up to numbers, without what has its mass there and with it; NaN where NaN."""
        lower, upper = torch.empty_like(numbers), torch.empty_like(numbers)
        for r, column in enumerate(numbers.T):
            lower[:, r], upper[:, r] = self.cumulative_of(r, column)
        return lower, upper

    def cumulative_of(self, r: int, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """`cumulative` of the r-th number alone, (n,)."""
        known = ~torch.isnan(numbers)
        distinct, index = numbers[known].unique(return_inverse=True)
        edges = self.coordinates.cell(r, distinct)
        below, share = self._counted_below(r, distinct), self._share(r, distinct)
        pair = self._cdf(r, edges[0]) + below, self._cdf(r, edges[1]) + below + share
        lower, upper = torch.empty_like(numbers), torch.empty_like(numbers)
        for out, part in zip((lower, upper), pair, strict=True):
            out.fill_(torch.nan)[known] = part.clamp(0, 1)[index]
        return lower, upper

    def up_to(self, r: int, t: Tensor) -> Tensor:
        """F (n,) of the r-th number at t (n,), which are no values that have a mass."""
        transform = self.coordinates.variables[int(self.coordinates.numeric[r])].transform
        values = transform.inverse(t) if self.coordinates.whole[r] else t
        return self._cdf(r, t) + self._shares_below(r, values)

    def jumps(self, r: int) -> bool:
        """Whether values of the r-th number have masses."""
        return bool(self.coordinates.whole[r]) or bool(self.shares[r].any())

    def quantile(self, uniforms: Tensor) -> Tensor:
        """Numbers (N, R) at which F is uniforms (N, R): between known places it is a line."""
        columns = [self.quantile_of(r, own) for r, own in enumerate(uniforms.T)]
        return torch.stack(columns, 1) if columns else uniforms

    def quantile_of(self, r: int, uniforms: Tensor) -> Tensor:
        """`quantile` of the r-th number alone, (n,)."""
        places, heights = self.places[r], self.heights[r]
        above = torch.searchsorted(heights, uniforms.contiguous(), right=True)
        above = above.clamp(1, len(heights) - 1)
        low, high = heights[above - 1], heights[above]
        part = ((uniforms - low) / (high - low).clamp(min=1e-300)).clamp(0, 1)
        at = places[above - 1] + part * (places[above] - places[above - 1])
        return self.coordinates.whole_at(r, at) if self.coordinates.whole[r] else at

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
        own = self.coordinates.values_of(r, distinct)
        values, counts = own, counts.double()
        if variable.echoes and not variable.is_real:  # full days among times: also unseen ones
            values = torch.tensor(variable.echoes, dtype=torch.float64)
            counts = torch.tensor(variable.echo_counts, dtype=torch.float64)
        place = torch.searchsorted(values, own).clamp(max=len(values) - 1)
        left = torch.where(values[place] == own, counts[place] - 1, 0.0) / (counts.sum() - 1)
        judged = inverse[:: 1 + total // _MAX_JUDGED]
        others = left / self._log_units(r, distinct).exp()
        smooth = torch.zeros_like(others)
        asked = judged.unique()
        smooth[asked] = self._log_smooth(r, distinct[asked]).exp()
        others, smooth, weight = others[judged], smooth[judged], 0.5
        for _ in range(100):
            both = weight * others + (1 - weight) * smooth
            weight = float((weight * others / both).sum() / (len(judged) + 1))
        return values, weight * counts / counts.sum()

    def _log_units(self, r: int, numbers: Tensor) -> Tensor:
        """Log of the unit (n,) in which a counted value has its probability: see above."""
        d = int(self.coordinates.numeric[r])
        variable = self.coordinates.variables[d]
        if not variable.is_real:
            return torch.zeros_like(numbers)
        values = variable.transform.inverse(numbers)
        return variable.transform.log_slope(values) + variable.log_cells(values)

    def _share(self, r: int, numbers: Tensor) -> Tensor:
        """Probabilities (n,) that values have for being counted."""
        values = self.coordinates.values_of(r, numbers)
        found = torch.searchsorted(self.values[r], values).clamp(max=self.values.shape[1] - 1)
        return torch.where(self.values[r][found] == values, self.shares[r][found], 0.0)

    def _counted_below(self, r: int, numbers: Tensor) -> Tensor:
        """Sum (n,) of the probabilities of counted values below numbers (n,)."""
        return self._shares_below(r, self.coordinates.values_of(r, numbers))

    def _shares_below(self, r: int, values: Tensor) -> Tensor:
        sums = torch.cat([self.shares.new_zeros(1), self.shares[r].cumsum(0)])
        return sums[torch.searchsorted(self.values[r], values.contiguous())]

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
            heights = self.cumulative_of(r, places)
            places = torch.stack([places, places], 1)
        else:
            variable = self.coordinates.variables[int(self.coordinates.numeric[r])]
            values = torch.cat([self.coordinates.values_of(r, at), counted])
            values = torch.cat([values, values.new_tensor(variable.atoms)])
            values = self.coordinates.inside(r, values).unique()
            heights = self.cumulative_of(r, self.coordinates.whole_at(r, values))
            places = torch.stack([values - 0.5, values + 0.5], 1)
        return places.flatten(), torch.stack(heights, 1).flatten().cummax(0).values


def _cauchy(z: Tensor) -> Tensor:
    return torch.atan(z) / torch.pi + 0.5


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
