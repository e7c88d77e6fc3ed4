"""Which masked layer leads from where to where: the one list that all who compute a network read.

Level 0 are the features, levels 1..L the hidden layers, level L + 1 the params:

    node_l = sum_edges layer(h_below) + bias [+ node_skip],   h_l = activation(node_l),

where h_0 are the features and node_{L+1} the params. The forward pass, the gradient without
autograd, the sampler and the checks go through it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from made_exp.kernels.product import Pullback
from made_exp.model.layers import MaskedLinear

Degrees = Sequence[Tensor] | None
"""The degrees of every level, or None where they are built into the layers."""


@dataclass(frozen=True, eq=False)
class Edge:
    """A masked layer from level `below` to level `above`."""

    layer: MaskedLinear
    below: int
    above: int

    def degrees(self, degrees: Degrees) -> tuple[Tensor, ...]:
        """Degrees of the level below and of the one above, as the layer takes them."""
        return () if degrees is None else (degrees[self.below], degrees[self.above])

    def __call__(
        self, h: Tensor, degrees: Degrees, activation: str = "none", bias: Tensor | None = None
    ) -> Tensor:
        """What h (B, I) of the level below gives to the one above, (B, O)."""
        y: Tensor = self.layer(h, *self.degrees(degrees), activation=activation, bias=bias)
        return y

    def vjp(
        self, h: Tensor, degrees: Degrees, activation: str = "none", bias: Tensor | None = None
    ) -> tuple[Tensor, Pullback]:
        """The same outside autograd, and the pullback of its gradient."""
        return self.layer.vjp(h, *self.degrees(degrees), activation=activation, bias=bias)


@dataclass(frozen=True, eq=False)
class Level:
    """What is added up to the nodes of one level, besides a bias.

    Attributes:
        edges: The masked layers that lead to it.
        companion: Conditioning weights, applied to a vector of ones; or None.
        context: Applied to the one-hot class; or None.
        skip: Number of the level whose nodes are added, or None.
    """

    edges: tuple[Edge, ...]
    companion: Edge | None = None
    context: nn.Module | None = None
    skip: int | None = None

    def offsets(self, degrees: Degrees, context: Tensor | None) -> list[Tensor]:
        """What conditioning weights and context (B, num_classes) add: (1, O) and (B, O)."""
        extras = []
        if self.companion is not None:
            weight = self.companion.layer.weight
            # Scaled like inputs of unit norm: a vector of ones would let the sum run away.
            width = self.companion.layer.in_features
            ones = weight.new_full((1, width), width**-0.5)
            extras.append(self.companion(ones, degrees))
        if self.context is not None and context is not None:
            extras.append(self.context(context))
        return extras
