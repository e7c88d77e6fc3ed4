"""The weights of the orderings in the mixture that a model is."""

import torch
from torch import Tensor, nn

MAX_STEPS = 500
TOLERANCE = 1e-7
# Networks that differ by little would otherwise be told apart by the noise of a few examples.
PRIOR_EXAMPLES = 1.0


@torch.no_grad()
def fit_log_weights(log_probs: Tensor) -> Tensor:
    """Log-weights log w of a mixture, fitted to examples; the problem is convex.

    They maximise sum_n log sum_m w_m p_m(x_n) + a sum_m log w_m: each member has explained a = 1
    example more than those seen, so that weights stay nearly equal until examples say otherwise.
    Each step is w_m ~ a + sum_n w_m p_m(x_n) / sum_k w_k p_k(x_n), and never lowers the aim.

    Args:
        log_probs: (M, N) log-probability of each example under each member, in nats.

    Returns:
        (M,) float64, log-probabilities of the members.
    """
    rows = log_probs.double()
    log_weights = rows.new_full((len(rows),), -torch.tensor(float(len(rows))).log().item())
    last = -torch.inf
    for _ in range(MAX_STEPS):
        joint = rows + log_weights[:, None]
        total = joint.logsumexp(0)
        reached = float(total.mean() + PRIOR_EXAMPLES / rows.shape[1] * log_weights.sum())
        if reached - last < TOLERANCE:
            break
        last = reached
        explained = (joint - total).exp().sum(1) + PRIOR_EXAMPLES
        log_weights = (explained / explained.sum()).log()
    return log_weights


class MixtureWeights(nn.Module):
    """Weights w of the mixture sum_m w_m p_m(x); equal until they are fitted.

    Args:
        num_orderings: Members M of the mixture.
        fits: Whether the weights may be fitted and are saved with the model.
    """

    _log_weights: Tensor

    def __init__(self, num_orderings: int, fits: bool = False) -> None:
        super().__init__()
        equal = torch.zeros(num_orderings, dtype=torch.float64)
        self.register_buffer("_log_weights", equal, persistent=fits)
        self.fits = fits

    def log_weights(self, num_orderings: int | None = None) -> Tensor:
        """Log-weights (m,) float64 of the first m members in a mixture of these alone."""
        known = len(self._log_weights)
        count = num_orderings or known
        equal = self._log_weights.new_zeros(max(0, count - known))
        return torch.cat([self._log_weights, equal])[:count].log_softmax(0)

    def log_prob(self, log_probs: Tensor) -> Tensor:
        """Log-density (N,) of the mixture of the first m members, from theirs (m, N), in nats."""
        log_weights = self.log_weights(len(log_probs)).to(log_probs)
        return (log_probs + log_weights[:, None]).logsumexp(0)

    def fit(self, log_probs: Tensor) -> None:
        """Set the weights that suit log_probs (M, N) best; see `fit_log_weights`."""
        self._log_weights.copy_(fit_log_weights(log_probs))

    def choose(self, uniforms: Tensor) -> Tensor:
        """Members (B,) int64 drawn by their weights, one for each uniform number (B,)."""
        count = len(self._log_weights)
        if not self.fits:  # without sums that round
            return (uniforms * count).long().clamp(max=count - 1)
        ends = self.log_weights().exp().cumsum(0)
        chosen = torch.searchsorted(ends, uniforms.double().contiguous(), right=True)
        return chosen.clamp(max=count - 1)
