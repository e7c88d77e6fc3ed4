"""The log-probability of discrete rows as plain products and sums, for other programs to run."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, one_hot
from typing_extensions import override

from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.density.simple_program import TablesProgram
from made_exp.masks.mask_set import visibility
from made_exp.model.component import Component
from made_exp.model.made import MADE
from made_exp.model.networks import MaskedNetwork
from made_exp.model.simple import SimpleComponent
from made_exp.variables.conditionals.bernoulli import Bernoulli
from made_exp.variables.conditionals.categorical import Categorical
from made_exp.variables.conditionals.given import Given
from made_exp.variables.outputs import Conditionals


@final
class LogProbProgram(nn.Module):
    """`MADE.log_prob` of whole rows of binary and categorical values, without any kernel of ours.

    Args:
        made: In evaluation mode.
        num_orderings: Orderings in the mixture; default the model's.

    Raises:
        ValueError: If a variable is a number, or there are simple densities and given variables.
    """

    def __init__(self, made: MADE, num_orderings: int | None = None) -> None:
        super().__init__()
        made.check_num_orderings(num_orderings or made.num_orderings)
        weighted = made.weighted(num_orderings)
        simple = _simple(made, list(weighted))
        _check(made, simple)
        components = [made.component(index) for index in weighted if index >= 0]
        numbers = sorted({component.member for component in components})
        self.groups, self.num_classes = made.groups, made.num_classes
        self.networks = nn.ModuleList(DenseNetwork(made.members[number]) for number in numbers)
        self.of_network = [numbers.index(component.member) for component in components]
        self.masks = nn.ModuleList(Degrees(component) for component in components)
        sizes = [(v.num_values or 0) + v.may_be_missing for v in made.groups.variables]
        self.extras = nn.ModuleList(
            TablesProgram(density, sizes, made.dtype) for density in simple.values()
        )
        log_weights = torch.tensor([*weighted.values()], dtype=made.dtype, device=made.device)
        self.register_buffer("log_weights", log_weights)

    @override
    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Log-probability (B,) in nats.

        Args:
            x: (B, D) floating numbers, the values 0, 1, ... of each column; NaN is missing.
            labels: (B,) int64 class labels, where the model has classes.

        Returns:
            -inf where a value is none of its column; NaN where one is missing and that is no value.
        """
        possible = self.groups.possible(x)
        codes = self.groups.codes(x.where(possible, 0.0))
        unknown = codes.isnan()
        codes = codes.where(~unknown, 0.0)
        features = self.groups.features(codes)
        context = None if labels is None else one_hot(labels, self.num_classes).to(features)
        params = torch.cat(
            [
                self.networks[number](features, masks, context)
                for number, masks in zip(self.of_network, self.masks, strict=True)
            ]
        )
        count = len(self.of_network)
        terms = Conditionals(self.groups, params).log_prob(codes.repeat(count, 1))
        rows = [*terms.sum(1).view(count, -1), *(extra(codes) for extra in self.extras)]
        log_weights: Tensor = self.log_weights  # type: ignore[assignment]
        total = (torch.stack(rows) + log_weights[:, None]).logsumexp(0)
        total = total.masked_fill(~possible.all(1), -torch.inf)
        return total.masked_fill(unknown.any(1), torch.nan)


@final
class Degrees(nn.Module):
    """A mask set of a network: degrees of all units, and what conditioning weights and labels add.

    Attributes:
        is_fixed: Whether the weights are masked already.
    """

    def __init__(self, component: Component) -> None:
        super().__init__()
        network, masks = component.network, component.masks
        self.is_fixed = not network.schedule.is_resampled
        called = network.call_degrees(masks)
        label = None if component.label is None else component.one_hot(None, 1)
        for n, degrees in enumerate(called or ()):
            self.register_buffer(f"degrees_{n}", degrees.clone())
        for n, level in enumerate(network.levels, 1):
            bias = network.bias(n).detach()
            for offset in level.offsets(called, label):
                bias = bias + offset.detach().reshape(-1)
            self.register_buffer(f"bias_{n}", bias.clone())

    def masked(self, weight: Tensor, below: int, above: int) -> Tensor:
        """The weight (O, I) with zeros where a unit does not see."""
        if self.is_fixed:
            return weight
        ins, outs = (getattr(self, f"degrees_{n}") for n in (below, above))
        return weight.where(visibility(ins, outs), 0.0)


@final
class DenseNetwork(nn.Module):
    """A masked network with dense weights, which `Degrees` mask."""

    def __init__(self, network: MaskedNetwork) -> None:
        super().__init__()
        self.activation, self.levels = network.activation, []
        for n, level in enumerate(network.levels, 1):
            self.levels.append((tuple(edge.below for edge in level.edges), level.skip))
            for edge in level.edges:
                layer = edge.layer
                weight = layer.masked_weight() if layer.is_fixed else layer.weight
                self.register_buffer(f"weight_{n}_{edge.below}", weight.detach().clone())
            if level.context is not None:
                assert isinstance(level.context, nn.Linear)
                self.register_buffer(f"context_{n}", level.context.weight.detach().clone())

    @override
    def forward(self, features: Tensor, masks: Degrees, context: Tensor | None) -> Tensor:
        """Params (B, P) of features (B, F) and one-hot labels (B, C) or None."""
        nodes, hidden = [features], [features]
        for n, (edges, skip) in enumerate(self.levels, 1):
            node = getattr(masks, f"bias_{n}").expand(features.shape[0], -1)  # len would fix it
            for below in edges:
                weight = masks.masked(getattr(self, f"weight_{n}_{below}"), below, n)
                node = node + linear(hidden[below], weight)
            if context is not None:
                node = node + linear(context, getattr(self, f"context_{n}"))
            nodes.append(node if skip is None else node + nodes[skip])
            hidden.append(self.activation(nodes[-1]))
        return nodes[-1]


def _simple(made: MADE, indices: Sequence[int]) -> dict[str, SimpleDensity]:
    """The simple densities among those of these indices, by name."""
    parts = {[*made.extras][index]: made.density(index) for index in indices if index < 0}
    return {name: part.density for name, part in parts.items() if isinstance(part, SimpleComponent)}


def _check(made: MADE, simple: Mapping[str, SimpleDensity]) -> None:
    for d, variable in enumerate(made.groups.variables):
        conditional = made.groups.conditional(d)
        if isinstance(conditional, Given):
            conditional = conditional.otherwise
        if not isinstance(conditional, Bernoulli | Categorical):
            raise ValueError(
                f"a program of log_prob is of binary and categorical columns, '{variable.name}' "
                f"is {variable.kind}: take .safetensors"
            )
    if any(made.groups.given or len(one.coordinates.numeric) for one in simple.values()):
        raise ValueError(
            "a program of log_prob holds simple densities of categories alone, this model is also "
            f"of {', '.join(simple)} (model.baselines) with given columns or numbers: take "
            ".safetensors"
        )
