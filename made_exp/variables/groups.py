"""Which columns of the network's inputs and outputs belong to which variable.

The network maps features (B, F) to params (B, P). Both are variable-major: all features (params)
of variable 0, then those of variable 1, and so on. Variables with like conditionals and like
encodings form a group and are computed together.

x is in *data space*, where a value is the column's number, or in *codes*, which the model works on:
`encode` and `decode` lead from one to the other, and are trivial where all columns are discrete.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from made_exp.variables.conditionals.base import Conditional, conditional_for
from made_exp.variables.encoding_choice import encoding_key
from made_exp.variables.encodings import Encoding
from made_exp.variables.group import Group, make_group
from made_exp.variables.variable import MAX_CODE, Variable, has_many_numbers

# So many are put together one by one, which on a CPU takes less time than columns out of order.
_FEW = 64
# Encoded together, in bounded memory.
_ROWS = 2**16


class VariableGroups(nn.Module):
    """The conditionals and encodings of all variables.

    Args:
        variables: What each of the D variables holds.
        conditional: Name of the conditional of every variable, or auto.
        num_components: Components of the mixture conditionals; None: see `usual_components`.
        encoding: Name of the encoding of every variable, or auto.
        smooth_logits: Whether logits of ordered values are made of smooth functions.

    Attributes:
        alike: The groups.
        feature_widths: (D,) network inputs of each variable.
        param_widths: (D,) network outputs of each variable.
        uniform_widths: (D,) uniform numbers that a draw of each variable takes.
        feature_starts: (D,) the first network input of each variable.
        param_starts: (D,) the first network output of each variable.
        uniform_starts: (D,) the first uniform number of each variable.
        given: Numbers of the variables that are given; the others are modelled given them.
        is_given: (D,) bool, the same.

    Raises:
        ValueError: If a conditional or encoding does not fit the kind of a variable.
    """

    is_given: Tensor
    _like: Tensor
    _by_group: Tensor
    _params_by_group: Tensor
    _params_by_variable: Tensor
    _by_variable: Tensor
    _features_by_variable: Tensor

    def __init__(
        self,
        variables: Sequence[Variable],
        *,
        conditional: str,
        num_components: int | None,
        encoding: str,
        smooth_logits: bool,
    ) -> None:
        super().__init__()
        self.variables = tuple(variables)
        num_components = num_components or usual_components(variables)
        conditionals = [
            conditional_for(conditional, variable, num_components, smooth_logits)
            for variable in self.variables
        ]
        alike: dict[object, list[int]] = {}
        for index, variable in enumerate(self.variables):
            is_number = conditionals[index].codes_are_numbers
            key = (conditionals[index], encoding_key(encoding, variable, is_number))
            alike.setdefault(key, []).append(index)
        self.alike = [
            make_group(conditionals[own[0]], encoding, self.variables, own)
            for own in alike.values()
        ]
        self.encodings = nn.ModuleList(group.encoding for group in self.alike)
        self.numbers = nn.ModuleList(g.numbers for g in self.alike if g.numbers is not None)
        self._place = {
            d: (group, index) for group in self.alike for index, d in enumerate(group.variables)
        }
        self.is_trivial = not len(self.numbers) and not any(v.may_be_missing for v in variables)
        self._has_wide_codes = any(
            group.numbers is not None and (self.variables[d].num_values or 0) > MAX_CODE
            for d, (group, _) in self._place.items()
        )
        self.has_slopes = any(group.has_slopes for group in self.alike)
        self.given = tuple(d for d, variable in enumerate(self.variables) if variable.is_given)
        is_given = torch.tensor([variable.is_given for variable in self.variables])
        self.register_buffer("is_given", is_given, persistent=False)
        self.register_buffer("_like", torch.empty(0), persistent=False)
        self._set_layout()

    def _set_layout(self) -> None:
        groups = [self._place[d][0] for d in range(self.num_dims)]
        self.feature_widths = tuple(group.encoding.num_features for group in groups)
        self.param_widths = tuple(group.conditional.num_params for group in groups)
        self.uniform_widths = tuple(group.conditional.num_uniforms for group in groups)
        self.feature_starts, self.param_starts, self.uniform_starts = map(
            _starts, (self.feature_widths, self.param_widths, self.uniform_widths)
        )
        order = [d for group in self.alike for d in group.variables]
        numbers = [(n, i) for n, one in enumerate(self.alike) for i in range(len(one.variables))]
        self._numbers = [pair for _, pair in sorted(zip(order, numbers, strict=True))]
        by_group = _columns(order, [1] * self.num_dims)
        for name, columns in (
            ("_by_group", by_group),
            ("_params_by_group", _columns(order, self.param_widths)),
            ("_params_by_variable", _columns(order, self.param_widths).argsort()),
            ("_by_variable", by_group.argsort()),
            ("_features_by_variable", _columns(order, self.feature_widths).argsort()),
        ):
            self.register_buffer(name, columns, persistent=False)

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return len(self.variables)

    @property
    def num_modelled(self) -> int:
        """How many of the D variables have a probability."""
        return self.num_dims - len(self.given)

    @property
    def only(self) -> Conditional | None:
        """The conditional of a single group of all variables; None where there are several."""
        return self.alike[0].conditional if len(self.alike) == 1 else None

    def conditional(self, variable: int) -> Conditional:
        """The conditional of `variable`."""
        return self.single(variable).conditional

    def single(self, variable: int) -> Group:
        """The group of `variable` alone: its values and codes are (...) instead of (B, G)."""
        group, index = self._place[variable]
        return group.single(index)

    @property
    def code_dtype(self) -> torch.dtype:
        """Dtype of codes: that of the model, or float64 where it cannot count all values."""
        return torch.float64 if self._has_wide_codes else self._like.dtype

    @property
    def data_dtype(self) -> torch.dtype:
        """Dtype of decoded values: float64 where some are real, may be missing or are wide."""
        is_plain = self.is_trivial or all(
            not v.is_real and not v.may_be_missing and (v.num_values or 0) <= MAX_CODE
            for v in self.variables
        )
        return self._like.dtype if is_plain else torch.float64

    def empty_codes(self, count: int) -> Tensor:
        """Room for codes (count, D)."""
        return self._like.new_empty((count, self.num_dims), dtype=self.code_dtype)

    def cast(self, codes: Tensor) -> Tensor:
        """Codes in `code_dtype`."""
        return codes.to(self.code_dtype)

    def possible(self, x: Tensor) -> Tensor:
        """Whether each value of x (B, D), in data space, is one of its variable; NaN is."""
        return self.joined([group.possible(own) for group, own in self._pairs(x)])

    def encode(self, x: Tensor) -> Tensor:
        """Codes (B, D) of possible values x (B, D); NaN where not observed.

        Returns:
            In `code_dtype`; x itself where codes are values and no value is NaN for a value.
        """
        if self.is_trivial:
            return x
        parts = [self.codes(rows) for rows in x.split(_ROWS)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def codes(self, x: Tensor) -> Tensor:
        """As `encode`, of all rows at once."""
        return self.cast(self.joined([group.encode(own) for group, own in self._pairs(x)]))

    def decode(self, codes: Tensor) -> Tensor:
        """Values (B, D) in `data_dtype` of codes (B, D); NaN where missing or not observed."""
        if self.is_trivial:
            return codes
        x = self.joined([group.decode(own) for group, own in self._pairs(codes)])
        return x.to(self.data_dtype)

    def decode_single(self, variable: int, codes: Tensor) -> Tensor:
        """Values (...) float64 of codes (...) of one variable; NaN where missing."""
        group, index = self._place[variable]
        if group.numbers is None:
            return group.decode(codes)
        return group.numbers.of(index).decode(codes)

    def log_slopes(self, x: Tensor) -> Tensor:
        """Sum (B,) float64 of `log_slopes_by_variable` over the values of x (B, D)."""
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        pairs = ((group, own) for group, own in self._pairs(x) if group.has_slopes)
        return sum((group.log_slopes(own).sum(1) for group, own in pairs), total)

    def log_slopes_by_variable(self, x: Tensor) -> Tensor:
        """Log |dz/dx| (B, D) float64 of values x (B, D), see `Numbers.log_slopes`; 0 if missing."""
        return self.joined([group.log_slopes(own) for group, own in self._pairs(x)])

    def features(self, x: Tensor) -> Tensor:
        """Network inputs (B, F) of codes x (B, D)."""
        if self.only is not None:
            return self.alike[0].encoding(x).flatten(1)
        parts = [group.encoding(own) for group, own in self._pairs(x)]
        if x.is_cpu and self.num_dims <= _FEW:
            return torch.cat([parts[number][:, index] for number, index in self._numbers], 1)
        flat = torch.cat([part.flatten(1) for part in parts], 1)
        return flat.index_select(1, self._features_by_variable)

    def single_features(self, variable: int, x: Tensor) -> Tensor:
        """Network inputs (B, W_d) of the codes x (B,) of one variable."""
        encoding, index = self.encoding_of(variable)
        return encoding.single(index, x)

    def encoding_of(self, variable: int) -> tuple[Encoding, int]:
        """The encoding of the group of a variable, and its number in the group."""
        group, index = self._place[variable]
        return group.encoding, index

    def filled(self, x: Tensor, observed: Tensor | None) -> Tensor:
        """Codes x (B, D) in `code_dtype`, with a legal one where `observed` (B, D) is false."""
        x = self.cast(x)
        return x if observed is None else x.where(observed, 0.0)

    def initial_params(self, x: Tensor) -> Tensor:
        """Params (P,) that give each variable its marginal in the codes x (N, D)."""
        parts = [self.conditional(d).initial_params(x[:, d]) for d in range(self.num_dims)]
        return torch.cat([part.to(torch.float64) for part in parts])

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The values or codes (B, G) of each group of x (B, D)."""
        sizes = [len(group.variables) for group in self.alike]
        return x.index_select(1, self._by_group).split(sizes, 1)

    def _pairs(self, x: Tensor) -> Iterator[tuple[Group, Tensor]]:
        if len(self.alike) == 1:
            return iter([(self.alike[0], x)])
        return zip(self.alike, self.split(x), strict=True)

    def split_params(self, params: Tensor) -> Iterator[tuple[Conditional, Tensor]]:
        """The conditional of each group, and its params (B, G, K) of all params (B, P)."""
        sizes = [len(group.variables) * group.conditional.num_params for group in self.alike]
        parts = params.index_select(1, self._params_by_group).split(sizes, 1)
        for group, part in zip(self.alike, parts, strict=True):
            shape = (len(group.variables), group.conditional.num_params)
            yield group.conditional, part.unflatten(1, shape)

    def joined(self, parts: list[Tensor]) -> Tensor:
        """Numbers (B, D) of all variables from those (B, G) of each group."""
        if len(parts) == 1:
            return parts[0]
        return torch.cat(parts, 1).index_select(1, self._by_variable)

    def joined_params(self, parts: list[Tensor]) -> Tensor:
        """Params (B, P) of all variables, from those (B, G, K) of each group."""
        flat = torch.cat([part.flatten(1) for part in parts], 1)
        return flat.index_select(1, self._params_by_variable)


def usual_components(variables: Sequence[Variable]) -> int:
    """How many components suit mixtures of these variables."""
    return 2 if has_many_numbers(variables) else 4


def _starts(widths: Sequence[int]) -> tuple[int, ...]:
    return tuple(accumulate(widths, initial=0))[:-1]


def _columns(variables: Sequence[int], widths: Sequence[int]) -> Tensor:
    """The columns of `variables`, one after the other, where each has widths[d]."""
    starts = _starts(widths)
    return torch.cat([torch.arange(starts[d], starts[d] + widths[d]) for d in variables])
