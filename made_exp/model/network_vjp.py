"""The forward pass of a plain network outside autograd, and its pullback to the parameters.

Plain is a chain of masked layers with ReLU, residual or not, with or without direct connections;
everything else is left to autograd, and so are the kernels `dense`, the plain twin, and `triton`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from made_exp.kernels.product import Gradients, Pullback
from made_exp.masks.mask_set import MaskSet
from made_exp.model.layers import MaskedLinear
from made_exp.model.networks import MaskedNetwork

# From the gradient of the params (B, P) to that of each parameter.
ParameterPullback = Callable[[Tensor], dict[Tensor, Tensor | None]]


def is_plain(network: MaskedNetwork) -> bool:
    """Whether `network_vjp` serves a network, on the CPU and in the precision of its weights."""
    layers = [layer for layer in network.modules() if isinstance(layer, MaskedLinear)]
    return (
        network.is_relu_chain
        and not network.dropout
        and network.output is not None
        and all(layer.backend in ("auto", "staircase") for layer in layers)
    )


def network_vjp(
    network: MaskedNetwork, features: Tensor, masks: MaskSet | None
) -> tuple[Tensor, ParameterPullback]:
    """Params (B, P) from features (B, F), and the pullback of their gradient.

    The pullback writes over the gradients that the weights have, which saves their memory.

    Args:
        network: One that `is_plain`.
        features: (B, F).
        masks: Degrees to use; None for mask set 0.
    """
    degrees = network.call_degrees(masks)
    layers, biases = _chain(network)
    h, pullbacks, sums = features, list[Pullback](), _Sums(network.skips)
    for number, (layer, bias) in enumerate(zip(layers, biases, strict=True)):
        pair = () if degrees is None else (degrees[number], degrees[number + 1])
        has_sum = number in sums
        activation = "none" if has_sum or number == len(network.hidden) else "relu"
        h, pullback = layer.vjp(h, *pair, activation=activation, bias=bias)
        if has_sum:
            h, pullback = sums.relu_vjp(number, h, pullback)
        pullbacks.append(pullback)
    direct = network.direct
    if direct is not None:
        pair = () if degrees is None else (degrees[0], degrees[-1])
        extra, direct_pullback = direct.vjp(features, *pair)
        h = h.add_(extra)

    def to_parameters(grad: Tensor) -> dict[Tensor, Tensor | None]:
        found = dict[Tensor, Tensor | None]()
        if direct is not None:
            found[direct.weight] = direct_pullback(grad, False, direct.weight.grad)[1]
        for number in range(len(layers) - 1, -1, -1):
            weight = layers[number].weight
            below, found[weight], found[biases[number]] = pullbacks[number](
                grad, number > 0, weight.grad
            )
            grad = grad if below is None else below
        return found

    return h, to_parameters


def _chain(network: MaskedNetwork) -> tuple[list[MaskedLinear], list[Tensor]]:
    """The layers from features to params, and the bias of each."""
    layers = [layer for layer in network.hidden if isinstance(layer, MaskedLinear)]
    biases = [layer.bias for layer in layers if layer.bias is not None]
    assert network.output is not None
    return [*layers, network.output], [*biases, network.output_bias]


class _Sums:
    """The ReLUs of a residual network: where skips begin or end they follow a sum."""

    def __init__(self, skips: Sequence[int | None]) -> None:
        self.sources = {layer: skip for layer, skip in enumerate(skips) if skip is not None}
        self.nodes, self.gradients = dict[int, Tensor](), dict[int, Tensor]()

    def __contains__(self, layer: int) -> bool:
        return layer in self.sources or layer in self.sources.values()

    def relu_vjp(self, layer: int, product: Tensor, pullback: Pullback) -> tuple[Tensor, Pullback]:
        """What hidden `layer` gives upwards (B, H), from its product, and the whole pullback."""
        source = self.sources.get(layer)
        node = product if source is None else product.add_(self.nodes[source])
        self.nodes[layer], h = node, node.relu()

        def summed(grad: Tensor, needs_x: bool, out: Tensor | None) -> Gradients:
            grad = torch.ops.aten.threshold_backward.default(grad, h, 0)
            if layer in self.gradients:  # of the sum that this node was carried to
                grad = grad.add_(self.gradients.pop(layer))
            if source is not None:
                self.gradients[source] = grad
            return pullback(grad, needs_x, out)

        return h, summed
