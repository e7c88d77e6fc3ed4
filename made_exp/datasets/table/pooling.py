"""Which categories have a probability of their own, and what is left for those never seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

# A value with fewer training rows than this shares the logit of all such values.
MIN_COUNT = 3
MAX_FREE = 256
# Of the rows of the pool at most this share is taken for values never seen.
_MAX_DISCOUNT = 0.75


@final
@dataclass(frozen=True)
class Pooling:
    """Values of a categorical column in the order of their codes, those of the pool last.

    Attributes:
        values: All values seen in train; one code more stands for those never seen.
        shares: Of each value in the pool, the never seen last; they sum to one.
        reserve: Least probability of the pool.
    """

    values: tuple[str, ...]
    shares: tuple[float, ...]
    reserve: float


def pool_rare(counts: Mapping[str, int]) -> Pooling:
    """Keep frequent values apart, and pool the rest with those never seen.

    Of a pool of T values in n rows the never seen get d T / n, with d = n1 / (n1 + 2 n2) of the
    numbers of values seen once and twice (absolute discounting, Ney et al. 1994; for values that
    are mostly single this is Good and Turing's n1 / N). They keep half a row in all, at least.

    Args:
        counts: Training rows (> 0) of each value, in the order in which codes are wanted.
    """
    total = sum(counts.values())
    frequent = [value for value, count in counts.items() if count >= MIN_COUNT]
    if len(frequent) > MAX_FREE:
        kept = set(sorted(frequent, key=lambda value: -counts[value])[:MAX_FREE])
        frequent = [value for value in frequent if value in kept]
    frequent = frequent or [max(counts, key=lambda value: counts[value])]
    free = set(frequent)
    rare = [value for value in counts if value not in free]
    if not rare:
        return Pooling(tuple(frequent), (1.0,), 0.5 / max(total, 1))
    once = sum(counts[value] == 1 for value in rare)
    twice = sum(counts[value] == 2 for value in rare)
    discount = min(once / (once + 2 * twice + 1), _MAX_DISCOUNT)
    weights = [counts[value] - discount for value in rare]
    unseen = max(discount * len(rare), 0.5)
    whole = sum(weights) + unseen
    shares = [weight / whole for weight in (*weights, unseen)]
    return Pooling((*frequent, *rare), tuple(shares), min(0.5 / total / shares[-1], 0.5))
