"""Probability mathematics of one variable: log-probabilities and inverse cumulative functions.

Plain functions of tensors, vectorised over leading dimensions; all logarithms are natural (nats).
Legend: V values of a discrete variable, C mixture components.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Limits far outside of what any data need; they keep every intermediate number finite in float32.
MAX_LOG_SCALE = 30.0
MAX_LOCATION = 1e6

# Sums of exponentials between it and its inverse are as exact as float32 is.
_LEAST_SUM = 1e-30
_MINUS_ONE = torch.tensor(-1.0)


def constants(values: tuple[float, ...], like: Tensor) -> Tensor:
    """The numbers (V,) in the dtype and on the device of `like`.

    To a GPU they are moved once: a CUDA graph cannot record the move.
    """
    make = _kept if like.is_cuda else torch.tensor
    return make(values, dtype=like.dtype, device=like.device)


@lru_cache(maxsize=4096)
def _kept(values: tuple[float, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(-x)) for x (...) > 0, to full precision at both ends (Maechler 2012)."""
    # Each branch is fed numbers at which it is finite, so that its unused gradient is not NaN.
    small = x < math.log(2)
    near_zero = torch.log(-torch.expm1(-torch.where(small, x, 1.0)))
    far = torch.log1p(-torch.exp(-torch.where(small, 1.0, x)))
    return torch.where(small, near_zero, far)


def outside(x: Tensor, num_values: int) -> Tensor:
    """Where x (...), floating, is none of 0..num_values-1: too small, too large or NaN."""
    return ~((x >= 0) & (x < num_values))


def bernoulli_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """Log p(x) of a Bernoulli variable with p(1) = sigmoid(logits), all (...).

    That x is 0 or 1 (any dtype) is not checked: this is what training spends its time on.
    """
    # log sigmoid(+-logits) has no cancellation, unlike x * logits - softplus(logits).
    x = x.to(logits.dtype)
    signs = torch.add(_MINUS_ONE, x, alpha=2)  # one pass over x
    return F.logsigmoid(logits * signs)


def bernoulli_log_prob_vjp(logits: Tensor, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """`bernoulli_log_prob` outside autograd, and the pullback of its gradient to the logits."""
    signs = torch.add(_MINUS_ONE, x.to(logits.dtype), alpha=2)
    signed = logits * signs
    log_prob, kept = torch.ops.aten.log_sigmoid_forward.default(signed)

    def pullback(grad: Tensor) -> Tensor:
        grad = torch.ops.aten.log_sigmoid_backward.default(grad, signed, kept)
        return grad.mul_(signs)

    return log_prob, pullback


def categorical_log_prob(logits: Tensor, x: Tensor, is_normalised: bool = False) -> Tensor:
    """Log p(x) of a categorical variable with p = softmax(logits), logits (..., V).

    Values x (...) are 0..V-1, of any dtype; anything else has probability 0, log -inf. Logits that
    are normalised are log-probabilities as they stand.
    """
    # As floating numbers: the comparison of a uint8 tensor with 256 would wrap around.
    num_values, x = logits.shape[-1], x.to(logits.dtype)
    index = x.nan_to_num(0).clamp(0, num_values - 1).long()
    log_probs = logits if is_normalised else F.log_softmax(logits, -1)
    index, log_probs = torch.broadcast_tensors(index[..., None], log_probs)
    chosen = log_probs.gather(-1, index[..., :1]).squeeze(-1)
    return chosen.masked_fill(outside(x, num_values), -torch.inf)


def is_exact_sum(total: Tensor) -> Tensor:
    """Where sums (...) of exponentials have neither lost nor exceeded what float32 holds."""
    return (total > _LEAST_SUM) & (total < 1 / _LEAST_SUM)


def log_sum_exp(logits: Tensor) -> Tensor:
    """Log sum_k exp(logits_k) (...) of logits (K, ...), outside of autograd, in fewer passes."""
    total = logits.exp().sum(0)
    if bool(is_exact_sum(total).all()):
        return total.log_()
    most = logits.amax(0)
    return torch.sub(logits, most).exp_().sum(0).log_().add_(most)


def categorical_quantile(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Inverse cumulative function: the first value v with P(x <= v) > u.

    A value of probability zero is never returned, whatever the rounding of the cumulative sum.

    Args:
        probs: (..., V), >= 0, with a positive sum (which need not be one).
        uniforms: (...) in [0, 1]; 1 gives the last value of positive probability.

    Returns:
        (...) int64 in 0..V-1.
    """
    # Entries without mass repeat the sum before them, so that none of them is ever reached first.
    # A parallel cumulative sum need not even be monotone; cummax makes it so.
    cumulative = torch.where(probs > 0, probs.cumsum(-1), 0.0).cummax(-1).values.contiguous()
    total = cumulative[..., -1:].contiguous()
    target = (uniforms[..., None] * total).contiguous()
    first_above = torch.searchsorted(cumulative, target, right=True)
    last_with_mass = torch.searchsorted(cumulative, total)
    return torch.minimum(first_above, last_with_mass).squeeze(-1)


def logistic_cell_log_prob(
    below: Tensor, above: Tensor, width: Tensor, is_first: Tensor, is_last: Tensor
) -> Tensor:
    """Log of the mass that a standard logistic density gives to a cell; all (...).

    With a and b the lower and upper edge, sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a)
    (1 - exp(a - b)), whose logarithm is a sum of three stable terms.

    Args:
        below: The lower edge a.
        above: The upper edge b.
        width: b - a > 0, which may be too small to be their difference.
        is_first: Where the cell reaches to minus infinity instead of a.
        is_last: Where it reaches to plus infinity instead of b.
    """
    return (
        F.logsigmoid(above).masked_fill(is_last, 0.0)
        + F.logsigmoid(-below).masked_fill(is_first, 0.0)
        + log1mexp(width).masked_fill(is_first | is_last, 0.0)
    )


def normal_log_prob(z: Tensor, log_scales: Tensor) -> Tensor:
    """Log density of a normal variable z (...) standard deviations exp(log_scales) off its mean."""
    return -0.5 * (z * z) - log_scales - 0.5 * math.log(2 * math.pi)


def normal_quantile(uniforms: Tensor) -> Tensor:
    """Inverse cumulative function of the standard normal; finite for uniforms (...) in [0, 1]."""
    eps = torch.finfo(uniforms.dtype).eps
    return torch.special.ndtri(uniforms.clamp(eps, 1 - eps))


def mixture_log_prob(logits: Tensor, component_log_probs: Tensor) -> Tensor:
    """Log of sum_c softmax(logits)_c p_c (...), from logits and log p_c, both (..., C)."""
    return torch.logsumexp(F.log_softmax(logits, -1) + component_log_probs, -1)


def chosen_component(logits: Tensor, uniforms: Tensor, *values: Tensor) -> list[Tensor]:
    """Those (...) of values (..., C) that belong to the component drawn from logits (..., C).

    Of the uniforms (..., U) in [0, 1] it takes the first.
    """
    index = categorical_quantile(torch.softmax(logits, -1), uniforms[..., 0])[..., None]
    return [value.gather(-1, index).squeeze(-1) for value in values]


def floored_log_scale(raw: Tensor, floor: float) -> Tensor:
    """log(floor + exp(raw)): any number raw (...) as the log of a scale above floor > 0."""
    return torch.log(floor + torch.exp(raw.clamp(max=MAX_LOG_SCALE)))
