"""Variables that are computed together: alike in all but where their numbers lie."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from made_exp.variables.conditionals.base import Conditional
from made_exp.variables.encoding_choice import encoding_for
from made_exp.variables.encodings import Encoding
from made_exp.variables.numbers import Numbers
from made_exp.variables.variable import Variable


@final
@dataclass(frozen=True, eq=False)
class Group:
    """Variables (G,) that share a conditional and an encoding.

    Attributes:
        conditional: Of all of them at once.
        encoding: The same.
        variables: Which they are of the D.
        num_levels: Values of each, where codes are values.
        missing: Code of a missing value, where codes are values; NaN if it is none of them.
        numbers: Where their values lie, where codes are numbers; else None.
        is_given: Whether they have no probability.
    """

    conditional: Conditional
    encoding: Encoding
    variables: tuple[int, ...]
    num_levels: int
    missing: float
    numbers: Numbers | None
    is_given: bool

    def single(self, index: int) -> "Group":
        """The variable with this number alone: its values and codes are (...)."""
        numbers = None if self.numbers is None else self.numbers.of(index)
        conditional = self.conditional.of_group(numbers)
        own = (self.variables[index],)
        return replace(self, conditional=conditional, variables=own, numbers=numbers)

    def possible(self, x: Tensor) -> Tensor:
        """Whether values x (B, G) are any of the variables'; NaN counts as one."""
        if self.numbers is not None:
            return self.numbers.possible(x)
        if x.is_floating_point():
            return x.isnan() | ((x >= 0) & (x < self.num_levels) & (x == x.floor()))
        # Compared with a larger number than its type has, a small integer would wrap around.
        highest = min(self.num_levels - 1, torch.iinfo(x.dtype).max)
        return (x >= 0) & (x <= highest)

    @property
    def has_slopes(self) -> bool:
        """Whether what the model gives their codes is not yet what their values have."""
        numbers = None if self.is_given else self.numbers
        return numbers is not None and (numbers.is_real or numbers.is_open)

    def encode(self, x: Tensor) -> Tensor:
        """Codes (B, G) float64 of possible values x (B, G)."""
        if self.numbers is not None:
            return self.numbers.encode(x)
        return x.double().masked_fill(x.isnan(), self.missing)

    def decode(self, codes: Tensor) -> Tensor:
        """Values (B, G) float64 of codes (B, G)."""
        if self.numbers is not None:
            return self.numbers.decode(codes)
        return codes.double().masked_fill(codes == self.missing, torch.nan)

    def log_slopes(self, x: Tensor) -> Tensor:
        """Log |dz/dx| (B, G) float64 of values x (B, G) that are there, see `Numbers`; else 0."""
        if self.numbers is None or not self.has_slopes:
            return torch.zeros(x.shape, dtype=torch.float64, device=x.device)
        return self.numbers.log_slopes(x)


def make_group(
    conditional: Conditional, encoding: str, variables: Sequence[Variable], own: Sequence[int]
) -> Group:
    """The group of those of the D variables whose numbers are `own`; they are alike."""
    alike = [variables[d] for d in own]
    numbers = Numbers(alike) if conditional.codes_are_numbers else None
    encodes = encoding_for(encoding, alike[0], numbers)
    num_levels = alike[0].num_values or 0
    missing = float(num_levels) if alike[0].may_be_missing else math.nan
    return Group(
        conditional.of_group(numbers),
        encodes,
        tuple(own),
        num_levels,
        missing,
        numbers,
        alike[0].is_given,
    )
