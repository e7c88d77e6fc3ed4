"""The probability of a predicate, given another."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Self, final

from torch import Tensor

from made_exp.datasets.table.schema import TableSchema
from made_exp.density.diagram import Diagram
from made_exp.density.events import Events
from made_exp.density.formula import Formula, Leaf, join, negation, variables_of
from made_exp.density.mixture import Effort, Estimate, estimate
from made_exp.density.predicate import parse_predicate
from made_exp.density.starts import split_starts, starts_of
from made_exp.density.terms import Starts, Terms, variance_of_sum
from made_exp.density.tokens import QueryError
from made_exp.model.made import MADE

NUM_SAMPLES = 1000


@final
class Probability(float):
    """A probability, which is a number, and how well it is known.

    Attributes:
        stderr: Standard error of it; 0 where it is exact.
        num_samples: Paths that were taken to find it, those that ended early too.
        is_exact: Whether nothing was drawn.
        note: What is to be said of it, or "".
    """

    stderr: float
    num_samples: int
    is_exact: bool
    note: str

    def __new__(
        cls,
        value: float,
        stderr: float = 0.0,
        num_samples: int = 0,
        is_exact: bool = True,
        note: str = "",
    ) -> Self:
        """A number, with what is known of it."""
        made = super().__new__(cls, value)
        made.stderr, made.num_samples, made.is_exact = stderr, num_samples, is_exact
        made.note = note
        return made

    def __getnewargs__(self) -> tuple[float, float, int, bool, str]:  # type: ignore[override]
        return float(self), self.stderr, self.num_samples, self.is_exact, self.note

    @property
    def value(self) -> float:
        """The number itself."""
        return float(self)

    def rows(self, count: int) -> float:
        """How many of `count` rows it is on average."""
        return self.value * count

    def __repr__(self) -> str:
        error = "exact" if self.is_exact else f"stderr={self.stderr:.2g}"
        return f"Probability({self.value:.6g}, {error})"


def probability(
    made: MADE,
    schema: TableSchema,
    event: str,
    given: str | None = None,
    *,
    num_samples: int = NUM_SAMPLES,
    seed: int = 0,
    context: int | None = None,
    keep: bool | None = None,
) -> Probability:
    """The probability that a row is as a predicate says: P(event | given).

    It is that of the model that scores rows, the mixture of its densities: exact where few values
    are asked, else the mean over paths that are drawn.

    Args:
        made: The model.
        schema: How its variables are written in a table.
        event: Such as "age >= 65 and sex = F"; see `predicate`.
        given: A condition, written alike; None for all rows.
        num_samples: Paths, where these are drawn, at least 2.
        seed: Of the draws.
        context: Class label, for a model that has classes.
        keep: Whether networks of fixed orders draw rows for all questions of a seed, which takes a
            second or two at the first one that is not exact; later ones are answered from these.
            None: with seed 0, so that whoever asks by many seeds need not wait for each.

    Raises:
        ValueError: If a predicate cannot be read, a column or a value is unknown, or the condition
            has probability 0.
    """
    events = Events(schema)
    condition = None if given is None else parse_predicate(given)
    keeps = seed == 0 if keep is None else keep
    effort = replace(checked_effort(num_samples, seed, context), keeps=keeps)
    known = True if condition is None else events.formula(condition, str(given))
    asked = events.formula(parse_predicate(event), event)
    return probability_of(made, events, asked, known, effort)


def checked_effort(num_samples: int, seed: int, context: int | None) -> Effort:
    """How to answer; ValueError where a number is out of range."""
    if num_samples < 2:
        raise ValueError(f"num_samples must be at least 2, got {num_samples}")
    if seed < 0:
        raise ValueError(f"seed must be >= 0, got {seed}")
    return Effort(num_samples, seed, context)


def probability_of(
    made: MADE, events: Events, asked: Formula, known: Formula, effort: Effort
) -> Probability:
    """As `probability`, of formulas.

    Raises:
        ValueError: If the condition has probability 0.
    """
    both = join(True, [asked, known], events.domains)
    if is_contradiction(both, events) or both == known:
        condition_of(made, events, known, effort)
        return _plain(asked, both, events)
    # Apart are rows that may be as asked, that must be, and that cannot: an event and its opposite
    # have the same parts, and of the first there are as many draws however rare they are.
    every = starts_of(made, known, events.domains)
    able, never = split_starts(made, every, both, events.domains)
    opposite = join(True, [negation(asked, events.domains), known], events.domains)
    free, always = split_starts(made, able, opposite, events.domains)
    some = estimate(made, both, variables_of(known), effort, events.domains, starts=free)
    whole = _known_terms(made, events, known, effort, always)
    below = None
    if known is not True:
        beside = _known_terms(made, events, known, effort, free, some)
        apart = _known_terms(made, events, known, effort, never)
        below = _possible(beside.beside(whole).beside(apart))
    return ratio(some.beside(whole), below, rareness(below, effort))


def _plain(asked: Formula, both: Formula, events: Events) -> Probability:
    """Of what no row can be, or each is where the condition holds."""
    if not is_contradiction(both, events):
        return Probability(1.0, note="every row is so")
    what = "" if is_contradiction(asked, events) else " under the condition"
    return Probability(0.0, note=f"a contradiction: no row can be so{what}")


def _known_terms(
    made: MADE,
    events: Events,
    known: Formula,
    effort: Effort,
    starts: Starts | None = None,
    beside: Estimate | None = None,
) -> Estimate:
    """The terms of a condition; see `estimate`."""
    return estimate(
        made, known, variables_of(known), effort, events.domains, starts=starts, beside=beside
    )


def _possible(known: Estimate) -> Estimate:
    """The terms of a condition; QueryError where their sum is 0."""
    if known.log_total == -math.inf:
        raise QueryError("the condition has probability 0 under this model")
    return known


def is_contradiction(formula: Formula, events: Events) -> bool:
    """Whether no values of the columns make a formula true."""
    if isinstance(formula, bool):
        return not formula
    if isinstance(formula, Leaf) or all(isinstance(part, Leaf) for part in formula.parts):
        return False  # of different variables, and none of them empty
    return Diagram.of(formula, range(len(events.domains)), events.domains).is_contradiction


def condition_of(made: MADE, events: Events, known: Formula, effort: Effort) -> Estimate | None:
    """The terms of a condition; None where it is always true.

    Raises:
        ValueError: If it has probability 0.
    """
    if known is True:
        return None
    if is_contradiction(known, events):
        raise QueryError("the condition has probability 0: no row can be so (a contradiction)")
    return _possible(_known_terms(made, events, known, effort))


def rareness(known: Estimate | None, effort: Effort) -> str:
    """What to say of a condition of which train has less than a row on average, or ""."""
    if known is None or effort.num_train is None:
        return ""
    prob = math.exp(known.log_total)
    if prob * effort.num_train >= 1:
        return ""
    return (
        f"a guess: the condition has probability {prob:.2g}, "
        f"{prob * effort.num_train:.2g} of the {effort.num_train} rows of train"
    )


def ratio(above: Estimate, below: Estimate | None, note: str = "") -> Probability:
    """The total of some terms by that of others, with its standard error.

    Below has the parts of those above, in the same order, and maybe more.
    """
    log_value = above.log_total - (0.0 if below is None else below.log_total)
    value = math.exp(log_value) if log_value > -math.inf else 0.0
    is_exact = above.is_exact and (below is None or below.is_exact)
    count = above.num_terms
    if is_exact:
        return Probability(min(value, 1.0), 0.0, count, note=note)
    scales = above.log_scale, 0.0 if below is None else below.log_scale
    relative = math.exp(above.log_total - scales[0]) if value else 0.0
    total = 1.0 if below is None else math.exp(below.log_total - scales[1])
    unit = relative / total
    variance = 0.0
    for number, tops in enumerate(above.by_density):
        lows = () if below is None else below.by_density[number]
        each = [(top, top.each((top.logs - scales[0]).exp())) for top in tops]
        each += [(low, low.each((low.logs - scales[1]).exp()) * -unit) for low in lows]
        least = [top.least_variance(scales[0]) for top in tops]
        least += [low.least_variance(scales[1]) * unit**2 for low in lows[1:]]
        variance += max(_variance(each), *least)
    stderr = math.sqrt(variance) / total * math.exp(scales[0] - scales[1])
    return Probability(min(value, 1.0), min(stderr, 1.0), count, False, note)


def _variance(each: Sequence[tuple[Terms, Tensor]]) -> float:
    """Variance of the sum of all values (n,) of terms, those of the same draws together."""
    sums = list[tuple[Terms, Tensor]]()
    for terms, values in each:
        mates = [place for place, (mate, _) in enumerate(sums) if mate.is_drawn_with(terms)]
        if mates:
            mate, known = sums[mates[0]]
            sums[mates[0]] = mate, _added(known, values)
        elif not terms.is_exact:
            sums.append((terms, values))
    return sum((variance_of_sum(values) for _, values in sums), 0.0)


def _added(first: Tensor, second: Tensor) -> Tensor:
    """The sums of values (n,) and (m,), zeros after the shorter ones."""
    out = first.new_zeros(max(len(first), len(second)))
    out[: len(first)] += first
    out[: len(second)] += second
    return out
