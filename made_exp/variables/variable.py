"""What one variable (one dimension of x) can hold."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kind of values a variable takes; it decides the default conditional and encoding."""

    BINARY = "binary"
    CATEGORICAL = "categorical"
    ORDINAL = "ordinal"
    INTEGER = "integer"
    REAL = "real"


# Which conditionals suit a kind of variable; the first is what `conditional=auto` picks.
ALLOWED_CONDITIONALS: dict[Kind, tuple[str, ...]] = {
    Kind.BINARY: ("bernoulli", "categorical"),
    Kind.CATEGORICAL: ("categorical",),
    Kind.ORDINAL: ("categorical", "logistic_mixture"),
    Kind.INTEGER: ("logistic_mixture", "categorical"),
    Kind.REAL: ("gaussian_mixture",),
}

# Which encodings a kind of variable can have as an input, besides auto.
ALLOWED_ENCODINGS: dict[Kind, tuple[str, ...]] = {
    Kind.BINARY: ("one_hot", "embedding"),
    Kind.CATEGORICAL: ("one_hot", "embedding"),
    Kind.ORDINAL: ("smooth", "one_hot", "embedding"),
    Kind.INTEGER: ("smooth", "one_hot", "embedding"),
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
        shift: For real variables, what is subtracted before modelling (the training mean).
        scale: For real variables, what is divided by (the training standard deviation, > 0).
        categories: What the values 0..num_values-1 are called in the user's file.
    """

    name: str
    kind: Kind
    num_values: int | None = None
    shift: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind is Kind.REAL:
            if self.num_values is not None:
                raise ValueError(f"num_values of real variable '{self.name}' must be None")
            if not self.scale > 0:
                raise ValueError(f"scale of '{self.name}' must be > 0, got {self.scale}")
        elif self.num_values is None or self.num_values < 2:
            raise ValueError(
                f"num_values of '{self.name}' must be at least 2, got {self.num_values}"
            )
        if self.kind is Kind.BINARY and self.num_values != 2:
            raise ValueError(f"num_values of binary '{self.name}' must be 2, got {self.num_values}")


def binary_variables(num_dims: int) -> tuple[Variable, ...]:
    """`num_dims` binary variables named x0, x1, ..."""
    return tuple(Variable(f"x{d}", Kind.BINARY, 2) for d in range(num_dims))
