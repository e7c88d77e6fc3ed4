"""The weights of the densities in the mixture that a model is."""

import math

import torch
from torch import Tensor, nn

from made_exp.variables.distributions import categorical_quantile
from made_exp.variables.mixing import PRIOR_EXAMPLES, PRIOR_OF_UNLIKE, fit_log_weights

# Examples that a simple density must explain to stay in the mixture, where there are many.
LEAST_EXPLAINED, MANY_EXAMPLES = 1.0, 1000


class MixtureWeights(nn.Module):
    """Weights w of the mixture sum_m w_m p_m(x) of orderings, and after them of simple densities.

    Equal until they are fitted. The first orderings may have weights of their own; the others have
    equal ones among each other, and what is fitted is how much all of them together have. A simple
    density that explains next to nothing has the weight zero and is no more looked at. Without the
    first ones, where these cannot serve, the others have weights that were fitted without them.
    Where networks have latent classes, their components follow each other: what is fitted is the
    weight of the network, of which each class has the share that it has in train.

    Args:
        num_orderings: Orderings M of the mixture.
        num_fitted: How many of them, F in 0..M, have weights of their own.
        num_extras: Simple densities E of the mixture; their weights are always fitted.
        num_classes: Latent classes of each network; 1 for none.
    """

    _log_weights: Tensor
    _others: Tensor
    log_shares: Tensor

    def __init__(
        self,
        num_orderings: int,
        num_fitted: int = 0,
        num_extras: int = 0,
        *,
        num_classes: int = 1,
    ) -> None:
        super().__init__()
        equal_shares = torch.full((num_classes,), -math.log(num_classes), dtype=torch.float64)
        self.register_buffer("log_shares", equal_shares, persistent=num_classes > 1)
        self.num_orderings, self.num_fitted = num_orderings, num_fitted
        self.num_extras, self.fits = num_extras, num_fitted + num_extras > 0
        equal = torch.zeros(num_orderings + num_extras, dtype=torch.float64)
        self.register_buffer("_log_weights", equal, persistent=self.fits)
        is_split = 0 < num_fitted < num_orderings
        self.register_buffer("_others", equal[num_fitted:].clone(), persistent=is_split)

    def set_shares(self, counts: Tensor) -> None:
        """Give latent classes (K,) the shares of so many examples, until weights are fitted."""
        self.log_shares.copy_((counts.double() / counts.sum()).log())
        self._log_weights[: self.num_fitted] = self._of_classes(
            self._log_weights[: self.num_fitted : len(self.log_shares)]
        )

    def _of_classes(self, log_weights: Tensor) -> Tensor:
        """Log-weights (F,) of the components of networks with log-weights (F / K,)."""
        return (log_weights[:, None] + self.log_shares).flatten()

    def log_weights(self, num_orderings: int | None = None) -> Tensor:
        """Log-weights (m + E,) float64 of the first m orderings and the simple densities.

        The orderings have together what all have in the whole mixture, and so have those among
        them that have equal weights.
        """
        count, fitted = num_orderings or self.num_orderings, self._log_weights.log_softmax(0)
        own, equal = fitted[: self.num_orderings].tensor_split([self.num_fitted])
        num_equal = max(0, count - self.num_fitted)
        each = equal.logsumexp(0) - math.log(max(1, num_equal))
        orderings = torch.cat([own[:count], each.expand(num_equal)]).log_softmax(0)
        if not self.num_extras:
            return orderings
        together = fitted[: self.num_orderings].logsumexp(0)
        return torch.cat([orderings + together, fitted[self.num_orderings :]])

    def log_weights_of_others(self, num_orderings: int | None = None) -> Tensor:
        """Log-weights (m - F + E,) float64 without the orderings that have weights of their own."""
        others = MixtureWeights(self.num_orderings - self.num_fitted, 0, self.num_extras)
        others._log_weights = self._others
        count = num_orderings or self.num_orderings
        return others.log_weights(max(1, count - self.num_fitted))

    def weighted(
        self, num_orderings: int | None = None, *, any_pattern: bool = False
    ) -> dict[int, float]:
        """Log-weight of each density that has any, by its index: from 0 on, simple ones -E..-1.

        Where any pattern of variables may be known, networks of a fixed order are left out, if
        there are others; these have weights that were fitted without them.
        """
        first, log_weights = 0, self.log_weights(num_orderings)
        if any_pattern and 0 < self.num_fitted < self.num_orderings:
            first, log_weights = self.num_fitted, self.log_weights_of_others(num_orderings)
        count = len(log_weights) - self.num_extras
        indices = [*range(first, first + count), *range(-self.num_extras, 0)]
        pairs = zip(indices, log_weights.tolist(), strict=True)
        return {index: log_weight for index, log_weight in pairs if log_weight > -math.inf}

    def log_prob(self, log_probs: Tensor) -> Tensor:
        """Log-density (N,) of the mixture in nats, from those (m + E, N) of the densities."""
        log_weights = self.log_weights(len(log_probs) - self.num_extras).to(log_probs)
        return (log_probs + log_weights[:, None]).logsumexp(0)

    def fit(self, log_probs: Tensor) -> None:
        """Set the weights that suit log_probs (m + E, N) best; see `fit_log_weights`.

        If not all, m = M, orderings are there, at least one more than have weights of their own.
        Networks count by the lower end of what they are better than simple densities.
        """
        count = len(log_probs) - self.num_extras
        log_probs = log_probs.to(self._log_weights)
        own, equal, extras = log_probs.tensor_split([self.num_fitted, count])
        own = (own.unflatten(0, (-1, len(self.log_shares))) + self.log_shares[:, None]).logsumexp(1)
        num_fitted = len(own)
        if len(equal):
            own = torch.cat([own, equal.logsumexp(0, keepdim=True) - math.log(len(equal))])
        if len(extras):
            own = own - _stderr_of_lead(own, extras)
        fitted = _needed_weights(torch.cat([own, extras]), len(own))
        num_equal = self.num_orderings - self.num_fitted
        each = fitted[num_fitted : len(own)] - math.log(max(1, num_equal))
        parts = [self._of_classes(fitted[:num_fitted]), each.expand(num_equal), fitted[len(own) :]]
        self._log_weights.copy_(torch.cat(parts))
        if 0 < num_fitted < len(own):
            rest = torch.cat([own[num_fitted:], extras])
            first, *simple = _needed_weights(rest, 1).split([1, len(extras)])
            first = (first - math.log(num_equal)).expand(num_equal)
            self._others.copy_(torch.cat([first, *simple]))

    def choose(self, uniforms: Tensor) -> Tensor:
        """Indices (B,) int64 of densities drawn by their weights, for each uniform number (B,).

        Orderings are 0..M-1, simple densities -E..-1.
        """
        count = len(self._log_weights)
        if not self.fits:  # without sums that round
            return (uniforms * count).long().clamp(max=count - 1)
        chosen = categorical_quantile(self.log_weights().exp(), uniforms)
        return torch.where(chosen < self.num_orderings, chosen, chosen - count)


def _stderr_of_lead(own: Tensor, extras: Tensor) -> Tensor:
    """How uncertain the mean lead (K, 1) of networks (K, N) over simple densities (E, N) is, nats.

    The examples have also said when training was best, so that networks look too good on them, by
    about as much: fifteen rows of irises have a network that is 3 nats worse on others at .3.
    """
    lead = own - extras.logsumexp(0)
    lead = torch.where(lead.isfinite(), lead, lead.nan_to_num(0.0, 0.0, 0.0))
    count = max(2, lead.shape[1])
    return lead.var(1, correction=0, keepdim=True).div(count - 1).sqrt()


def _needed_weights(log_probs: Tensor, num_kept: int) -> Tensor:
    """`fit_log_weights` (K,) of log_probs (K, N); -inf for what is not needed, the first never.

    Of few examples all are: what explains none of them may explain the odd one of others.
    """
    num_densities, num_examples = log_probs.shape
    prior = PRIOR_EXAMPLES if num_densities == num_kept else PRIOR_OF_UNLIKE
    fitted = fit_log_weights(log_probs, prior)
    if num_examples < MANY_EXAMPLES:
        return fitted
    total = num_examples + prior * num_densities
    needed = fitted.exp() * total - prior >= LEAST_EXPLAINED
    needed[:num_kept] = True
    weights = torch.full_like(fitted, -torch.inf)
    weights[needed] = fitted[needed] if needed.all() else fit_log_weights(log_probs[needed], prior)
    return weights
