"""What paths to an event begin with, and what they find.

Legend: n paths, D variables, J parts of a column that is told apart, K params.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from made_exp.variables.distributions import categorical_quantile
from made_exp.variables.subset import Subset


@final
@dataclass(frozen=True, eq=False)
class Starts:
    """What paths begin with: values of given variables.

    Attributes:
        x: (R, D) in data space, NaN but for given variables; a single row where none is given.
        log_shares: (R,) float64, of the rows; they need not sum to one.
    """

    x: Tensor
    log_shares: Tensor

    @property
    def log_total(self) -> Tensor:
        """Logarithm of the sum of the shares, ()."""
        return self.log_shares.logsumexp(0)

    def drawn(self, uniforms: Tensor) -> Tensor:
        """Rows (n, D), drawn by their shares, for uniforms (n,) in [0, 1)."""
        return self.x[categorical_quantile(self.log_shares.softmax(0), uniforms)]

    def of(self, chosen: Tensor) -> "Starts":
        """Those that are chosen (R,) bool."""
        return Starts(self.x[chosen], self.log_shares[chosen])


@final
@dataclass(frozen=True, eq=False)
class Begun:
    """Paths whose first steps were taken before anything was asked.

    Attributes:
        x: (n, D) in data space, up to step t of the order and after it anything.
        codes: (n, t) of the first t steps.
        nodes: (n,) where the event stands after these.
        numbers: (n,) which of the paths they are that began; the others have ended.
        num_begun: How many began.
        params: (n, K) of the variable at step t where it is the last that is asked, else None.
    """

    x: Tensor
    codes: Tensor
    nodes: Tensor
    numbers: Tensor
    num_begun: int
    params: Tensor | None

    @property
    def num_steps(self) -> int:
        """T of the steps that were taken."""
        return self.codes.shape[1]


@final
@dataclass(frozen=True, eq=False)
class Parts:
    """A column whose values are told apart.

    Attributes:
        variable: Which of the D.
        subsets: J disjoint ones.
    """

    variable: int
    subsets: tuple[Subset, ...]

    def holding(self, x: Tensor) -> Tensor:
        """Which part the value of each row x (n, D) in data space is of, (n, J) float64."""
        values = x[:, self.variable]
        return torch.stack([part.contains(values) for part in self.subsets], 1).double()


@final
@dataclass(frozen=True, eq=False)
class Terms:
    """What one density says of an event.

    Attributes:
        logs: (n,) float64, of terms whose sum is the probability.
        is_exact: Whether the terms are all there are; else they are independent draws.
        shares: (n, J) float64, how a term is shared by parts of a column; None where not asked.
        x: (n, D) values of the variables that were looked at, NaN for others; kept on demand.
        log_hit: Of draws that hit or miss, the term of a hit; None of others.
        numbers: (n,) of which row that is kept for all questions each term is, others' being zero;
            None of draws of this question alone.
        num_kept: How many of these rows were looked at.
    """

    logs: Tensor
    is_exact: bool
    shares: Tensor | None = None
    x: Tensor | None = None
    log_hit: float | None = None
    numbers: Tensor | None = None
    num_kept: int = 0

    @property
    def num_draws(self) -> int:
        """How many terms there are, those that are known to be zero too."""
        return len(self.logs) if self.numbers is None else self.num_kept

    def each(self, values: Tensor) -> Tensor:
        """Values (n,) of terms, with a zero for each that is known to be zero, (num_draws,)."""
        if self.numbers is None:
            return values
        return values.new_zeros(self.num_kept).index_copy(0, self.numbers, values)

    def is_drawn_with(self, other: "Terms") -> bool:
        """Whether term i of both is of the same draw."""
        if self.is_exact or other.is_exact or (self.numbers is None) != (other.numbers is None):
            return False
        return self.numbers is not None or len(self.logs) == len(other.logs)

    def least_variance(self, scale: float) -> float:
        """Variance of the sum of n hits and misses with p = 1 / (n + 2): few draws prove no zero.

        n p (1 - p) (hit / e^scale)^2, as if one had hit of two more draws; 0 of terms that weigh.
        """
        if self.log_hit is None:
            return 0.0
        count = len(self.logs)
        prob = 1 / (count + 2)
        return count * prob * (1 - prob) * math.exp(2 * min(self.log_hit - scale, 300.0))


def variance_of_sum(terms: Tensor) -> float:
    """Variance of the sum of independent draws (n,) as far as these differ; inf of a single one."""
    return float(terms.var() * len(terms)) if len(terms) > 1 else math.inf
