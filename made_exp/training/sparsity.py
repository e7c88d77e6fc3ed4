"""An L1 penalty on the weights, as a proximal step after each optimizer step."""

import torch
from torch import nn


class Sparsity:
    """w = sign(w) max(|w| - lr strength / batches, 0) after every step, for every masked weight.

    Under Adam a weight whose mean gradient is small beside its spread, as noise makes it, is kept
    at zero. The pull is counted by epochs: the fewer examples, the stronger it is in each step,
    as a prior has more to say where there are few data. Biases and conditioning weights, which
    act as biases, are left alone.

    Args:
        model: Its weights are pulled.
        strength: Learning rates by which a weight is pulled towards zero in an epoch; > 0.
        num_batches: Steps an epoch.
    """

    def __init__(self, model: nn.Module, strength: float, num_batches: int) -> None:
        if not strength > 0:
            raise ValueError(f"sparsity must be > 0, got {strength}")
        self.pull = strength / num_batches
        self.weights = [
            parameter
            for name, parameter in model.named_parameters()
            if name.endswith("weight") and _is_pulled(name)
        ]

    @torch.no_grad()
    def shrink(self, lr: float) -> None:
        """Move every weight towards zero by what one step of rate `lr` asks for."""
        for weight in self.weights:
            if weight.grad is None:  # of a member of an ensemble that this step did not train
                continue
            weight.copy_(nn.functional.softshrink(weight, lr * self.pull))


def _is_pulled(name: str) -> bool:
    parts = name.split(".")
    return "network" in parts and not {"conditioning", "context", "norms"} & set(parts)
