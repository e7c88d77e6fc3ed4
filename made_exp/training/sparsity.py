"""An L1 penalty on the weights, as a proximal step after each optimizer step."""

import torch
from torch import nn

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

    def __init__(
        self, model: nn.Module, strength: float, num_batches: int, spread: float = 1.0
    ) -> None:
        if not strength > 0:
            raise ValueError(f"sparsity must be > 0, got {strength}")
        if not spread >= 1:
            raise ValueError(f"sparsity_spread must be >= 1, got {spread}")
        named = [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if name.endswith("weight") and _is_pulled(name)
        ]
        members = [_member(name) for name, _ in named]
        pairs = max(members, default=0) // 2
        self.weights = [parameter for _, parameter in named]
        pull = strength / num_batches
        weakest = min(pull / spread, MAX_PULL)
        strongest = min(weakest * spread**2, MAX_MEMBER_PULL)
        self.pulls = [
            weakest * (strongest / weakest) ** (m // 2 / pairs) if pairs else min(pull, MAX_PULL)
            for m in members
        ]

    @torch.no_grad()
    def shrink(self, lr: float) -> None:
        """Move every weight towards zero by what one step of rate `lr` asks for."""
        for weight, pull in zip(self.weights, self.pulls, strict=True):
            if weight.grad is None:  # of a member of an ensemble that this step did not train
                continue
            weight.copy_(nn.functional.softshrink(weight, lr * pull))


def make_sparsity(model: nn.Module, settings: TrainerSettings, num_batches: int) -> Sparsity | None:
    """The penalty that the settings ask for, or None."""
    if not settings.sparsity:
        return None
    return Sparsity(model, settings.sparsity, num_batches, settings.sparsity_spread)


def _is_pulled(name: str) -> bool:
    parts = name.split(".")
    return "network" in parts and not {"conditioning", "context"} & set(parts)


def _member(name: str) -> int:
    """Number of the member of an ensemble that a parameter belongs to; 0 where there is none."""
    parts = name.split(".")
    return int(parts[parts.index("members") + 1]) if "members" in parts else 0
