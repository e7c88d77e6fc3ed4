"""The log-probability of numbers whose params stand first, outside of training.

    log sum_k e_k f_k(x) - log sum_k e_k   with e_k = exp(logit_k),

as it is written: a logarithm of each term would take most of the time. Where that leaves the range
in which sums are exact, the plain way answers.

Legend: K params, C components, S special codes; arrays are (..., of examples).
"""

from typing import Protocol

import torch
from torch import Tensor

from made_exp.variables.distributions import is_exact_sum
from made_exp.variables.numbers import ATOM, Numbers


class Mixture(Protocol):
    """What is asked of a conditional of numbers, see `NumberMixture`."""

    @property
    def num_components(self) -> int:
        """C."""

    @property
    def numbers(self) -> Numbers:
        """Where values lie."""

    @property
    def num_special(self) -> int:
        """S."""

    @property
    def has_echoes(self) -> bool:
        """Whether values come again."""

    @property
    def is_wide(self) -> bool:
        """Whether codes are float64."""

    def smooth(self, codes: Tensor, means: Tensor, raw_scales: Tensor) -> Tensor:
        """Density or mass (C, ...) of codes (...) in each component."""

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """The plain way."""


def log_prob_of_numbers(mixture: Mixture, params: Tensor, x: Tensor) -> Tensor:
    """Log-probability (...) of codes x, which broadcast, of a single variable.

    Args:
        mixture: The conditional.
        params: (K, ...).
        x: Codes, none of them NaN.
    """
    mass, total = _sums(mixture, params, x)
    found, is_exact = mass.log().sub_(total.log()), is_exact_sum(mass) & is_exact_sum(total)
    if not bool(is_exact.all()):
        odd = ~is_exact
        found[odd] = mixture.log_prob(params[:, odd].t(), x.expand(odd.shape)[odd])
    return found


def _sums(mixture: Mixture, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The two sums (...)."""
    count, numbers = mixture.num_components, mixture.numbers
    logits, smooth = params[: len(params) - 2 * count], params[-2 * count :]
    weights = logits[:count].exp()
    # Only the place of a cell needs float64 where numbers are wide.
    density = mixture.smooth(x, *(smooth.double() if mixture.is_wide else smooth).split(count))
    mass = (density.to(weights) * weights).sum(0)
    if mixture.num_special:
        place = torch.where(x <= ATOM, ATOM - x, mixture.num_special).long()
        is_special, index = place < mixture.num_special, place.clamp(max=mixture.num_special - 1)
        own = logits[count:].gather(0, index.expand(1, *params.shape[1:]))[0].exp_()
        own.mul_(torch.where(is_special, numbers.special_logs[index].exp(), 0.0).to(own))
        mass = torch.where(numbers.is_missing(x), own, mass.add_(own))
    if mixture.has_echoes:
        mass.add_(logits[-1].exp().mul_(numbers.echo_logs(x).exp().to(mass)))
    return mass, logits.exp().sum(0)
