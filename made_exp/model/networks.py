"""The masked network: features in, parameters of the conditionals out.

Every architecture of the package is a list of levels, see `levels`. In a plain MADE each has one
edge, from the level below; with direct connections the params have another, from the features. A
residual network (Nash and Durkan 2019) skips over every second layer, with equal degrees in all
hidden ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from made_exp.masks.mask_set import MaskSet
from made_exp.masks.schedule import MaskSchedule
from made_exp.model.layers import CPU, MaskedLinear
from made_exp.model.levels import Degrees, Edge, Level
from made_exp.settings.model import NetworkSettings

Features = Tensor | Mapping[int, Tensor]
"""Features (B, F); or what the layers that see them make of them, (B, O) by the level above."""


class MaskedNetwork(nn.Module):
    """A chain of masked layers, plain or residual, with the paper's options.

    Args:
        feature_widths: (D,) network inputs of each variable; they share its degree.
        param_widths: (D,) network outputs of each variable.
        schedule: Degrees of all hidden layers, and whether they are residual. With one mask set
            the layers are built for it; with several, degrees are given to each call.
        settings: Activation, dropout, direct connections from inputs to outputs (section 4.1), and
            conditioning weights: for each layer a companion matrix applied to a vector of ones,
            so that a unit knows which inputs are masked (section 4.2).
        num_classes: Classes of the context, which reaches every hidden layer and every output;
            0 for none.
        backend: Kernel of the masked layers.
        device: Where the network will be used, and
        dtype: in which its products will be taken, for the choice of kernel auto.
        generator: Where initial weights are drawn from.
    """

    feature_widths: Tensor
    param_widths: Tensor

    def __init__(
        self,
        feature_widths: Sequence[int],
        param_widths: Sequence[int],
        schedule: MaskSchedule,
        settings: NetworkSettings,
        *,
        num_classes: int = 0,
        backend: str = "auto",
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        residual, activation = schedule.residual, settings.activation
        self.schedule, self.dropout, self.num_classes = schedule, settings.dropout, num_classes
        self.backend, self.implications = backend, settings.implications
        self.activation_name = activation
        self.activation: Callable[[Tensor], Tensor] = getattr(nn.functional, activation)
        self.register_buffer("feature_widths", torch.tensor(feature_widths), persistent=False)
        self.register_buffer("param_widths", torch.tensor(param_widths), persistent=False)
        self._single_widths = set(feature_widths) == {1}, set(param_widths) == {1}
        # One variable has no predecessors: no hidden unit is legal and the bias is everything.
        is_joint = schedule.num_dims > 1
        sizes = schedule.hidden_sizes if is_joint else ()
        widths = (sum(feature_widths), *sizes, sum(param_widths))
        self.level_widths, top = widths, len(sizes) + 1
        fixed = (
            None if schedule.is_resampled else self._of_units(schedule.mask_set(0).layer_degrees)
        )

        def masked(below: int, above: int, bias: bool = False) -> MaskedLinear:
            return MaskedLinear(
                widths[below],
                widths[above],
                bias=bias,
                degrees=(fixed[below], fixed[above]) if fixed else None,
                backend=backend,
                device=device,
                dtype=dtype,
                generator=generator,
            )

        self.hidden = nn.ModuleList(masked(n - 1, n, bias=True) for n in range(1, top))
        self.output = masked(top - 1, top) if sizes else None
        is_direct = is_joint and settings.connects_directly(widths[0], widths[-1])
        self.direct = masked(0, top) if is_direct else None
        self.output_bias = nn.Parameter(torch.zeros(widths[-1]))
        companions = range(1, top + 1) if settings.conditioning_weights and is_joint else ()
        self.conditioning = nn.ModuleList(masked(n - 1, n) for n in companions)
        self.context = nn.ModuleList(
            nn.Linear(num_classes, width, bias=False) for width in widths[1:] if num_classes
        )
        for parameter in (*self.conditioning.parameters(), *self.context.parameters()):
            nn.init.zeros_(parameter)
        self.levels = tuple(self._level(n, residual) for n in range(1, top + 1))
        # Where nothing comes between a product and its relu, the layer does both.
        self.is_relu_chain = activation == "relu" and not companions
        self._relu_in_layers = self.is_relu_chain and not (residual or num_classes)

    def _level(self, n: int, residual: bool) -> Level:
        """Level n = 1..L+1; where it is residual every second hidden one skips two back."""
        top = len(self.level_widths) - 1
        layers = (
            [(self.hidden[n - 1], n - 1)] if n < top else [(self.output, top - 1), (self.direct, 0)]
        )
        companion = self.conditioning[n - 1] if len(self.conditioning) else None
        return Level(
            tuple(Edge(m, below, n) for m, below in layers if isinstance(m, MaskedLinear)),
            Edge(companion, n - 1, n) if isinstance(companion, MaskedLinear) else None,
            self.context[n - 1] if len(self.context) else None,
            n - 2 if residual and n % 2 and 2 < n < top else None,
        )

    @property
    def edges(self) -> list[Edge]:
        """All masked layers and the levels they connect."""
        companions = [level.companion for level in self.levels if level.companion is not None]
        return [edge for level in self.levels for edge in level.edges] + companions

    def forward(
        self, features: Features, masks: MaskSet | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Compute the parameters of all conditionals.

        Args:
            features: (B, F), or what they give; that is written to.
            masks: Degrees to use; None for mask set 0.
            context: (B, num_classes) one-hot, or None.

        Returns:
            (B, P).
        """
        degrees = self.call_degrees(masks)
        h, nodes = features, list[Tensor]()
        for level in self.levels[:-1]:
            (edge,) = level.edges
            if self._relu_in_layers:
                h = _product(edge, h, degrees, "relu")
            else:
                node = _product(edge, h, degrees)
                for extra in level.offsets(degrees, context):
                    node = node + extra
                nodes.append(node if level.skip is None else node + nodes[level.skip - 1])
                h = self.activation(nodes[-1])
            if self.dropout:
                h = nn.functional.dropout(h, self.dropout, self.training)
        return self._params(features, h, degrees, context)

    def weights(self) -> Iterator[nn.Parameter]:
        """The weights between layers; biases, conditioning weights and context are none of them."""
        for level in self.levels:
            yield from (edge.layer.weight for edge in level.edges)

    def centres(self) -> Iterator[Tensor | None]:
        """What penalties pull each of the `weights` towards; None for zero."""
        for level in self.levels:
            yield from (edge.layer.centre for edge in level.edges)

    def _params(
        self, features: Features, h: Features, degrees: Degrees, context: Tensor | None
    ) -> Tensor:
        """Level L + 1 (B, P) from the features (B, F) and the last hidden layer (B, H)."""
        level, bias = self.levels[-1], self.output_bias
        # Under autocast the sum has the precision of the bias.
        separate = not level.edges or torch.is_autocast_enabled(bias.device.type)
        params = bias.expand(_count(h), -1) if separate else None
        for edge in level.edges:
            below = features if edge.below == 0 else h
            if params is None:
                params = _product(edge, below, degrees, bias=bias)
            else:
                params = params + _product(edge, below, degrees)
        assert params is not None
        for extra in level.offsets(degrees, context):
            params = params + extra
        return params

    def bias(self, level: int) -> Tensor:
        """The bias of a level 1..L+1, besides what conditioning weights add to it."""
        bias = self.output_bias if level == len(self.levels) else self.hidden[level - 1].bias
        assert isinstance(bias, Tensor)
        return bias

    def call_degrees(self, masks: MaskSet | None) -> Degrees:
        """Degree vectors to give to the layers at each call; None where they are built in."""
        if not self.schedule.is_resampled:
            return None
        masks = self.schedule.mask_set(0) if masks is None else masks
        masks = masks.to(self.feature_widths.device)
        return self._of_units(
            masks.floating_degrees if masks.ordering.is_cpu else masks.layer_degrees
        )

    def layer_degrees(self, masks: MaskSet) -> Sequence[Tensor]:
        """Degrees of features (F,), of each hidden layer (H,), and of params (P,)."""
        return self._of_units(masks.to(self.feature_widths.device).layer_degrees)

    def _of_units(self, degrees: Sequence[Tensor]) -> Sequence[Tensor]:
        """Degrees of all units, from those where each variable is one."""
        one_feature, one_param = self._single_widths  # repeating once still copies, slowly
        if one_feature and one_param:
            return degrees
        ins, *hidden, outs = degrees
        return [
            ins if one_feature else _repeat(ins, self.feature_widths, self.level_widths[0]),
            *hidden,
            outs if one_param else _repeat(outs, self.param_widths, self.level_widths[-1]),
        ]


def _repeat(degrees: Tensor, widths: Tensor, total: int) -> Tensor:
    """Each degree (..., D) as often as `widths` (D,) says, without asking a GPU for their sum."""
    return degrees.repeat_interleave(widths, -1, output_size=total)


def _count(h: Features) -> int:
    return len(h if isinstance(h, Tensor) else next(iter(h.values())))


def _product(
    edge: Edge,
    h: Features,
    degrees: Degrees,
    activation: str = "none",
    bias: Tensor | None = None,
) -> Tensor:
    """What an edge makes of the level below, which may be known with the edge's own bias."""
    if isinstance(h, Tensor):
        return edge(h, degrees, activation, bias)
    node = h[edge.above] if bias is None else h[edge.above] + bias
    return node.relu_() if activation == "relu" else node
