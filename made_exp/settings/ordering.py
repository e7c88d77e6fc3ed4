"""Options of the group `ordering`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from omegaconf import MISSING

from made_exp.settings.base import OrderingSettings
from made_exp.settings.ranges import at_least, fraction


class Resample(StrEnum):
    """What is drawn afresh for each mask set."""

    order = "order"
    connectivity = "connectivity"
    both = "both"


@dataclass
class FixedOrderSettings(OrderingSettings):
    """An order without settings: natural, reversed, column_major, snake, spiral, centre_out."""


@dataclass
class RandomOrderSettings(OrderingSettings):
    """One order drawn at random.

    Attributes:
        seed: Seed of the order, >= 0; None = the root seed.
    """

    name: str = "random"
    seed: int | None = None

    def _check(self) -> None:
        at_least(self, 0, "seed")


@dataclass
class CustomOrderSettings(OrderingSettings):
    """An order of your own.

    Attributes:
        order: The variables in the order in which they are modelled: a list of 0..D-1, or a text
            file of these numbers (blanks, commas or line ends between them).
    """

    name: str = "custom"
    order: Any = MISSING

    def _check(self) -> None:
        if isinstance(self.order, str):
            return
        if not isinstance(self.order, list):
            raise ValueError(f"order must be a list of 0..D-1 or a file, got {self.order!r}")
        check_permutation(self.order)


@dataclass
class AgnosticSettings(OrderingSettings):
    """Orders and connectivities resampled in training (Germain et al. 2015, section 4.2, 4.3).

    Attributes:
        num_orderings: Mask sets that are cycled through; 0 = never the same twice.
        resample: What is drawn afresh for each mask set.
        sweeps: Share of the orders, 0..1, that sweep an image in some direction: for completions
            of halves.
        eval_orderings: Orderings of the mixture that is scored, >= 1; None = num_orderings, or 32
            where that is 0.
        valid_orderings: Orderings of the mixture used for model selection in training, >= 1.
    """

    name: str = "agnostic"
    num_orderings: int = 32
    resample: Resample = Resample.both
    sweeps: float = 0.0
    eval_orderings: int | None = None
    valid_orderings: int = 1

    def _check(self) -> None:
        at_least(self, 0, "num_orderings")
        fraction(self, "sweeps", one_included=True)
        at_least(self, 1, "eval_orderings", "valid_orderings")


@dataclass
class EnsembleSettings(OrderingSettings):
    """Several orders with a network each, trained side by side and scored as a mixture.

    Attributes:
        num_orderings: Members, >= 1; each step trains one of them.
        natural: Share of the members, 0..1, that keep the natural order; the others are random.
        rasters: Share of the members, 0..1, that read an image in lines, by rows or columns, from
            its corners in turn.
        shallow: Share of the members, 0..1, that have the first hidden layer alone.
        eval_orderings: Members of the mixture that is scored, >= 1; None = all.
        fit_weights: Whether the weights of the mixture are fitted to the validation split, at
            each evaluation; otherwise they are equal.
    """

    name: str = "ensemble"
    num_orderings: int = 8
    natural: float = 0.5
    rasters: float = 0.0
    shallow: float = 0.0
    eval_orderings: int | None = None
    fit_weights: bool = True

    def _check(self) -> None:
        fraction(self, "natural", "rasters", "shallow", one_included=True)
        at_least(self, 1, "num_orderings", "eval_orderings")


def check_permutation(order: list[Any]) -> None:
    """Raise ValueError unless `order` holds each of 0..len-1 exactly once, naming the culprit."""
    size = len(order)
    if size == 0:
        raise ValueError("order must not be empty")
    seen: set[int] = set()
    for value in order:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"order must hold whole numbers, got {value!r}")
        if not 0 <= value < size:
            raise ValueError(f"order must hold each of 0..{size - 1} once, got {value}")
        if value in seen:
            raise ValueError(f"order must hold each of 0..{size - 1} once, got {value} twice")
        seen.add(value)
