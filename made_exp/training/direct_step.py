"""The training step without autograd: the gradient of a plain network is written out.

Around the products of a small network autograd takes a third of the step. The loss and the
gradients are those of the plain step, and tests compare the two.
"""

import torch
from torch import Tensor

from made_exp.masks import MaskSet
from made_exp.network_vjp import network_vjp
from made_exp.training.step import TrainStep


class DirectStep(TrainStep):
    """As `TrainStep`, for a model and batches for which `step_kind` chooses it."""

    def differentiate(self, x: Tensor, masks: MaskSet | None, context: Tensor | None) -> Tensor:
        """See `TrainStep.differentiate`."""
        groups = self.model.groups
        with torch.no_grad():
            x = x.to(self.model.dtype)
            params, to_parameters = network_vjp(self.model.network, groups.features(x), masks)
            log_probs, to_params = groups.log_prob_vjp(params, x)
            scale = -1 / x.size(0)
            gradients = to_parameters(to_params(x.new_full((), scale).expand_as(log_probs)))
        # Only now: freed before, the memory of the old gradients would go back to the system.
        for parameter in self.parameters:
            parameter.grad = gradients.get(parameter)
        return log_probs.sum().mul_(scale)
