"""The masked network: features in, parameters of the conditionals out.

Every architecture of the package is one chain of masked layers,

    node_l = layer_l(h_{l-1}) [+ node_{skip(l)}],   h_l = activation(node_l),   h_0 = features,
    params = output(h_L) [+ direct(features)],

so that the forward pass here and the sampler in `sampling` interpret the same few lists. A plain
MADE has no skips; a residual one (Nash and Durkan 2019) skips over every second layer, with equal
degrees in all hidden layers.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from made_exp.masks.mask_set import MaskSet
from made_exp.masks.schedule import MaskSchedule
from made_exp.model.layers import MaskedLinear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "elu": nn.functional.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": nn.functional.softplus,
    "leaky_relu": nn.functional.leaky_relu,
    "silu": nn.functional.silu,
}


class MaskedNetwork(nn.Module):
    """A chain of masked layers, plain or residual, with the paper's options.

    Args:
        feature_widths: (D,) network inputs of each variable; they share its degree.
        param_widths: (D,) network outputs of each variable.
        schedule: Degrees of all hidden layers. With one mask set the layers are built for it;
            with several, degrees are given to each call.
        activation: relu, elu, tanh, sigmoid, softplus, leaky_relu or silu.
        residual: Whether every second hidden layer is added to the one two below it; then there
            are 1 + 2 * num_blocks hidden layers of one size and tied degrees.
        direct_connections: Whether inputs also reach outputs by a masked matrix (section 4.1).
        conditioning_weights: Whether each layer has a companion matrix applied to a vector of
            ones, so that a unit knows which inputs are masked (section 4.2).
        dropout: Probability of dropping a hidden unit in training.
        num_classes: Classes of the context, which reaches every hidden layer and every output;
            0 for none.
        backend: Kernel of the masked layers.
        generator: Where initial weights are drawn from.

    Raises:
        ValueError: If an option is unknown or out of range.
    """

    feature_widths: Tensor
    param_widths: Tensor

    def __init__(
        self,
        feature_widths: Sequence[int],
        param_widths: Sequence[int],
        schedule: MaskSchedule,
        *,
        activation: str = "relu",
        residual: bool = False,
        direct_connections: bool = False,
        conditioning_weights: bool = False,
        dropout: float = 0.0,
        num_classes: int = 0,
        backend: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check_options(activation, dropout, residual, schedule)
        self.schedule, self.dropout, self.num_classes = schedule, dropout, num_classes
        self.activation_name, self.activation = activation, ACTIVATIONS[activation]
        self.register_buffer("feature_widths", torch.tensor(feature_widths), persistent=False)
        self.register_buffer("param_widths", torch.tensor(param_widths), persistent=False)
        self._single_widths = set(feature_widths) == {1}, set(param_widths) == {1}
        # One variable has no predecessors: no hidden unit is legal and the bias is everything.
        sizes = schedule.hidden_sizes if schedule.num_dims > 1 else ()
        num_features, num_params = sum(feature_widths), sum(param_widths)
        self.skips = tuple(
            layer - 2 if residual and layer >= 2 and layer % 2 == 0 else None
            for layer in range(len(sizes))
        )
        fixed = None if schedule.is_resampled else self._degrees(schedule.mask_set(0))

        def masked(below: int, above: int, inputs: int, outputs: int, bias: bool) -> MaskedLinear:
            """A layer from degree vector `below` to degree vector `above`."""
            return MaskedLinear(
                inputs,
                outputs,
                bias=bias,
                in_degrees=fixed[below] if fixed else None,
                out_degrees=fixed[above] if fixed else None,
                backend=backend,
                generator=generator,
            )

        widths = (num_features, *sizes)
        self.hidden = nn.ModuleList(
            masked(layer, layer + 1, widths[layer], size, True) for layer, size in enumerate(sizes)
        )
        self.output = masked(-2, -1, widths[-1], num_params, False) if sizes else None
        has_direct = direct_connections and schedule.num_dims > 1
        self.direct = masked(0, -1, num_features, num_params, False) if has_direct else None
        self.output_bias = nn.Parameter(torch.zeros(num_params))
        self.conditioning = nn.ModuleList(
            masked(layer, layer + 1, widths[layer], size, False)
            for layer, size in enumerate((*sizes, num_params))
            if conditioning_weights and schedule.num_dims > 1
        )
        self.context = nn.ModuleList(
            nn.Linear(num_classes, size, bias=False) for size in (*sizes, num_params) if num_classes
        )
        for parameter in (*self.conditioning.parameters(), *self.context.parameters()):
            nn.init.zeros_(parameter)
        # Where nothing comes between a product and its relu, the layer does both.
        self._has_offsets = bool(len(self.conditioning) or num_classes)
        self.is_relu_chain = not self._has_offsets and activation == "relu"
        self.relu_in_layers = self.is_relu_chain and not residual

    def forward(
        self, features: Tensor, masks: MaskSet | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Compute the parameters of all conditionals.

        Args:
            features: (B, F).
            masks: Degrees to use; None for mask set 0.
            context: (B, num_classes) one-hot, or None.

        Returns:
            (B, P).
        """
        degrees = self.call_degrees(masks)
        h, nodes = features, list[Tensor]()
        for number, layer in enumerate(self.hidden):
            pair = _pair(degrees, number, number + 1)
            if self.relu_in_layers:
                h = layer(h, *pair, activation="relu")
            else:
                node = layer(h, *pair)
                for extra in self.offsets(number, degrees, context):
                    node = node + extra
                skip = self.skips[number]
                nodes.append(node if skip is None else node + nodes[skip])
                h = self.activation(nodes[-1])
            if self.dropout:
                h = nn.functional.dropout(h, self.dropout, self.training)
        params = self._output_params(h, degrees)
        if self.direct is not None:
            params = params + self.direct(features, *_pair(degrees, 0, -1))
        if self._has_offsets:
            for extra in self.offsets(len(self.hidden), degrees, context):
                params = params + extra
        return params

    @torch.no_grad()
    def initialise_bias(self, params: Tensor) -> None:
        """Start the output biases at `params` (P,)."""
        self.output_bias.copy_(params.to(self.output_bias))

    def weights(self) -> Iterator[nn.Parameter]:
        """The weights between layers; biases, conditioning weights and context are none of them."""
        for layer in (*self.hidden, self.output, self.direct):
            if isinstance(layer, MaskedLinear):
                yield layer.weight

    def _output_params(self, h: Tensor, degrees: Sequence[Tensor] | None) -> Tensor:
        """What the last hidden layer h (B, H) and the output bias give to the params (B, P)."""
        if self.output is None:
            return self.output_bias.expand(len(h), -1)
        pair = _pair(degrees, len(self.hidden), -1)
        if torch.is_autocast_enabled(h.device.type):  # the sum has the precision of the bias
            return self.output(h, *pair) + self.output_bias
        return self.output(h, *pair, bias=self.output_bias)

    def offsets(
        self, layer: int, degrees: Sequence[Tensor] | None, context: Tensor | None
    ) -> list[Tensor]:
        """What is added to a layer besides its product: conditioning weights and context.

        Args:
            layer: Hidden layer, or the number of hidden layers for the output.
            degrees: As from `call_degrees`.
            context: (B, num_classes) one-hot, or None.

        Returns:
            Tensors (1, O) or (B, O).
        """
        extras = []
        if len(self.conditioning):
            companion = self.conditioning[layer]
            assert isinstance(companion, MaskedLinear)
            # Scaled like inputs of unit norm: a vector of ones would let the sum run away.
            ones = self.output_bias.new_full(
                (1, companion.in_features), companion.in_features**-0.5
            )
            above = layer + 1 if layer < len(self.hidden) else -1
            extras.append(companion(ones, *_pair(degrees, layer, above)))
        if len(self.context) and context is not None:
            extras.append(self.context[layer](context))
        return extras

    def call_degrees(self, masks: MaskSet | None) -> Sequence[Tensor] | None:
        """Degree vectors to give to the layers at each call; None where they are built in."""
        if not self.schedule.is_resampled:
            return None
        masks = self.schedule.mask_set(0) if masks is None else masks
        masks = masks.to(self.feature_widths.device)
        if masks.ordering.is_cpu:
            masks = masks.floating
        return self._degrees(masks)

    def layer_degrees(self, masks: MaskSet) -> Sequence[Tensor]:
        """Degrees of features (F,), of each hidden layer (H,), and of params (P,)."""
        return self._degrees(masks.to(self.feature_widths.device))

    def _degrees(self, masks: MaskSet) -> Sequence[Tensor]:
        one_feature, one_param = self._single_widths  # repeating once still copies, slowly
        if one_feature and one_param:
            return masks.layer_degrees
        ins, *hidden, outs = masks.layer_degrees
        return [
            ins if one_feature else ins.repeat_interleave(self.feature_widths, -1),
            *hidden,
            outs if one_param else outs.repeat_interleave(self.param_widths, -1),
        ]


def _pair(degrees: Sequence[Tensor] | None, below: int, above: int) -> tuple[Tensor, ...]:
    return () if degrees is None else (degrees[below], degrees[above])


def _check_options(activation: str, dropout: float, residual: bool, schedule: MaskSchedule) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation '{activation}' is not one of {', '.join(ACTIVATIONS)}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")
    if residual and (len(schedule.hidden_sizes) % 2 == 0 or not schedule.tied):
        raise ValueError(
            "a residual network needs 1 + 2 * num_blocks hidden layers with tied degrees, got "
            f"{len(schedule.hidden_sizes)} layers, tied={schedule.tied}"
        )
