"""The order in which values are shown that have names."""

import math
from collections.abc import Sequence


def by_number(names: Sequence[str]) -> list[int]:
    """The places of the names in the order of the numbers that all of them are; else as it was."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return [*range(len(names))]
    if not all(map(math.isfinite, numbers)):
        return [*range(len(names))]
    return sorted(range(len(names)), key=numbers.__getitem__)
