"""What one variable (one dimension of x) can hold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from made_exp.variables.transform import STRAIGHT, Transform

if TYPE_CHECKING:  # settings name kinds of variables, and must not wait for torch
    from torch import Tensor

# Float32 counts exactly up to here.
MAX_CODE = 2**24
# With more numbers than this, mixtures have fewer components and no direct connections.
MANY_NUMBERS = 128


class Kind(StrEnum):
    """The kind of values a variable takes; it decides the default conditional and encoding."""

    BINARY = "binary"
    CATEGORICAL = "categorical"
    ORDINAL = "ordinal"
    INTEGER = "integer"
    REAL = "real"


class ConditionalEntry(NamedTuple):
    """A conditional by name.

    Attributes:
        class_name: Its class.
        default_of: Kinds of variables for which `conditional=auto` picks it.
        suits: Other kinds that it can model.
        module: Where its class is; None: in the file of its name in `conditionals/`.
    """

    class_name: str
    default_of: tuple[Kind, ...] = ()
    suits: tuple[Kind, ...] = ()
    module: str | None = None


_OUTSIDE = {
    entry.name: ConditionalEntry(entry.attr, suits=tuple(Kind), module=entry.module)
    for entry in entry_points(group="made_exp.conditionals")
}
"""What other packages bring, by entry points NAME = "MODULE:CLASS"."""

CONDITIONALS = {
    **_OUTSIDE,
    "bernoulli": ConditionalEntry("Bernoulli", (Kind.BINARY,)),
    "categorical": ConditionalEntry(
        "Categorical", (Kind.CATEGORICAL, Kind.ORDINAL), (Kind.BINARY, Kind.INTEGER)
    ),
    "logistic_mixture": ConditionalEntry(
        "DiscretizedLogisticMixture", (Kind.INTEGER,), (Kind.ORDINAL,)
    ),
    "gaussian_mixture": ConditionalEntry("GaussianMixture", (Kind.REAL,)),
}

# Which conditionals suit a kind of variable; the first is what `conditional=auto` picks.
ALLOWED_CONDITIONALS: dict[Kind, tuple[str, ...]] = {
    kind: tuple(name for name, entry in CONDITIONALS.items() if kind in entry.default_of)
    + tuple(name for name, entry in CONDITIONALS.items() if kind in entry.suits)
    for kind in Kind
}

# Which encodings a kind of variable can have as an input, besides auto.
ALLOWED_ENCODINGS: dict[Kind, tuple[str, ...]] = {
    Kind.BINARY: ("one_hot",),
    Kind.CATEGORICAL: ("one_hot",),
    Kind.ORDINAL: ("smooth", "one_hot"),
    Kind.INTEGER: ("smooth", "one_hot"),
    Kind.REAL: (),
}


@dataclass(frozen=True)
class Variable:
    """One dimension of x.

    Attributes:
        name: Column name, for messages and tables.
        kind: Binary and categorical values have no order; ordinal values are ordered levels with
            a free table of probabilities; integer values are ordered and modelled smoothly; real
            values are any finite number.
        num_values: Number of values of a discrete variable, which are 0..num_values-1; None for
            real variables.
        categories: What the values 0..num_values-1 are called in the user's file.
        transform: Of a real or integer variable, how it is modelled.
        atoms: Values of a real or integer variable with a probability of their own, rising.
        resolution: Width of the cell in which an atom of a real variable is a uniform density,
            in units of x: what the last digit of the column is worth. 1 for integers.
        digit: What the last digit is worth where cells are wider, and all that lies in the cell
            of an atom counts as the atom; None elsewhere.
        grows_from: Of a real variable written with so many significant digits, the power of ten
            from which on cells are wider: by ten from one power of ten to the next. None elsewhere.
        knots: Where the piecewise linear features of a number bend, in z, rising.
        may_be_missing: Whether NaN is one more value, which is generated and scored.
        echoes: Values of a number that come again in train, which are one more component, rising.
        echo_counts: How many training rows have each of them.
        pooled: The last len(pooled) values of a categorical variable are modelled together and
            have these shares of their pool, which sum to one.
        reserve: Probability that the pool keeps whatever the network says, in [0, 1).
        is_given: Whether it has no probability: the others are modelled given it.
        is_open: Whether whole numbers outside of 0..num_values-1 are values too, which share
            a thousandth of the probability of the end that they lie beyond.

    Examples:
        >>> Variable("town", Kind.CATEGORICAL, 3, ("x", "y", "z")).is_number
        False
    """

    name: str
    kind: Kind
    num_values: int | None = None
    categories: tuple[str, ...] | None = None
    transform: Transform = STRAIGHT
    atoms: tuple[float, ...] = ()
    resolution: float = 1.0
    knots: tuple[float, ...] = ()
    may_be_missing: bool = False
    echoes: tuple[float, ...] = field(default=(), repr=False)
    echo_counts: tuple[int, ...] = field(default=(), repr=False)
    pooled: tuple[float, ...] = ()
    reserve: float = 0.0
    is_given: bool = False
    is_open: bool = False
    digit: float | None = field(default=None, repr=False)  # the resolution tells runs apart
    grows_from: float | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.is_real:
            if self.num_values is not None:
                raise ValueError(f"num_values of real variable '{self.name}' must be None")
        elif self.num_values is None or self.num_values < 2:
            raise ValueError(
                f"num_values of '{self.name}' must be at least 2, got {self.num_values}"
            )
        if self.kind is Kind.BINARY and self.num_values != 2:
            raise ValueError(f"num_values of binary '{self.name}' must be 2, got {self.num_values}")
        self._check_number()
        self._check_pool()

    def _check_number(self) -> None:
        lists = {"atoms": self.atoms, "knots": self.knots, "echoes": self.echoes}
        if not self.is_number and any(lists.values()):
            raise ValueError(f"{', '.join(lists)} are of numbers, '{self.name}' is {self.kind}")
        if len(self.echo_counts) != len(self.echoes) or 0 < sum(self.echo_counts) < 2:
            raise ValueError(f"echo_counts of '{self.name}' must be one for each of its echoes")
        for what, numbers in lists.items():
            if not all(map(math.isfinite, numbers)) or list(numbers) != sorted(set(numbers)):
                raise ValueError(f"{what} of '{self.name}' must be finite and rise, got {numbers}")
        if not 0 < self.resolution < math.inf:
            raise ValueError(
                f"resolution of '{self.name}' must be finite and > 0, got {self.resolution}"
            )

        if self.digit is not None and not 0 < self.digit < self.resolution:
            raise ValueError(
                f"digit of '{self.name}' must be > 0 and below its resolution, got {self.digit}"
            )

        if self.grows_from is not None and not 0 < self.grows_from < math.inf:
            raise ValueError(
                f"grows_from of '{self.name}' must be finite and > 0, got {self.grows_from}"
            )

    def _check_pool(self) -> None:
        if not 0 <= self.reserve < 1:
            raise ValueError(f"reserve of '{self.name}' must be in [0, 1), got {self.reserve}")
        if not self.pooled:
            return
        if self.kind is not Kind.CATEGORICAL or len(self.pooled) >= (self.num_values or 0):
            raise ValueError(
                f"pooled of '{self.name}' must be shares of the last values of a categorical "
                f"variable, fewer than it has, got {len(self.pooled)} of a {self.kind} one"
            )
        if min(self.pooled) <= 0 or not math.isclose(sum(self.pooled), 1, rel_tol=1e-6):
            raise ValueError(f"pooled of '{self.name}' must be > 0 and sum to 1")

    @property
    def is_real(self) -> bool:
        """Whether its values have a density."""
        return self.kind is Kind.REAL

    @property
    def is_number(self) -> bool:
        """Whether it is modelled by a mixture of smooth components and atoms."""
        return self.kind in (Kind.REAL, Kind.INTEGER)

    @property
    def numeric_transform(self) -> Transform:
        """The transform of a number; without one of its own a whole number spans -1..1."""
        if self.num_values is None or self.transform != STRAIGHT:
            return self.transform
        return Transform(shift=(self.num_values - 1) / 2, scale=self.num_values / 2)

    @property
    def unit(self) -> float:
        """How far apart values of a number can be: what its last digit is worth."""
        return self.digit or self.resolution

    def log_cells(self, x: "Tensor") -> "Tensor":
        """Log of the widths (...) float64 of the cells of values x (...) of a real variable."""
        return math.log(self.resolution) + log_growth(x, self.grows_from)

    def to_dict(self) -> dict[str, Any]:
        """Only plain values, as JSON and checkpoints hold them."""
        content = {**asdict(self), "kind": self.kind.value}
        return {key: list(v) if isinstance(v, tuple) else v for key, v in content.items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        own: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in content.items()
        }
        own |= {"kind": Kind(own["kind"]), "transform": Transform(**own["transform"])}
        return cls(**own)


def log_growth(x: "Tensor", grows_from: "float | Tensor | None") -> "Tensor":
    """Log (...) float64 of how many times wider than the finest the cells of values x (...) are.

    A power of ten for each power of ten that |x| is beyond `grows_from` (...).
    """
    x = x.double()
    if grows_from is None:
        return x.new_zeros(()).expand_as(x)
    powers = (x / grows_from).abs().clamp(min=1.0).log10()  # 1000 has 2.9999999999999996 of them
    return (powers + 1e-9).floor() * math.log(10)


def has_many_numbers(variables: Sequence[Variable]) -> bool:
    """Whether so many variables are modelled as numbers that their outputs are most of a step."""
    return sum(one.is_number and not one.is_given for one in variables) > MANY_NUMBERS


def binary_variables(num_dims: int) -> tuple[Variable, ...]:
    """`num_dims` binary variables named x0, x1, ..."""
    return tuple(Variable(f"x{d}", Kind.BINARY, 2) for d in range(num_dims))
