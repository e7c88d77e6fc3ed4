"""What is asked, as sets of values of variables under all and any: simplified, without not.

    formula := True | False | Leaf | Join

A variable stands at most once among the parts of a join, equal formulas are equal objects, and a
formula that is true (or false) of every row by what its columns can hold is True (False).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from made_exp.variables.subset import Subset


@final
@dataclass(frozen=True)
class Leaf:
    """A variable has a value of this subset, neither none nor all of its values."""

    variable: int
    subset: Subset


@final
@dataclass(frozen=True)
class Join:
    """All of several formulas hold, or any of them does."""

    is_all: bool
    parts: frozenset["Formula"]


Formula = bool | Leaf | Join


def leaf(variable: int, subset: Subset, domains: Sequence[Subset]) -> Formula:
    """The formula that a variable has a value of this subset."""
    own = subset & domains[variable]
    if own.is_empty:
        return False
    return True if own == domains[variable] else Leaf(variable, own)


def join(is_all: bool, parts: Iterable[Formula], domains: Sequence[Subset]) -> Formula:
    """All, or any, of the parts."""
    leaves: dict[int, Subset] = {}
    others: set[Formula] = set()
    queue = list(parts)
    for part in queue:
        if isinstance(part, bool):
            if part != is_all:
                return part
        elif isinstance(part, Join) and part.is_all == is_all:
            queue.extend(part.parts)
        elif isinstance(part, Leaf):
            known = leaves.get(part.variable)
            both = part.subset if known is None else _merged(is_all, known, part.subset)
            leaves[part.variable] = both
        else:
            others.add(part)
    for variable, subset in leaves.items():
        own = leaf(variable, subset, domains)
        if isinstance(own, bool):
            if own != is_all:
                return own
            continue
        others.add(own)
    if not others:
        return is_all
    return next(iter(others)) if len(others) == 1 else Join(is_all, frozenset(others))


def _merged(is_all: bool, first: Subset, second: Subset) -> Subset:
    return first & second if is_all else first | second


def negation(formula: Formula, domains: Sequence[Subset]) -> Formula:
    """The formula that is true where this one is false."""
    if isinstance(formula, bool):
        return not formula
    if isinstance(formula, Leaf):
        return leaf(formula.variable, domains[formula.variable].without(formula.subset), domains)
    parts = [negation(part, domains) for part in formula.parts]
    return join(not formula.is_all, parts, domains)


def variables_of(formula: Formula) -> frozenset[int]:
    """The variables that stand in a formula."""
    if isinstance(formula, bool):
        return frozenset()
    if isinstance(formula, Leaf):
        return frozenset({formula.variable})
    return frozenset().union(*map(variables_of, formula.parts))


def subsets_of(formula: Formula, variable: int) -> frozenset[Subset]:
    """The subsets of one variable that stand in a formula."""
    if isinstance(formula, bool):
        return frozenset()
    if isinstance(formula, Leaf):
        return frozenset({formula.subset} if formula.variable == variable else ())
    return frozenset().union(*(subsets_of(part, variable) for part in formula.parts))


def given(
    formula: Formula, variable: int, truths: Mapping[Subset, bool], domains: Sequence[Subset]
) -> Formula:
    """What is left to be asked where it is known in which subsets a variable's value is."""
    if isinstance(formula, bool):
        return formula
    if isinstance(formula, Leaf):
        return truths[formula.subset] if formula.variable == variable else formula
    parts = [given(part, variable, truths, domains) for part in formula.parts]
    return join(formula.is_all, parts, domains)
