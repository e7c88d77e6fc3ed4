"""Durations as people write them in questions: `2h`, `90 min`, `1d 3h`."""

import re
from collections.abc import Mapping
from decimal import Decimal

from made_exp.datasets.table.column import Column

_SECOND = Decimal(1)
_UNITS: Mapping[str, Decimal] = {
    **dict.fromkeys(("ns",), _SECOND / 10**9),
    **dict.fromkeys(("us", "µs"), _SECOND / 10**6),
    **dict.fromkeys(("ms",), _SECOND / 10**3),
    **dict.fromkeys(("s", "sec", "second", "seconds"), _SECOND),
    **dict.fromkeys(("m", "min", "minute", "minutes"), _SECOND * 60),
    **dict.fromkeys(("h", "hour", "hours"), _SECOND * 3600),
    **dict.fromkeys(("d", "day", "days"), _SECOND * 86400),
    **dict.fromkeys(("w", "week", "weeks"), _SECOND * 7 * 86400),
}
_PART = r"(\d+(?:\.\d{1,9})?)\s*([a-zµ]+)"
_WHOLE = re.compile(rf"([+-]?)\s*((?:{_PART}[\s,]*)+)")


def in_seconds(column: Column, text: str) -> str:
    """A duration in units of time as seconds, as its column holds them; any other text as it is."""
    whole = _WHOLE.fullmatch(text.strip().lower())
    if column.stored[:1] != ("Duration",) or whole is None:
        return text
    parts = re.findall(_PART, whole[2])
    if any(unit not in _UNITS for _, unit in parts):
        return text
    seconds = sum((Decimal(count) * _UNITS[unit] for count, unit in parts), Decimal())
    return f"{whole[1].strip('+')}{seconds.normalize():f}"
