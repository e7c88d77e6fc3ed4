"""What one variable (one dimension of x) can hold."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Self


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
        class_name: Its class, in the file of its name in `conditionals/`.
        default_of: Kinds of variables for which `conditional=auto` picks it.
        suits: Other kinds that it can model.
    """

    class_name: str
    default_of: tuple[Kind, ...] = ()
    suits: tuple[Kind, ...] = ()


CONDITIONALS = {
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
            if not (math.isfinite(self.shift) and 0 < self.scale < math.inf):
                raise ValueError(
                    f"shift of '{self.name}' must be finite and scale finite and > 0, got "
                    f"{self.shift}, {self.scale}"
                )
        elif self.num_values is None or self.num_values < 2:
            raise ValueError(
                f"num_values of '{self.name}' must be at least 2, got {self.num_values}"
            )
        if self.kind is Kind.BINARY and self.num_values != 2:
            raise ValueError(f"num_values of binary '{self.name}' must be 2, got {self.num_values}")

    def to_dict(self) -> dict[str, Any]:
        """Only plain values, as JSON and checkpoints hold them."""
        categories = None if self.categories is None else list(self.categories)
        return {**asdict(self), "kind": self.kind.value, "categories": categories}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        categories = content["categories"]
        kind, names = Kind(content["kind"]), None if categories is None else tuple(categories)
        return cls(**{**content, "kind": kind, "categories": names})


def binary_variables(num_dims: int) -> tuple[Variable, ...]:
    """`num_dims` binary variables named x0, x1, ..."""
    return tuple(Variable(f"x{d}", Kind.BINARY, 2) for d in range(num_dims))
