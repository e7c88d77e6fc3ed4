"""Full days, hours and minutes among finer times: where people and clocks round."""

from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.months import MONTHS

_COARSE = (86400, 3600, 60)  # seconds


def round_times(form: Format, first: int, step: int) -> list[tuple[int, int]]:
    """Grids of full days, hours and minutes: how many values apart, and one that is such.

    Args:
        form: Of the column; none of numbers have any.
        first: The unit that value 0 stands for.
        step: How many units lie between one value and the next.
    """
    if not isinstance(form, DateFormat) or form.unit in MONTHS or first % step:
        return []
    value = form.microseconds * step
    sizes = (seconds * 10**6 for seconds in _COARSE)
    return [
        (size // value, -(first // step) % (size // value))
        for size in sizes
        if size > value and size % value == 0
    ]
