"""What the conditionals of numbers have in common: smooth components beside atoms.

    p(x) = sum_c w_c f_c(z) + sum_k w_k [x = atom k] / resolution + w_e e(x) / resolution,

over C smooth components, A atoms and, where x may be missing, one more for that, and the values
that come again (`Echoes`), if there are any, with the weights w = softmax(logits) of all of them.

Legend: G variables, C components, S special codes (atoms and missing), E = 1 with echoes, else 0;
K = 3C + S + E.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.base import (
    Conditional,
    Pullback,
    observed_values,
    spread_locations,
)
from made_exp.variables.conditionals.turned import log_prob_of_numbers
from made_exp.variables.distributions import (
    MAX_LOCATION,
    MAX_LOG_SCALE,
    categorical_quantile,
)
from made_exp.variables.numbers import ATOM, Numbers
from made_exp.variables.restricted import Restricted
from made_exp.variables.restricted_number import RestrictedNumber
from made_exp.variables.subset import Subset

# Params whose derivatives are computed together.
_CACHED = 2**18


@dataclass(frozen=True)
class NumberMixture(Conditional):
    """A mixture over the codes of a group of numbers.

    The K raw numbers are C + S + E logits, C means in units of z, and C raw scales r: the scale is
    min_scale + unit exp(r). A draw uses two uniform numbers: the component, then the inverse of
    its cumulative function. The density is that of z; `Numbers.log_slopes` makes it that of x.

    Attributes:
        num_components: C >= 1.
        numbers: Where the values lie. Two conditionals that differ in this alone are equal.
        num_atoms: A, and
        may_be_missing: whether there is one more: S is their sum.
        has_echoes: Whether values come again: E.
        is_wide: Whether it is computed in float64 whatever the params are.
    """

    num_components: int
    numbers: Numbers = field(compare=False, repr=False)
    num_atoms: int = field(init=False)
    may_be_missing: bool = field(init=False)
    has_echoes: bool = field(init=False)
    is_wide: bool = field(init=False)
    num_uniforms: ClassVar[int] = 2
    _unit: ClassVar[float]

    def __post_init__(self) -> None:
        for name in ("num_atoms", "may_be_missing", "is_wide"):
            object.__setattr__(self, name, getattr(self.numbers, name))
        object.__setattr__(self, "has_echoes", self.numbers.echoes is not None)

    @property
    @override
    def codes_are_numbers(self) -> bool:
        return True

    @property
    def num_special(self) -> int:
        """S."""
        return self.num_atoms + self.may_be_missing

    @property
    @override
    def num_params(self) -> int:
        return 3 * self.num_components + self.num_special + self.has_echoes

    @override
    def of_group(self, numbers: Numbers | None) -> Self:
        assert numbers is not None
        return type(self)(self.num_components, numbers)

    @abstractmethod
    def _log_smooth(self, codes: Tensor, means: Tensor, scales: Tensor) -> Tensor:
        """Log-density in z, or log-mass, of codes (..., G), of which none is missing.

        Means, scales and the answer are (C, ..., G).
        """

    @abstractmethod
    def _smooth(self, codes: Tensor, means: Tensor, inverse_scales: Tensor) -> Tensor:
        """What `_log_smooth` is the logarithm of, where floating numbers can hold it."""

    def smooth(self, codes: Tensor, means: Tensor, raw_scales: Tensor) -> Tensor:
        """Density or mass (C, ...) of codes (...) in each component, means and scales raw."""
        codes = self._wide(codes, means)
        return self._smooth(codes, _limited(means), self._scales(raw_scales).reciprocal_())

    @abstractmethod
    def _log_smooth_vjp(
        self, codes: Tensor, means: Tensor, inverse_scales: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`_log_smooth` and its derivatives by means and log scales, all (C, ..., G)."""

    @staticmethod
    @abstractmethod
    def standard_cdf(x: Tensor) -> Tensor:
        """Cumulative function (...) of a component of mean 0 and scale 1."""

    @staticmethod
    @abstractmethod
    def standard_quantile(u: Tensor) -> Tensor:
        """Inverse (...) of `standard_cdf` for u (...) in 0..1."""

    @abstractmethod
    def _smooth_quantile(self, uniforms: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """Code (..., G) of a component at cumulative probability uniforms, all (..., G)."""

    @override
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        params = params.expand(*[1] * (1 + x.ndim - params.ndim), *params.shape)
        logits, means, raw_scales = self._parts(params)
        log_smooth = self._log_smooth(self._wide(x, params), means, self._scales(raw_scales))
        log_probs = torch.log_softmax(logits, 0) + self._joined(log_smooth, x)
        return log_probs.logsumexp(0).to(params.dtype)

    @override
    def log_prob_turned(self, params: Tensor, x: Tensor) -> Tensor:
        return log_prob_of_numbers(self, params, x)

    @override
    @torch.no_grad()
    def log_probs_vjp(self, params: Tensor, x: Tensor) -> tuple[Tensor, Pullback]:
        """Written out: to autograd, the many small operations are most of a step."""
        # So many rows at a time, alike, that what is computed of them stays in the cache.
        rows = math.ceil(len(x) / math.ceil(params.numel() / _CACHED))
        parts = zip(params.split(rows), x.split(rows), strict=True)
        log_probs, slopes = zip(*(self._slopes(*part) for part in parts), strict=True)

        def pullback(grad: Tensor) -> Tensor:
            found = params.new_empty(params.shape)
            own = zip(found.split(rows), slopes, grad.split(rows), strict=True)
            for part, slope, by_log_prob in own:
                turned = (slope * by_log_prob).movedim(0, -1)
                part.view(turned.shape).copy_(turned)
            return found

        found = log_probs[0] if len(log_probs) == 1 else torch.cat(log_probs)
        return found.to(params.dtype), pullback

    def _slopes(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, G) and their derivatives by the params, (K, B, G)."""
        turned = self._turned(params.view(*x.shape, self.num_params))
        logits, raw_means, raw_scales = self._split(turned)
        means, inverse_scales = _limited(raw_means), self._scales(raw_scales).reciprocal_()
        smooth, by_mean, by_scale = self._log_smooth_vjp(
            self._wide(x, params), means, inverse_scales
        )
        weights, total, log_total = _exponentials(logits)
        shares, joint, log_prob = _exponentials(self._joined(smooth, x).add_(logits))
        own = shares.div_(joint)[: self.num_components]
        slopes = torch.empty_like(turned)
        by_logit, by_raw_mean, by_raw_scale = self._split(slopes)
        torch.addcdiv(shares, weights, total, value=-1, out=by_logit)
        torch.mul(by_mean, own, out=by_raw_mean)
        # d log s / dr = 1 - min_scale / s for the scale s = min_scale + unit exp(r).
        least = self.numbers.min_scale.to(own)
        by_scale.mul_(own)
        torch.mul(by_scale, inverse_scales.mul_(-least).add_(1), out=by_raw_scale)
        # Where raw numbers are cut off there is no slope.
        low, high = torch.aminmax(raw_means)
        if low < -MAX_LOCATION or high > MAX_LOCATION:
            by_raw_mean.masked_fill_(raw_means != means, 0.0)
        if raw_scales.amax() > MAX_LOG_SCALE:
            by_raw_scale.masked_fill_(raw_scales > MAX_LOG_SCALE, 0.0)
        return log_prob.sub_(log_total), slopes

    @override
    def sample(self, params: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        logits, means, raw_scales = self._parts(params)
        weights = torch.softmax(logits / temperature, 0).movedim(0, -1)
        chosen = categorical_quantile(weights, uniforms[..., 0].to(weights.dtype))
        index = chosen.clamp(max=self.num_components - 1)[None]
        mean, raw_scale = (part.gather(0, index)[0] for part in (means, raw_scales))
        scale = self._scales(raw_scale) * temperature
        drawn = self._smooth_quantile(uniforms[..., 1], mean, scale)
        if self.num_special or self.has_echoes:
            if (
                not self.numbers.is_real
            ):  # a smooth component may draw what is an atom, or comes again
                drawn = self.numbers.encode(drawn)
            special = ATOM + self.num_components - chosen
            drawn = torch.where(chosen < self.num_components, drawn, special)
        if self.numbers.echoes is not None:
            is_echo = chosen == self.num_components + self.num_special
            drawn = drawn - is_echo * self.numbers.echoes.draw(uniforms[..., 1])
        return drawn if self.is_wide else drawn.to(params.dtype)

    def parts(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights (C + S + E, ...), means and scales (C, ...) of a single variable, float64."""
        logits, means, raw_scales = self._parts(params.double())
        return torch.log_softmax(logits, 0), means, self._scales(raw_scales)

    @override
    def restricted(self, subsets: Sequence[Subset], device: torch.device) -> Restricted:
        return RestrictedNumber.of(self, subsets)

    @override
    def initial_params(self, x: Tensor) -> Tensor:
        """Raw numbers (K,) that suit codes x (N,) of a single variable."""
        codes = observed_values(x)
        is_special = self.numbers.is_special(codes)
        counts, smooth = is_special.sum(0).to(codes.dtype), codes[~is_special.any(-1)]
        # Half a count to each, as elsewhere; the smooth part is shared by its components, and
        # echoes begin with as much.
        counts = torch.cat([counts, counts.new_full((int(self.has_echoes),), len(smooth))])
        logits = torch.log((counts + 0.5) / (len(smooth) + 0.5)) + math.log(self.num_components)
        z = self.numbers.z(smooth)
        if len(z) == 0 or bool((z == z[0]).all()):
            middle = z[0].item() if len(z) else 0.0
            z = middle + torch.linspace(-1, 1, 101, dtype=codes.dtype, device=codes.device)
        means = spread_locations(z, self.num_components)
        scale = max(self._first_scale(z.std(correction=0).item()), 1e-6)
        raw_scales = torch.full_like(means, math.log(scale / self._unit))
        return torch.cat([torch.zeros_like(means), logits, means, raw_scales])

    @abstractmethod
    def _first_scale(self, deviation: float) -> float:
        """Scale of each component where the standard deviation of z is this."""

    def _parts(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (C + S + E, ...), means and raw scales (C, ...), wide where needed."""
        logits, means, raw_scales = self._split(self._turned(params))
        return logits, _limited(means), raw_scales

    def _turned(self, params: Tensor) -> Tensor:
        """Params (K, ...) of params (..., K): along the last, short dimension all would be slow."""
        turned = params.movedim(-1, 0).contiguous()
        return turned.double() if self.is_wide else turned

    def _split(self, turned: Tensor) -> tuple[Tensor, ...]:
        """What of params (K, ...) are logits, means and raw scales."""
        count = self.num_components
        return turned.split([self.num_params - 2 * count, count, count])

    def _scales(self, raw: Tensor) -> Tensor:
        grown = raw.clamp(max=MAX_LOG_SCALE).exp()
        return torch.add(self.numbers.min_scale.to(raw), grown, alpha=self._unit)

    def _wide(self, codes: Tensor, params: Tensor) -> Tensor:
        return codes.to(torch.float64 if self.is_wide else params.dtype)

    def _joined(self, log_smooth: Tensor, codes: Tensor) -> Tensor:
        """Log f (C + S + E, ..., G) of all: smooth ones, [x is special] / res, e(x) / res."""
        numbers, codes = self.numbers, codes.expand(log_smooth.shape[1:])
        parts = [log_smooth]
        if self.num_special:
            logs = numbers.special_logs.to(log_smooth).movedim(-1, 0)
            is_special = numbers.is_special(codes).movedim(-1, 0)
            if logs.ndim == 1:  # of a single variable
                logs = logs.view(-1, *[1] * (log_smooth.ndim - 1))
            elif log_smooth.ndim > 2:
                logs = logs.view(len(logs), *[1] * (log_smooth.ndim - 2), -1)
            if numbers.may_be_missing:
                parts[0] = log_smooth.masked_fill(is_special[-1], -torch.inf)
            parts.append(torch.where(is_special, logs, -torch.inf))
        if self.has_echoes:
            parts.append(numbers.echo_logs(codes).to(log_smooth)[None])
        return torch.cat(parts) if len(parts) > 1 else log_smooth


def _limited(means: Tensor) -> Tensor:
    return means.clamp(-MAX_LOCATION, MAX_LOCATION)


def _exponentials(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Exp(logits - m) (C, ...), m the largest; its sum (...); the log of that of exp(logits)."""
    most = logits.amax(0)
    weights = torch.sub(logits, most).exp_()
    total = weights.sum(0)
    return weights, total, total.log().add_(most)
