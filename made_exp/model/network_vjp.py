"""The forward pass of a plain network outside autograd, and its pullback to the parameters.

Plain is a chain of masked layers with ReLU, residual or not, with or without direct connections,
class labels and dropout; everything else is left to autograd, and so are the kernels `dense`, the
plain twin, and `triton`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from made_exp.kernels.product import Gradients, Pullback
from made_exp.masks.mask_set import MaskSet
from made_exp.model.levels import Edge, Level
from made_exp.model.networks import MaskedNetwork

# From the gradient of the params (B, P) to that of each parameter.
ParameterPullback = Callable[[Tensor], dict[Tensor, Tensor | None]]


def is_plain(network: MaskedNetwork) -> bool:
    """Whether `network_vjp` serves a network, on the CPU and in the precision of its weights."""
    return (
        network.is_relu_chain
        and len(network.levels[-1].edges) > 0
        and all(edge.layer.backend in ("auto", "staircase") for edge in network.edges)
    )


def network_vjp(
    network: MaskedNetwork,
    features: Tensor,
    masks: MaskSet | None,
    context: Tensor | None = None,
) -> tuple[Tensor, ParameterPullback]:
    """Params (B, P) from features (B, F), and the pullback of their gradient.

    The pullback writes over the gradients that the weights have, which saves their memory.

    Args:
        network: One that `is_plain`; in training mode it drops units as its forward pass does.
        features: (B, F).
        masks: Degrees to use; None for mask set 0.
        context: (B, num_classes) one-hot, or None.
    """
    degrees = network.call_degrees(masks)
    *hidden, output = network.levels
    dropout = network.dropout if network.training else 0.0
    h, steps, sums = features, list[tuple[Edge, Tensor | None, Pullback]](), _Sums(hidden)
    offsets = _Offsets(context)
    for number, level in enumerate(hidden, start=1):
        (edge,) = level.edges
        has_sum, bias = number in sums or context is not None, edge.layer.bias
        h, pullback = edge.vjp(h, degrees, "none" if has_sum else "relu", bias)
        h, pullback = offsets.vjp(level, h, pullback)
        if has_sum:
            h, pullback = sums.relu_vjp(number, h, pullback)
        if dropout:
            h, pullback = _dropout_vjp(h, dropout, pullback)
        steps.append((edge, bias, pullback))
    params = None
    for edge in output.edges:
        bias = network.output_bias if params is None else None
        extra, pullback = edge.vjp(h if edge.below else features, degrees, bias=bias)
        if params is None:
            params, pullback = offsets.vjp(output, extra, pullback)
        else:
            params = params.add_(extra)
        steps.append((edge, bias, pullback))
    assert params is not None

    def to_parameters(grad: Tensor) -> dict[Tensor, Tensor | None]:
        found, gradients = offsets.gradients, {len(network.levels): grad}
        for edge, bias, pullback in reversed(steps):
            weight = edge.layer.weight
            grad = gradients[edge.above]
            below, found[weight], grad_bias = pullback(grad, edge.below > 0, weight.grad)
            if bias is not None:
                found[bias] = grad_bias
            if below is not None:  # one edge alone leads from a hidden level
                gradients[edge.below] = below
        return found

    return params, to_parameters


def _dropout_vjp(h: Tensor, dropout: float, pullback: Pullback) -> tuple[Tensor, Pullback]:
    """As `torch.nn.functional.dropout` of h (B, H), which it writes over: the same draws."""
    noise = torch.empty_like(h).bernoulli_(1 - dropout).div_(1 - dropout)

    def scaled(grad: Tensor, needs_x: bool, out: Tensor | None) -> Gradients:
        return pullback(grad.mul_(noise), needs_x, out)

    # A relu that kept h for its own gradient sees no more zeros than it would have to make.
    return h.mul_(noise), scaled


class _Offsets:
    """What class labels add to the nodes of a level, and the gradient of their weights."""

    def __init__(self, context: Tensor | None) -> None:
        self.context, self.gradients = context, dict[Tensor, Tensor | None]()

    def vjp(self, level: Level, node: Tensor, pullback: Pullback) -> tuple[Tensor, Pullback]:
        """Nodes (B, O) of a level with what labels add, which it writes over, and the pullback."""
        one_hot, layer = self.context, level.context
        if one_hot is None or layer is None:
            return node, pullback
        weight = layer.weight
        assert isinstance(weight, Tensor)

        def seen(grad: Tensor, needs_x: bool, out: Tensor | None) -> Gradients:
            self.gradients[weight] = grad.t() @ one_hot
            return pullback(grad, needs_x, out)

        return node.add_(one_hot @ weight.t()), seen


class _Sums:
    """The ReLUs of a residual network: where skips begin or end they follow a sum."""

    def __init__(self, levels: list[Level]) -> None:
        skips = {number: level.skip for number, level in enumerate(levels, start=1)}
        self.sources = {level: skip for level, skip in skips.items() if skip is not None}
        self.nodes, self.gradients = dict[int, Tensor](), dict[int, Tensor]()

    def __contains__(self, level: int) -> bool:
        return level in self.sources or level in self.sources.values()

    def relu_vjp(self, level: int, product: Tensor, pullback: Pullback) -> tuple[Tensor, Pullback]:
        """What hidden `level` gives upwards (B, H), from its product, and the whole pullback."""
        source = self.sources.get(level)
        node = product if source is None else product.add_(self.nodes[source])
        self.nodes[level], h = node, node.relu()

        def summed(grad: Tensor, needs_x: bool, out: Tensor | None) -> Gradients:
            grad = torch.ops.aten.threshold_backward.default(grad, h, 0)
            if level in self.gradients:  # of the sum that this node was carried to
                grad = grad.add_(self.gradients.pop(level))
            if source is not None:
                self.gradients[source] = grad
            return pullback(grad, needs_x, out)

        return h, summed
