"""A mixture of smooth components, atoms and echoes restricted to subsets of the numbers.

Legend: B examples, S subsets, C components, A special codes (atoms and missing), V echoes, I
intervals of a subset.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.distributions import categorical_quantile
from made_exp.variables.numbers import ATOM, Numbers
from made_exp.variables.restricted import Restricted
from made_exp.variables.subset import Subset

_SAFE = 1e-300


class Mixture(Protocol):
    """What is asked of a conditional of numbers, see `NumberMixture`."""

    @property
    def numbers(self) -> Numbers:
        """Where values lie."""

    @property
    def is_wide(self) -> bool:
        """Whether codes are float64."""

    def parts(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, means and scales of a single variable, components first."""

    @staticmethod
    def standard_cdf(x: Tensor) -> Tensor:
        """Cumulative function of a component of mean 0 and scale 1."""

    @staticmethod
    def standard_quantile(u: Tensor) -> Tensor:
        """Its inverse."""


@final
@dataclass(frozen=True, eq=False)
class RestrictedNumber(Restricted):
    """The distribution of one number inside subsets.

    Attributes:
        mixture: Its conditional.
        low: (I, S) lower ends of intervals in z, float64; where there are fewer, low = high.
        high: (I, S) upper ends.
        first: (I, S) the same ends in data space, of whole numbers the first of each interval.
        last: (I, S) the last of each.
        specials: (A, S) float64, 1 for atoms that are in, and for a missing value.
        echoes: (S,) share of the echoes that is in; (0,) without echoes.
        ends: (V, S) its cumulative sums, from echo to echo.
    """

    mixture: Mixture
    low: Tensor
    high: Tensor
    first: Tensor
    last: Tensor
    specials: Tensor
    echoes: Tensor
    ends: Tensor

    @classmethod
    def of(cls, mixture: Mixture, subsets: Sequence[Subset]) -> Self:
        """Of these subsets."""
        numbers = mixture.numbers
        most = max(1, *(len(subset.intervals) for subset in subsets))
        padded = [[*s.intervals, *[(0.0, 0.0)] * (most - len(s.intervals))] for s in subsets]
        device = numbers.num_values.device
        first, last = torch.tensor(padded, dtype=torch.float64, device=device).movedim(-1, 0).mT
        low, high = _in_z(numbers, first), _in_z(numbers, last)
        levels = numbers.special_levels.to(torch.float64).clone()
        if numbers.may_be_missing:
            levels[-1] = math.nan
        specials = torch.stack([subset.contains(levels) for subset in subsets], 1).double()
        ends = specials.new_zeros(0, len(subsets))
        if numbers.echoes is not None:
            shares = numbers.echoes.log_shares.exp()
            inside = [subset.contains(numbers.echoes.levels) for subset in subsets]
            ends = (torch.stack(inside, 1) * shares[:, None]).cumsum(0)
        return cls(mixture, low, high, first, last, specials, ends[-1:].flatten(), ends)

    @override
    def mass(self, params: Tensor, index: Tensor | None = None) -> Tensor:
        return self._mass(*self._parts(params), index)

    @override
    def masses(self, params: Tensor) -> Tensor:
        parts = self._parts(params)
        index = torch.arange(self.low.shape[1], device=params.device)
        return torch.stack([self._mass(*parts, one) for one in index.split(1)], 1)

    def _mass(self, weights: Tensor, means: Tensor, scales: Tensor, index: Tensor | None) -> Tensor:
        smooth = self._smooth(means, scales, index)[0].sum(0)
        return self._components(weights, smooth, index).sum(0)

    @override
    def draw(
        self, params: Tensor, uniforms: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        weights, means, scales = self._parts(params)
        by_interval, edges = self._smooth(means, scales, index)
        masses = self._components(weights, by_interval.sum(0), index)
        uniforms = uniforms.double()
        chosen = categorical_quantile(masses.T, uniforms[:, 0])
        count = len(means)
        codes = self._drawn(
            chosen.clamp(max=count - 1), by_interval, edges, scales, means, uniforms[:, 1], index
        )
        special = (ATOM + count - chosen).double()
        codes = torch.where(chosen < count, codes, special)
        if len(self.echoes):
            is_echo = chosen == len(masses) - 1
            place = self._echo(uniforms[:, 1], index)
            codes = torch.where(is_echo, ATOM - len(self.specials) - place, codes)
        return masses.sum(0), codes if self.mixture.is_wide else codes.to(params.dtype)

    def _echo(self, uniforms: Tensor, index: Tensor | None) -> Tensor:
        """Which echo (B,) is drawn at uniforms (B,)."""
        ends = self.ends[:, 0] if index is None else self.ends
        if index is None:
            return _first_above(ends, uniforms)
        places = [_first_above(column, uniforms) for column in ends.T.contiguous()]
        return torch.stack(places).gather(0, index[None])[0]

    def _parts(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_weights, means, scales = self.mixture.parts(params)
        return log_weights.exp(), means, scales

    def _components(self, weights: Tensor, smooth: Tensor, index: Tensor | None) -> Tensor:
        """Masses (C + A + E, B) inside of all that is mixed, from those (C, B) of smooth ones."""
        parts = [smooth]
        if len(self.specials):
            parts.append(self._of(self.specials, index).expand(-1, smooth.shape[1]))
        if len(self.echoes):
            parts.append(self._of(self.echoes, index)[None].expand(1, smooth.shape[1]))
        return torch.cat(parts) * weights

    @staticmethod
    def _of(table: Tensor, index: Tensor | None) -> Tensor:
        """The columns (..., B) of a table (..., S) of each example, or (..., 1) of the only one."""
        return table if index is None else table[..., index]

    def _smooth(
        self, means: Tensor, scales: Tensor, index: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Masses (I, C, B) of intervals in each component, and their ends, standardised.

        Ends above the mean are turned below it, where the cumulative function is precise: lower
        and upper ones and whether they are turned, all (I, C, B).
        """
        low, high = (self._of(table, index)[:, None] for table in (self.low, self.high))
        low, high = (low - means) / scales, (high - means) / scales
        turned = low > 0
        low, high = torch.where(turned, -high, low), torch.where(turned, -low, high)
        cdf = self.mixture.standard_cdf
        return (cdf(high) - cdf(low)).clamp(min=0), (low, high, turned)

    def _drawn(
        self,
        component: Tensor,
        by_interval: Tensor,
        edges: tuple[Tensor, Tensor, Tensor],
        scales: Tensor,
        means: Tensor,
        uniforms: Tensor,
        index: Tensor | None,
    ) -> Tensor:
        """Codes (B,) of smooth components (B,) inside their intervals, at uniforms (B,)."""
        own = by_interval.gather(1, component.expand(len(by_interval), 1, -1))[:, 0]  # (I, B)
        total = own.sum(0)
        place = categorical_quantile(own.T, uniforms)
        before = (own.cumsum(0) - own).gather(0, place[None])[0]
        inside = own.gather(0, place[None])[0].clamp(min=_SAFE)
        share = ((uniforms * total - before) / inside).clamp(0, 1)
        columns = torch.arange(len(place), device=place.device)
        low, high, turned = (end[place, component, columns] for end in edges)
        share = torch.where(turned, 1 - share, share)
        cdf = self.mixture.standard_cdf(low)
        x = self.mixture.standard_quantile(cdf + share * inside)
        x = torch.minimum(torch.maximum(x, low), high)
        x = torch.where(turned, -x, x).nan_to_num(0.0, 1e6, -1e6)
        z = means[component, columns] + scales[component, columns] * x
        return self._codes(z, place, columns, index)

    def _codes(self, z: Tensor, place: Tensor, columns: Tensor, index: Tensor | None) -> Tensor:
        """Codes (B,) at z (B,), of whole numbers those inside the interval at `place` (B,)."""
        numbers = self.mixture.numbers
        if numbers.is_real:
            return z.clamp(-1e6, 1e6)
        first, last = self._of(self.first, index), self._of(self.last, index)
        at = columns if index is not None else columns * 0
        low = (first[place, at] + 0.5).clamp(min=0)
        high = torch.minimum(last[place, at] - 0.5, numbers.num_values - 1)
        value = torch.floor(numbers.inverse(z) + 0.5)
        return numbers.encode(torch.minimum(torch.maximum(value, low), high))


def _first_above(ends: Tensor, uniforms: Tensor) -> Tensor:
    """The first place (B,) whose cumulative sum is above a share (B,) of the whole, ends (V,)."""
    found = torch.searchsorted(ends, (uniforms * ends[-1]).contiguous(), right=True)
    return found.minimum(torch.searchsorted(ends, ends[-1:]))


def _in_z(numbers: Numbers, ends: Tensor) -> Tensor:
    """Z (I, S) of ends of intervals; those at the ends of the range are infinite."""
    z = numbers.forward(ends.flatten()).view(ends.shape)
    z = torch.where(ends.isinf(), ends, z)
    z = z.masked_fill(ends >= numbers.num_values - 0.5, math.inf)
    if numbers.is_real:
        return z
    return z.masked_fill(ends <= -0.5, -math.inf)
