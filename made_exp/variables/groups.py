"""Which columns of the network's inputs and outputs belong to which variable.

The network maps features (B, F) to params (B, P). Both are variable-major: all features (params)
of variable 0, then those of variable 1, and so on. Variables with the same conditional and the
same encoding form a group and are computed together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import final

import torch
from torch import Tensor, nn

from made_exp.variables.conditionals.base import Conditional, Pullback, conditional_for, vjp
from made_exp.variables.encodings import Encoding, encoding_for
from made_exp.variables.variable import Variable


@dataclass(frozen=True, eq=False)
class _Group:
    """Variables (G,) that share a conditional and an encoding."""

    conditional: Conditional
    encoding: Encoding
    variables: tuple[int, ...]


class VariableGroups(nn.Module):
    """The conditionals and encodings of all variables.

    Args:
        variables: What each of the D variables holds.
        conditional: Name of the conditional of every variable, or auto.
        num_components: Components of the mixture conditionals.
        encoding: Name of the encoding of every variable, or auto.
        smooth_logits: Whether logits of ordered values are made of smooth functions.

    Attributes:
        feature_widths: (D,) network inputs of each variable.
        param_widths: (D,) network outputs of each variable.
        uniform_widths: (D,) uniform numbers that a draw of each variable takes.
        param_starts: (D,) the first network output of each variable.
        uniform_starts: (D,) the first uniform number of each variable.

    Raises:
        ValueError: If a conditional or encoding does not fit the kind of a variable.
    """

    _shifts: Tensor
    _by_group: Tensor
    _params_by_group: Tensor
    _by_variable: Tensor
    _features_by_variable: Tensor

    def __init__(
        self,
        variables: Sequence[Variable],
        *,
        conditional: str,
        num_components: int,
        encoding: str,
        smooth_logits: bool,
    ) -> None:
        super().__init__()
        self.variables = tuple(variables)
        conditionals = [
            conditional_for(conditional, variable, num_components, smooth_logits)
            for variable in self.variables
        ]
        alike: dict[object, list[int]] = {}
        for index, variable in enumerate(self.variables):
            key = (conditionals[index], variable.kind, variable.num_values, variable.transform)
            alike.setdefault(key, []).append(index)
        self._groups = [
            _Group(conditionals[d], encoding_for(encoding, self.variables[d]), (d, *others))
            for d, *others in alike.values()
        ]
        self.encodings = nn.ModuleList(group.encoding for group in self._groups)
        self._group_of = {d: group for group in self._groups for d in group.variables}
        shifts = torch.tensor([variable.transform.shift for variable in self.variables])
        self.register_buffer("_shifts", shifts, persistent=False)
        self._set_layout()

    def _set_layout(self) -> None:
        groups = [self._group_of[d] for d in range(self.num_dims)]
        self.feature_widths = tuple(group.encoding.num_features for group in groups)
        self.param_widths = tuple(group.conditional.num_params for group in groups)
        self.uniform_widths = tuple(group.conditional.num_uniforms for group in groups)
        self.param_starts, self.uniform_starts = map(
            _starts, (self.param_widths, self.uniform_widths)
        )
        order = [d for group in self._groups for d in group.variables]
        by_group = _columns(order, [1] * self.num_dims)
        for name, columns in (
            ("_by_group", by_group),
            ("_params_by_group", _columns(order, self.param_widths)),
            ("_by_variable", by_group.argsort()),
            ("_features_by_variable", _columns(order, self.feature_widths).argsort()),
        ):
            self.register_buffer(name, columns, persistent=False)

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return len(self.variables)

    @property
    def only(self) -> Conditional | None:
        """The conditional of a single group of all variables; None where there are several."""
        return self._groups[0].conditional if len(self._groups) == 1 else None

    def conditional(self, variable: int) -> Conditional:
        """The conditional of `variable`."""
        return self._group_of[variable].conditional

    def features(self, x: Tensor) -> Tensor:
        """Encode x (B, D) as network inputs (B, F)."""
        if self.only is not None:
            return self._groups[0].encoding(x).flatten(1)
        pairs = zip(self._groups, self.split(x), strict=True)
        parts = [group.encoding(own).flatten(1) for group, own in pairs]
        return torch.cat(parts, 1).index_select(1, self._features_by_variable)

    def single_features(self, variable: int, x: Tensor) -> Tensor:
        """Encode the values x (B,) of one variable as (B, W_d)."""
        return self._group_of[variable].encoding(x[:, None])[:, 0]

    def filled(self, x: Tensor, observed: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Give x (B, D) in `dtype`, with a legal value where `observed` (B, D) is false."""
        if observed is None:
            return x.to(dtype)
        return torch.where(observed, x.to(dtype), self._shifts.to(dtype))

    def initial_params(self, x: Tensor) -> Tensor:
        """Params (P,) that give each variable its marginal in the data x (N, D)."""
        parts = [self.conditional(d).initial_params(x[:, d]) for d in range(self.num_dims)]
        return torch.cat([part.to(torch.float64) for part in parts])

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The values (B, G) of each group of x (B, D)."""
        sizes = [len(group.variables) for group in self._groups]
        return x[:, self._by_group].split(sizes, 1)

    def split_params(self, params: Tensor) -> Iterator[tuple[Conditional, Tensor]]:
        """The conditional of each group, and its params (B, G, K) of all params (B, P)."""
        sizes = [len(group.variables) * group.conditional.num_params for group in self._groups]
        parts = params[:, self._params_by_group].split(sizes, 1)
        for group, part in zip(self._groups, parts, strict=True):
            shape = (len(group.variables), group.conditional.num_params)
            yield group.conditional, part.unflatten(1, shape)

    def joined(self, parts: list[Tensor]) -> Tensor:
        """Numbers (B, D) of all variables from those (B, G) of each group."""
        return torch.cat(parts, 1)[:, self._by_variable]


@final
@dataclass(frozen=True, eq=False)
class Conditionals:
    """The distributions of all variables of B examples, each given the earlier variables.

    Attributes:
        groups: The conditionals of the variables.
        params: (B, P), what the network made of the examples.
        observed: (B, D) bool, the variables that count; None for all.
    """

    groups: VariableGroups
    params: Tensor
    observed: Tensor | None = None

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability (density for real variables) of each variable of x (B, D).

        Returns:
            (B, D), nats; 0 for a variable that does not count, whose value is not read.
        """
        x = self.groups.filled(x, self.observed, self.params.dtype)
        log_probs = self._log_prob(self.params, x)
        return log_probs if self.observed is None else torch.where(self.observed, log_probs, 0)

    def log_prob_vjp(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """`log_prob` outside autograd, and the pullback of its gradient (B, D) to the params."""
        if self.groups.only is not None:
            return self.groups.only.log_probs_vjp(self.params, x)
        return vjp(self._log_prob, self.params, x)

    def sample(
        self, variable: int, rows: Tensor, uniforms: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """Draw one variable of the examples at `rows`.

        Args:
            variable: Which variable d.
            rows: (R,) int64.
            uniforms: (R, U_d) in [0, 1).
            temperature: Divides the logits of discrete conditionals; > 0.

        Returns:
            (R,).
        """
        groups = self.groups
        start, width = groups.param_starts[variable], groups.param_widths[variable]
        params = self.params[rows, start : start + width]
        return groups.conditional(variable).sample(params, uniforms, temperature)

    def _log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        if self.groups.only is not None:
            return self.groups.only.log_probs(params, x)
        pairs = zip(self.groups.split_params(params), self.groups.split(x), strict=True)
        return self.groups.joined([one.log_prob(own, values) for (one, own), values in pairs])


def _starts(widths: Sequence[int]) -> tuple[int, ...]:
    return tuple(accumulate(widths, initial=0))[:-1]


def _columns(variables: Sequence[int], widths: Sequence[int]) -> Tensor:
    """The columns of `variables`, one after the other, where each has widths[d]."""
    starts = _starts(widths)
    return torch.cat([torch.arange(starts[d], starts[d] + widths[d]) for d in variables])
