"""The weights of a mixture of given densities, fitted to examples."""

import torch
from torch import Tensor

MAX_STEPS = 500
TOLERANCE = 1e-7
# Densities that differ by little would otherwise be told apart by the noise of a few examples.
PRIOR_EXAMPLES = 1.0
# Of those that differ by much, as simple ones and networks do, equal weights are further off.
PRIOR_OF_UNLIKE = 0.2


@torch.no_grad()
def fit_log_weights(log_probs: Tensor, prior: float = PRIOR_EXAMPLES) -> Tensor:
    """Log-weights log w of a mixture, fitted to examples; the problem is convex.

    They maximise sum_n log sum_m w_m p_m(x_n) + a sum_m log w_m: each member has explained a
    examples more than those seen, so that weights stay nearly equal until examples say otherwise.
    Each step is w_m ~ a + sum_n w_m p_m(x_n) / sum_k w_k p_k(x_n), and never lowers the aim.

    Args:
        log_probs: (M, N) log-probability of each example under each member, in nats.
        prior: The examples a.

    Returns:
        (M,) float64, log-probabilities of the members.
    """
    rows = log_probs.double()
    log_weights = rows.new_full((len(rows),), -torch.tensor(float(len(rows))).log().item())
    last = -torch.inf
    for _ in range(MAX_STEPS):
        joint = rows + log_weights[:, None]
        total = joint.logsumexp(0)
        reached = float(total.mean() + prior / rows.shape[1] * log_weights.sum())
        if reached - last < TOLERANCE:
            break
        last = reached
        explained = (joint - total).exp().sum(1) + prior
        log_weights = (explained / explained.sum()).log()
    return log_weights
