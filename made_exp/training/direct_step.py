"""The training step without autograd: the gradient of a plain network is written out.

Around the products of a small network autograd takes a fifth of the step. The loss and the
gradients are those of the plain step, and tests compare the two.
"""

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.model.members import Component
from made_exp.model.network_vjp import network_vjp
from made_exp.training.step import TrainStep
from made_exp.variables.groups import Conditionals


class DirectStep(TrainStep):
    """As `TrainStep`, for a model and batches for which `step_kind` chooses it."""

    @override
    def differentiate(self, x: Tensor, component: Component, context: Tensor | None) -> Tensor:
        groups, network = component.groups, component.member.network
        with torch.no_grad():
            x = x.to(self.model.dtype)
            params, to_parameters = network_vjp(network, groups.features(x), component.masks)
            log_probs, to_params = Conditionals(groups, params).log_prob_vjp(x)
            scale = -1 / x.size(0)
            gradients = to_parameters(to_params(x.new_full((), scale).expand_as(log_probs)))
        for trained, gradient in gradients.items():
            trained.grad = gradient
        return log_probs.sum().mul_(scale)
