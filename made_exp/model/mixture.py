"""The weights of the densities in the mixture that a model is."""

import torch
from torch import Tensor, nn

from made_exp.variables.mixing import PRIOR_EXAMPLES, fit_log_weights

# Examples that a simple density must explain to stay in the mixture; of few fewer.
LEAST_EXPLAINED = 1.0


class MixtureWeights(nn.Module):
    """Weights w of the mixture sum_m w_m p_m(x) of orderings, and after them of simple densities.

    Equal until they are fitted. A simple density that explains next to nothing has the weight zero
    and is no more looked at. Where the orderings' own are not, orderings have equal weights
    among each other, and what is fitted is how much all of them together have.

    Args:
        num_orderings: Orderings M of the mixture.
        fits_orderings: Whether each of them may be given a weight of its own.
        num_extras: Simple densities E of the mixture; their weights are always fitted.
    """

    _log_weights: Tensor

    def __init__(
        self, num_orderings: int, fits_orderings: bool = False, num_extras: int = 0
    ) -> None:
        super().__init__()
        self.num_orderings, self.num_extras = num_orderings, num_extras
        self.fits_orderings, self.fits = fits_orderings, fits_orderings or num_extras > 0
        equal = torch.zeros(num_orderings + num_extras, dtype=torch.float64)
        self.register_buffer("_log_weights", equal, persistent=self.fits)

    def log_weights(self, num_orderings: int | None = None) -> Tensor:
        """Log-weights (m + E,) float64 of the first m orderings and the simple densities.

        The orderings have together what all have in the whole mixture.
        """
        count, fitted = num_orderings or self.num_orderings, self._log_weights.log_softmax(0)
        own = self._log_weights[: self.num_orderings]
        equal = own.new_zeros(max(0, count - len(own)))
        orderings = torch.cat([own, equal])[:count].log_softmax(0)
        if not self.num_extras:
            return orderings
        together = fitted[: self.num_orderings].logsumexp(0)
        return torch.cat([orderings + together, fitted[self.num_orderings :]])

    def log_prob(self, log_probs: Tensor) -> Tensor:
        """Log-density (N,) of the mixture in nats, from those (m + E, N) of the densities."""
        log_weights = self.log_weights(len(log_probs) - self.num_extras).to(log_probs)
        return (log_probs + log_weights[:, None]).logsumexp(0)

    def fit(self, log_probs: Tensor) -> None:
        """Set the weights that suit log_probs (m + E, N) best; see `fit_log_weights`.

        All orderings, m = M, where these have weights of their own.
        """
        if self.fits_orderings:
            self._log_weights.copy_(fit_log_weights(log_probs))
            return
        count = len(log_probs) - self.num_extras
        orderings = log_probs[:count].double().logsumexp(0) - torch.tensor(float(count)).log()
        fitted = _needed_weights(torch.stack([orderings, *log_probs[count:].double()]))
        equal = fitted[0] - torch.tensor(float(self.num_orderings)).log()
        own = equal.expand(self.num_orderings)
        self._log_weights.copy_(torch.cat([own, fitted[1:]]))

    def choose(self, uniforms: Tensor) -> Tensor:
        """Indices (B,) int64 of densities drawn by their weights, for each uniform number (B,).

        Orderings are 0..M-1, simple densities -E..-1.
        """
        count = len(self._log_weights)
        if not self.fits:  # without sums that round
            return (uniforms * count).long().clamp(max=count - 1)
        ends = self.log_weights().exp().cumsum(0)
        chosen = torch.searchsorted(ends, uniforms.double().contiguous(), right=True)
        chosen = chosen.clamp(max=count - 1)
        return torch.where(chosen < self.num_orderings, chosen, chosen - count)


def _needed_weights(log_probs: Tensor) -> Tensor:
    """`fit_log_weights` (K,) of log_probs (K, N); -inf for what is not needed, the first never."""
    fitted = fit_log_weights(log_probs)
    num_densities, num_examples = log_probs.shape
    total = num_examples + PRIOR_EXAMPLES * num_densities
    least = min(LEAST_EXPLAINED, num_examples / (2 * num_densities))
    needed = fitted.exp() * total - PRIOR_EXAMPLES >= least
    needed[0] = True
    weights = torch.full_like(fitted, -torch.inf)
    weights[needed] = fitted[needed] if needed.all() else fit_log_weights(log_probs[needed])
    return weights
