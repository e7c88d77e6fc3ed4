"""Likelihood as a result: mean, standard error, units, number of orderings."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any, Self

import torch
from torch import Tensor

from made_exp.model.made import MADE

Each = Callable[..., Iterable[Any]]
"""Calls a function with each of several values, in their order, as `map` does."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Negative log-likelihood of one split.

    Attributes:
        nll: Mean over examples, nats per example; infinite where one has probability zero.
        nll_stderr: Standard error of that mean over examples, nats; NaN where it is not known.
        nll_per_dim: nll / D, nats per variable, of those D that are not given.
        bits_per_dim: nll / (D ln 2), bits per variable.
        num_examples: Number of examples N.
        num_orderings: Orderings in the mixture.
        log_probs: (N,) float64 on the CPU, nats.
    """

    nll: float
    nll_stderr: float
    nll_per_dim: float
    bits_per_dim: float
    num_examples: int
    num_orderings: int
    log_probs: Tensor

    @classmethod
    def from_log_probs(cls, log_probs: Tensor, num_dims: int, num_orderings: int) -> Self:
        """Summarise log-probabilities (N,) of examples of `num_dims` variables."""
        log_probs = log_probs.detach().to("cpu", torch.float64)
        count, nll = len(log_probs), -float(log_probs.mean())
        return cls(
            nll=nll,
            nll_stderr=float(_stderr(log_probs)),
            nll_per_dim=nll / num_dims,
            bits_per_dim=nll / (num_dims * math.log(2)),
            num_examples=count,
            num_orderings=num_orderings,
            log_probs=log_probs,
        )

    def as_dict(self) -> dict[str, float | int]:
        """The numbers of this evaluation, as they stand in results.json."""
        return {name: number for name, number in vars(self).items() if name != "log_probs"}


@torch.no_grad()
def evaluate(
    model: MADE,
    x: Tensor,
    *,
    context: Tensor | None = None,
    num_orderings: int | None = None,
    batch_size: int = 1000,
    each: Each = map,
) -> Evaluation:
    """Negative log-likelihood of x (N, D) under the model, which is left as it was.

    See `MADE.log_prob`; batch_size examples are evaluated together, in evaluation mode, `each`
    batch as `map` does or in other processes.

    Raises:
        ValueError: If there is no example.
    """
    if not len(x):
        raise ValueError("there is no example to evaluate")
    count = num_orderings or model.num_orderings
    score = partial(model.log_prob, num_orderings=count)
    rows, places = (x, None) if context is not None else distinct(x)
    log_probs = batched(model, rows, context, batch_size, score, each)
    log_probs = log_probs if places is None else log_probs[places]
    return Evaluation.from_log_probs(log_probs, model.num_modelled, count)


@torch.no_grad()
def log_probs_by_ordering(
    model: MADE,
    x: Tensor,
    *,
    context: Tensor | None = None,
    num_orderings: int | None = None,
    batch_size: int = 1000,
    of_extras: Tensor | None = None,
) -> Tensor:
    """Log-probability (M + E, N) of each example under each density of the mixture alone, nats.

    Training does not change those of simple densities, `of_extras` (E, N), where they are known.
    """
    indices = model.indices(num_orderings)
    known = [] if of_extras is None else list(of_extras)
    scores = [
        partial(model.ordering_log_prob, index=index)
        for index in indices[: len(indices) - len(known)]
    ]
    own = [batched(model, x, context, batch_size, score) for score in scores]
    return torch.stack([*own, *known])


def fit_mixture(
    model: MADE,
    x: Tensor,
    *,
    context: Tensor | None = None,
    num_orderings: int | None = None,
    batch_size: int,
    of_extras: Tensor | None = None,
) -> Evaluation:
    """Weight the densities of the mixture as suits x (N, D) best, and score x; see `evaluate`."""
    rows = log_probs_by_ordering(
        model,
        x,
        context=context,
        num_orderings=num_orderings,
        batch_size=batch_size,
        of_extras=of_extras,
    )
    model.mixture.fit(rows)
    count = num_orderings or model.num_orderings
    return Evaluation.from_log_probs(model.mixture.log_prob(rows), model.num_modelled, count)


def nll_by_num_orderings(
    log_probs: Tensor, log_weights: Tensor, num_extras: int = 0
) -> tuple[Tensor, Tensor]:
    """NLL of the mixture of the first m orderings, for m = 1..M: means and standard errors (M,).

    Given are log_probs (M + E, N), as from `log_probs_by_ordering`, and log_weights (M + E,), all
    in nats. The last E densities are in every mixture, with their weights.
    """
    count = len(log_probs) - num_extras
    joint, log_weights = log_probs + log_weights.to(log_probs)[:, None], log_weights.to(log_probs)
    together = log_weights[:count].logcumsumexp(0)[:, None]
    mixtures = joint[:count].logcumsumexp(0) - together + together[-1]
    if num_extras:
        mixtures = torch.logaddexp(mixtures, joint[count:].logsumexp(0))
    return -mixtures.mean(1), _stderr(mixtures)


def paired_difference(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Mean and standard error of NLL(first) - NLL(second), log-probabilities (N,) in nats.

    Raises:
        ValueError: If the numbers of examples differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} and {len(second)} examples cannot be paired")
    difference = second.double() - first.double()
    return float(difference.mean()), float(_stderr(difference))


def _stderr(log_probs: Tensor) -> Tensor:
    """Standard error (...) of the mean of log_probs (..., N); NaN for one example."""
    count = log_probs.shape[-1]
    if count < 2:
        return log_probs.new_full(log_probs.shape[:-1], torch.nan)
    return log_probs.std(-1) / math.sqrt(count)


def distinct(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """The different rows of x (N, D), of which an evaluation needs each once, and where x has them.

    Where fewer than half repeat, or values are real: x itself and None, else rows and (N,) int64.
    """
    if x.is_floating_point():
        return x, None
    rows, places = torch.unique(x, dim=0, return_inverse=True)
    return (rows, places) if 2 * len(rows) <= len(x) else (x, None)


def batched(
    model: MADE,
    x: Tensor,
    context: Tensor | None,
    batch_size: int,
    score: Callable[..., Tensor],
    each: Each = map,
) -> Tensor:
    """`score` (batch, context) of all batches (N,), in evaluation mode, which is restored."""
    was_training, device = model.training, model.device
    labels = repeat(None) if context is None else context.split(batch_size)

    def part(batch: Tensor, own: Tensor | None) -> Tensor:
        return score(batch.to(device), context=None if own is None else own.to(device))

    model.eval()
    try:
        parts = list(each(part, x.split(batch_size), labels))
    finally:
        model.train(was_training)
    return torch.cat(parts).double()
