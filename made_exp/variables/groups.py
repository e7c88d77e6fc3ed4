"""Which columns of the network's inputs and outputs belong to which variable.

The network maps features (B, F) to params (B, P). Both are variable-major: all features (params)
of variable 0, then those of variable 1, and so on. Variables with the same conditional and the
same encoding form a group and are computed together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from made_exp.variables.conditionals import Conditional, conditional_for
from made_exp.variables.conditionals.base import Pullback, vjp
from made_exp.variables.encodings import Encoding, encoding_for
from made_exp.variables.variable import Variable


@dataclass(frozen=True, eq=False)
class _Group:
    """Variables (G,) that share a conditional and an encoding."""

    conditional: Conditional
    variables: tuple[int, ...]


class VariableGroups(nn.Module):
    """The conditionals and encodings of all variables.

    Args:
        variables: What each of the D variables holds.
        conditional: Name of the conditional of every variable, or auto.
        num_components: Components of the mixture conditionals.
        encoding: Name of the encoding of every variable, or auto.
        embedding_size: Width of learned embeddings.
        smooth_logits: Whether logits of ordered values are made of smooth functions.
        generator: Where learned embeddings draw their first values from.

    Raises:
        ValueError: If a conditional or encoding does not fit the kind of a variable.
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        *,
        conditional: str = "auto",
        num_components: int = 4,
        encoding: str = "auto",
        embedding_size: int = 8,
        smooth_logits: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.variables = tuple(variables)
        conditionals = [
            conditional_for(
                conditional, variable, num_components=num_components, smooth_logits=smooth_logits
            )
            for variable in self.variables
        ]
        members: dict[object, list[int]] = {}
        for index, variable in enumerate(self.variables):
            key = (conditionals[index], variable.kind, variable.num_values, variable.shift)
            members.setdefault(key, []).append(index)
        self._groups = [_Group(conditionals[group[0]], tuple(group)) for group in members.values()]
        self.encodings = nn.ModuleList(
            encoding_for(
                encoding,
                self.variables[group.variables[0]],
                num_variables=len(group.variables),
                embedding_size=embedding_size,
                generator=generator,
            )
            for group in self._groups
        )
        self._place: dict[int, tuple[int, int]] = {
            variable: (number, position)
            for number, group in enumerate(self._groups)
            for position, variable in enumerate(group.variables)
        }
        self._set_layout()

    def _set_layout(self) -> None:
        places = [self._place[d] for d in range(self.num_dims)]
        self.feature_widths = tuple(self._encoding(group).num_features for group, _ in places)
        self.param_widths = tuple(self._groups[group].conditional.num_params for group, _ in places)
        self.uniform_widths = tuple(
            self._groups[group].conditional.num_uniforms for group, _ in places
        )
        self.feature_starts = _starts(self.feature_widths)
        self.param_starts = _starts(self.param_widths)
        self.uniform_starts = _starts(self.uniform_widths)
        if len(self._groups) > 1:
            for number, group in enumerate(self._groups):
                columns = torch.tensor(group.variables)
                params = _columns(group.variables, self.param_starts, self.param_widths)
                features = _columns(group.variables, self.feature_starts, self.feature_widths)
                self.register_buffer(f"columns_{number}", columns, persistent=False)
                self.register_buffer(f"params_{number}", params, persistent=False)
                self.register_buffer(f"features_{number}", features, persistent=False)

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return len(self.variables)

    @property
    def num_features(self) -> int:
        """Number of network inputs F."""
        return sum(self.feature_widths)

    @property
    def num_params(self) -> int:
        """Number of network outputs P."""
        return sum(self.param_widths)

    @property
    def is_discrete(self) -> bool:
        """Whether every variable has finitely many values."""
        return all(group.conditional.is_discrete for group in self._groups)

    def conditional(self, variable: int) -> Conditional:
        """The conditional of `variable`."""
        return self._groups[self._place[variable][0]].conditional

    def features(self, x: Tensor) -> Tensor:
        """Encode x (B, D) as network inputs (B, F)."""
        if len(self._groups) == 1:
            return self._encoding(0)(x).flatten(1)
        out = x.new_empty(len(x), self.num_features, dtype=self._float_dtype(x))
        for number in range(len(self._groups)):
            values = self._encoding(number)(x[:, self._buffer("columns", number)])
            out[:, self._buffer("features", number)] = values.flatten(1).to(out.dtype)
        return out

    def single_features(self, variable: int, x: Tensor) -> Tensor:
        """Encode the values x (B,) of one variable as (B, W_d)."""
        number, position = self._place[variable]
        return self._encoding(number).single(x, position)

    def filled(self, x: Tensor, observed: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Give x (B, D) in `dtype`, with a legal value where `observed` (B, D) is false."""
        if observed is None:
            return x.to(dtype)
        shifts = [variable.shift for variable in self.variables]
        return torch.where(observed, x.to(dtype), torch.tensor(shifts, dtype=dtype).to(x.device))

    def initial_params(self, x: Tensor) -> Tensor:
        """Params (P,) that give each variable its marginal in the data x (N, D)."""
        parts = []
        for index in range(self.num_dims):
            values = x[:, index]
            if values.is_floating_point():
                values = values[~torch.isnan(values)]
            parts.append(self.conditional(index).initial_params(values))
        return torch.cat([part.to(torch.float64) for part in parts])

    @property
    def only(self) -> Conditional | None:
        """The conditional that all variables share; None where there are several groups."""
        return self._groups[0].conditional if len(self._groups) == 1 else None

    def split(self, params: Tensor) -> Iterator[tuple[Tensor | slice, Conditional, Tensor]]:
        """For each group its variables (G,), its conditional and its params (B, G, K)."""
        for number, group in enumerate(self._groups):
            own = params[:, self._buffer("params", number)]
            shape = (len(params), len(group.variables), group.conditional.num_params)
            yield self._buffer("columns", number), group.conditional, own.view(shape)

    def _encoding(self, number: int) -> Encoding:
        encoding = self.encodings[number]
        assert isinstance(encoding, Encoding)
        return encoding

    def _buffer(self, name: str, number: int) -> Tensor | slice:
        if len(self._groups) == 1:
            return slice(None)
        return getattr(self, f"{name}_{number}")

    def _float_dtype(self, x: Tensor) -> torch.dtype:
        for parameter in self.parameters():
            return parameter.dtype
        return x.dtype if x.is_floating_point() else torch.get_default_dtype()


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

    def mean(self) -> Tensor:
        """Mean of each variable, (B, D)."""
        out = self.params.new_empty(len(self.params), self.groups.num_dims)
        for columns, conditional, params in self.groups.split(self.params):
            out[:, columns] = conditional.mean(params).to(out.dtype)
        return out

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
        out = params.new_empty(x.shape)
        for columns, conditional, group_params in self.groups.split(params):
            out[:, columns] = conditional.log_prob(group_params, x[:, columns])
        return out


def _starts(widths: Sequence[int]) -> tuple[int, ...]:
    starts, total = [], 0
    for width in widths:
        starts.append(total)
        total += width
    return tuple(starts)


def _columns(variables: Sequence[int], starts: Sequence[int], widths: Sequence[int]) -> Tensor:
    return torch.cat([torch.arange(starts[v], starts[v] + widths[v]) for v in variables])
