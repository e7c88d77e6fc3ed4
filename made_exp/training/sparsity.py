"""An L1 penalty on the weights, as a proximal step after each optimizer step."""

import torch
from torch import nn

from made_exp.model.made import MADE
from made_exp.settings.training import TrainerSettings

# Learning rates a step. Adam moves a weight by at most about one: a pull near it leaves none alive.
MAX_PULL = 0.36
MAX_MEMBER_PULL = 0.6


class Sparsity:
    """w = sign(w) max(|w| - lr pull, 0) after every step, for every masked weight.

    Under Adam a weight whose mean gradient is small beside its spread, as noise makes it, is kept
    at zero. The pull is strength / batches, at most 0.36, so that an epoch has the same whatever
    its length: a prior has more to say where there are few data. Biases and conditioning weights,
    which act as biases, are left alone.

    Members of an ensemble may differ: the weakest pull is strength / batches / spread, at most
    0.36, the strongest that times spread^2, at most 0.6, the others lie between them in equal
    ratios, the same for two members in a row. Which is right for the data the weights of the
    mixture then say.

    Args:
        model: Its weights are pulled.
        strength: Learning rates by which a weight is pulled towards zero in an epoch; > 0.
        num_batches: Steps an epoch.
        spread: Largest ratio of a member's strength to `strength`; >= 1.
    """

    def __init__(self, model: MADE, strength: float, num_batches: int, spread: float = 1.0) -> None:
        if not strength > 0:
            raise ValueError(f"sparsity must be > 0, got {strength}")
        if not spread >= 1:
            raise ValueError(f"sparsity_spread must be >= 1, got {spread}")
        pairs = (len(model.members) - 1) // 2
        weights = [(one.index, weight) for one in model.members for weight in one.network.weights()]
        self.weights = [weight for _, weight in weights]
        pull = strength / num_batches
        weakest = min(pull / spread, MAX_PULL)
        strongest = min(weakest * spread**2, MAX_MEMBER_PULL)
        self.pulls = [
            weakest * (strongest / weakest) ** (m // 2 / pairs) if pairs else min(pull, MAX_PULL)
            for m, _ in weights
        ]

    @torch.no_grad()
    def shrink(self, lr: float) -> None:
        """Move every weight towards zero by what one step of rate `lr` asks for."""
        for weight, pull in zip(self.weights, self.pulls, strict=True):
            if weight.grad is None:  # of a member of an ensemble that this step did not train
                continue
            weight.copy_(nn.functional.softshrink(weight, lr * pull))


def make_sparsity(model: MADE, settings: TrainerSettings, num_batches: int) -> Sparsity | None:
    """The penalty that the settings ask for, or None."""
    if not settings.sparsity:
        return None
    return Sparsity(model, settings.sparsity, num_batches, settings.sparsity_spread)
