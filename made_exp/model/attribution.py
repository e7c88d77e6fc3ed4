"""What each variable has in the likelihood of a mixture, so that the parts add up to the whole.

A component m has log p_m(x) = sum_d l_md by its own ordering, but a mixture has no ordering. Let
the components' log-probabilities grow from nothing to what they are:

    F(t) = log sum_m w_m p_m(x)^t,   F(0) = 0,   F(1) = log p(x),   F'(t) = sum_m r_m(t) log p_m(x),

with r(t) the posterior of the components at t. So with R_m the mean of r_m over t in 0..1

    log p(x) = sum_m R_m log p_m(x) = sum_d sum_m R_m l_md,

and variable d has sum_m R_m l_md (Aumann and Shapley 1974): exactly l_d where the components agree
on it, and no remainder.
"""

import math

import torch
from torch import Tensor

# Points in 0..1, close together near 0, where the posterior of bad components changes.
_NUM_POINTS = 48
# Nats: what a component gives to an example that it holds for impossible, so that sums exist.
_LEAST = -1e5


def component_shares(log_probs: Tensor, log_weights: Tensor) -> Tensor:
    """The shares R (M, N), which sum to one over components.

    Args:
        log_probs: (M, N) float64, finite: of each example under each component, nats.
        log_weights: (M,) of the components; sum to one.
    """
    weights = log_weights.to(log_probs)[:, None]
    relative = log_probs - log_probs.max(0).values  # only differences matter
    shares = torch.zeros_like(log_probs)
    for point, width in _points():
        shares.add_(torch.add(weights, relative, alpha=point).softmax(0), alpha=width)
    return _made_exact(shares, log_probs, weights)


def _made_exact(shares: Tensor, log_probs: Tensor, weights: Tensor) -> Tensor:
    """The shares, mixed with what errs to the other side as far as makes the sum exact.

    By the prior the sum is at most log p(x), by the posterior at least.
    """
    total = (log_probs + weights).logsumexp(0)
    posterior, prior = (log_probs + weights - total).exp(), weights.exp().expand_as(shares)
    reached = (shares * log_probs).sum(0)
    other = torch.where(reached < total, posterior, prior)
    distance = (other * log_probs).sum(0) - reached
    mixed = ((total - reached) / distance).nan_to_num(0.0, 0.0, 0.0).clamp(0, 1)
    return shares + mixed * (other - shares)


def _points() -> list[tuple[float, float]]:
    """Points t = s^3 in 0..1 with the widths that they stand for: the middle rule in s."""
    middles = [(k + 0.5) / _NUM_POINTS for k in range(_NUM_POINTS)]
    widths = [3 * s * s / _NUM_POINTS for s in middles]
    whole = math.fsum(widths)
    return [(s**3, width / whole) for s, width in zip(middles, widths, strict=True)]


def split_by_variable(terms: Tensor, log_weights: Tensor) -> Tensor:
    """Parts (N, D) of the variables in log p(x) of a mixture, which they add up to.

    Args:
        terms: (M, N, D) float64 log-probability of each variable given those before it in the
            ordering of each component, nats.
        log_weights: (M,) of the components; sum to one.

    Where no component gives an example any probability, the variables that all of them exclude
    have -inf, and the others what they have without these.
    """
    if len(terms) == 1:
        return terms[0]
    if bool((terms >= _LEAST).all()):
        return _weighted_sum(component_shares(terms.sum(2), log_weights), terms)
    excluded = terms == -torch.inf
    impossible = excluded.any(2).all(0)
    by_all = excluded.all(0)
    # Where each component excludes another variable, all of these are to blame.
    blamed = impossible[:, None] & torch.where(by_all.any(1, keepdim=True), by_all, excluded.any(0))
    finite = terms.masked_fill(blamed, 0).clamp(min=_LEAST)
    parts = _weighted_sum(component_shares(finite.sum(2), log_weights), finite)
    return parts.masked_fill(blamed, -torch.inf)


def _weighted_sum(shares: Tensor, terms: Tensor) -> Tensor:
    """Sum (N, D) over components of shares (M, N) times terms (M, N, D), in one pass."""
    total = torch.zeros_like(terms[0])
    for share, term in zip(shares, terms, strict=True):
        total.addcmul_(share[:, None], term)
    return total
