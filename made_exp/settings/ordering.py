"""Options of the group `ordering`."""

from dataclasses import dataclass
from typing import Any

from made_exp.settings.base import MISSING, OptionSettings, setting


@dataclass
class OrderingSettings(OptionSettings):
    """An order without settings of its own; the base of those with."""

    @property
    def eval_orderings(self) -> int | None:
        """Orderings of the mixture that is scored; None for all that there are."""
        return None

    @property
    def valid_orderings(self) -> int | None:
        """Orderings of the mixture that selects the best model; None for all that are scored."""
        return 1


@dataclass
class RandomOrderSettings(OrderingSettings):
    """One order drawn at random."""

    name: str = "random"
    seed: int | None = setting(None, "of the order; null = the root seed", at_least=0)


@dataclass
class CustomOrderSettings(OrderingSettings):
    """An order of your own."""

    name: str = "custom"
    order: Any = setting(MISSING, "variables as modelled: a list [2,0,1] or a text file of numbers")

    def _check(self) -> None:
        if isinstance(self.order, str):
            return
        if not isinstance(self.order, list):
            raise ValueError(f"order must be a list of 0..D-1 or a file, got {self.order!r}")
        check_permutation(self.order)


@dataclass
class AgnosticSettings(OrderingSettings):
    """Orders and connectivities resampled in training (Germain et al. 2015, section 4.2, 4.3)."""

    name: str = "agnostic"
    num_orderings: int = setting(
        32, "mask sets cycled through; 0 = never the same twice", at_least=0
    )
    resample: str = setting(
        "both", "what differs between mask sets", choices=("order", "connectivity", "both")
    )
    sweeps: float = setting(
        0.0, "share of orders that sweep an image: to complete halves", at_least=0, at_most=1
    )
    fixed: int = setting(
        0,
        "networks beside it that keep an order each, the first that of the columns: sharper",
        at_least=0,
    )
    eval_orderings: int | None = setting(
        None,
        "orderings scored, besides fixed ones; null = num_orderings, or 32 where that is 0",
        at_least=1,
    )
    valid_orderings: int = setting(
        1, "orderings scored for model selection, besides fixed ones", at_least=1
    )


@dataclass
class EnsembleSettings(OrderingSettings):
    """Several orders with a network each, trained side by side and scored as a mixture."""

    name: str = "ensemble"
    num_orderings: int = setting(8, "members; each step trains one of them", at_least=1)
    natural: float = setting(
        0.5, "share of the members in natural order; the others are random", at_least=0, at_most=1
    )
    rasters: float = setting(
        0.0, "share that reads an image in lines, from its corners in turn", at_least=0, at_most=1
    )
    shallow: float = setting(
        0.0, "share that has the first hidden layer alone", at_least=0, at_most=1
    )
    residual: float = setting(
        0.0,
        "share of the others that has a residual block on that layer instead",
        at_least=0,
        at_most=1,
    )
    eval_orderings: int | None = setting(
        None, "members of the scored mixture; null = all", at_least=1
    )
    fit_weights: bool = setting(
        True, "fit the weights of the mixture to valid; false = equal weights"
    )

    @property
    def valid_orderings(self) -> int | None:
        """See `OrderingSettings.valid_orderings`."""
        return None


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
