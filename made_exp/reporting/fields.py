"""The columns of a table as people read them, and bins in which their values are counted."""

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np

from made_exp.datasets.table.naming import by_number

MISSING, UNSEEN = "missing", "not in train"
_MIN_SPIKE = 5  # rows that a number needs for a bin of its own
_EPOCH = np.datetime64("1970-01-01", "s")


@final
@dataclass(frozen=True)
class Field:
    """How the values of one column are read.

    Attributes:
        name: The column's name.
        names: Texts of the values 0..K-1; None for numbers and dates.
        is_date: Whether values are days since 1970-01-01, and
        is_quarter: whether these stand for quarters.
        is_missing_a_value: Whether a missing cell (NaN) is a value that is compared; otherwise
            such cells are left out.
        bend: For numbers, the size at which the model's transform turns logarithmic, if it does.
    """

    name: str
    names: tuple[str, ...] | None = None
    is_date: bool = False
    is_quarter: bool = False
    is_missing_a_value: bool = False
    bend: float | None = None

    def text(self, value: float) -> str:
        """What a value is called: its text, its date, or its leading digits."""
        if self.names is not None:
            known = 0 <= value < len(self.names)
            return self.names[int(value)] if known else UNSEEN
        if self.is_date:
            date = _EPOCH + np.timedelta64(round(value * 86400), "s")
            if self.is_quarter:
                months = int(date.astype("datetime64[M]").astype(int))
                return f"{1970 + months // 12}Q{months % 12 // 3 + 1}"
            return str(date).removesuffix("T00:00:00").replace("T", " ")
        return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1e4 else f"{value + 0.0:.4g}"


@final
@dataclass(frozen=True)
class Bins:
    """Bins of one column: values of their own, the rest in ranges, and missing cells.

    Attributes:
        values: (S,) values with a bin each, rising.
        edges: (E,) upper ends of all but the last of the E + 1 ranges of the rest, rising.
        places: (S + E + 1,) the code of each of these bins.
        labels: What the bins are called, by code; the last is for missing cells.
        is_missing_a_value: Whether missing cells have a code.
    """

    values: np.ndarray
    edges: np.ndarray
    places: np.ndarray
    labels: tuple[str, ...]
    is_missing_a_value: bool

    def codes(self, x: np.ndarray) -> np.ndarray:
        """The bins (n,) of values (n,), 0..len(labels)-1; -1 for missing cells without a bin."""
        known = ~np.isnan(x)
        found, codes = x[known], np.full(len(x), len(self.labels) - 1)
        if not self.is_missing_a_value:
            codes[:] = -1
        place = np.searchsorted(self.values, found)
        nearest = self.values[np.minimum(place, len(self.values) - 1)] if len(self.values) else 0
        is_own = (nearest == found) & (len(self.values) > 0)
        ranges = len(self.values) + np.searchsorted(self.edges, found)
        codes[known] = self.places[np.where(is_own, place, ranges)]
        return codes


def bins_of(data: np.ndarray, field: Field, size: int) -> Bins:
    """About `size` bins (at least 2) in which the data (n,) lie alike, spikes on their own.

    Numbers are in rising order and the ranges of the rest end at quantiles; categories are in the
    order of their frequency, or of the numbers that they all are, those that are not among the most
    frequent together.
    """
    known = data[~np.isnan(data)]
    values, counts = np.unique(known, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")
    if field.names is None:
        is_many = len(values) > size
        is_spike = counts >= max(is_many * len(known) / size, _MIN_SPIKE)
        frequent = frequent[is_spike[frequent]][: size // 2 if is_many else size]
    elif len(values) > size:
        frequent = frequent[: size - 1]
    own = np.sort(frequent)
    rest = known[~np.isin(known, values[own])]
    edges = np.zeros(0)
    if field.names is None and len(rest):
        shares = np.linspace(0, 1, size - len(own) + 1)[1:-1]
        edges = np.unique(np.quantile(rest, shares, method="inverted_cdf"))
        edges = edges[edges < rest.max()]
    keys = values[own] if field.names is None else _places(values[own], counts[own], field)
    order = np.argsort(np.concatenate([keys, edges, [np.inf]]), kind="stable")
    labels = [field.text(value) for value in values[own]] + _ranges(edges, field)
    named = (*(labels[bin] for bin in order), MISSING)
    return Bins(values[own], edges, np.argsort(order), named, field.is_missing_a_value)


def _places(values: np.ndarray, counts: np.ndarray, field: Field) -> np.ndarray:
    """Where each of the values (S,) that have names comes: frequent ones first, or by number."""
    order = np.argsort(-counts, kind="stable")
    order = order[by_number([field.text(value) for value in values[order]])]
    return np.argsort(order)


def _ranges(edges: np.ndarray, field: Field) -> list[str]:
    """What the E + 1 ranges that end at `edges` (E,) are called."""
    if not len(edges):
        return ["other"]
    texts = [field.text(edge) for edge in edges]
    between = [f"{low} \N{EN DASH} {high}" for low, high in pairwise(texts)]
    return [f"up to {texts[0]}", *between, f"over {texts[-1]}"]
