"""Columns of values without order, and how their cells become numbers and back."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import numpy as np
import polars as pl
from typing_extensions import override

from made_exp.datasets.table.cells import Cells, as_labels
from made_exp.datasets.table.column import Column, Say, warn_of_place
from made_exp.datasets.table.digits import is_computed
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.spaces import labels_of

IMPOSSIBLE = -1.0
"""The number of what a binary column cannot hold: probability zero."""
_REACH = 0.1
"""How near to a computed value others count as it, in distances between values."""
_TRUTHS = (("false", "true"), ("0", "1"))
"""How programs write the two truth values, in any case."""
_GOLDEN = (5**0.5 - 1) / 2  # its multiples are spread evenly over 0..1


@final
@dataclass(frozen=True, kw_only=True)
class Categories(Column):
    """Values without order: texts, few whole numbers, truth values.

    Attributes:
        spellings: How the values 0..K-1 are written; those of the variable are without spaces
            around them and whole numbers without point, unless these tell two of them apart.
    """

    holds: ClassVar[str] = "categories"
    spellings: tuple[str, ...]

    @cached_property
    def _codes(self) -> dict[str, float]:
        assert self.variable is not None
        assert self.variable.categories is not None
        return {text: float(code) for code, text in enumerate(self.variable.categories)}

    @cached_property
    def own(self) -> tuple[str, ...]:
        """The values that would else count as another: see `spaces.own_texts`."""
        names = pl.Series(list(self._codes), dtype=pl.String)
        return tuple(names.filter(names != as_labels(names.str.strip_chars())))

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """(K,) float64, what the values mean where all of them are plain finite numbers, else None.

        NaN stands for values never seen, which have no name.
        """
        assert self.variable is not None
        names = self.variable.categories or ()
        parsed = NumberFormat().parse(pl.Series(names, dtype=pl.String)).cast(pl.Float64)
        if not names or parsed.null_count():
            return None
        found = np.full(self.variable.num_values or 0, np.nan)
        found[: len(names)] = parsed.to_numpy()
        return found

    @override
    def encode(self, cells: Cells, say: Say = warn_of_place) -> np.ndarray:
        assert self.variable is not None
        assert self.variable.num_values is not None
        labels = labels_of(cells, self.no_value, self.own)
        unseen = self.variable.num_values - 1.0 if self.variable.pooled else IMPOSSIBLE
        codes = np.array(
            [np.nan if text is None else self._code(text, unseen) for text in labels], np.float64
        )
        odd = codes == unseen
        if odd.any() and self.reach:
            codes[odd] = self._nearest(labels.filter(pl.Series(odd)), unseen)
            odd = codes == unseen
        if odd.any():
            chosen = pl.Series(odd)
            what = f"not in the training rows: {self._unseen_ones}"
            say(cells.raw, cells.first_row(chosen), cells.count_rows(chosen), what)
        return cells.spread(pl.Series(codes)).fill_null(np.nan).to_numpy()

    @property
    def _unseen_ones(self) -> str:
        """What the model makes of values that train did not have."""
        assert self.variable is not None
        if self.variable.is_given:
            pooled, alone = "all such values are given alike", "such values cannot be given"
        else:
            pooled = "such values share what is kept for such"
            alone = "such values have probability 0"
        return pooled if self.variable.pooled else alone

    @cached_property
    def reach(self) -> float:
        """How near a number may come to one of the values to count as it: of computed ones alone.

        Two values that were scaled by other rows are a little off.
        """
        numbers = self.numbers
        known = np.empty(0) if numbers is None else np.unique(numbers[~np.isnan(numbers)])
        if len(known) < 2 or not is_computed(
            NumberFormat.of_texts(pl.Series(self.spellings)), known
        ):
            return 0.0
        return _REACH * float(np.diff(known).min())

    def _nearest(self, labels: pl.Series, unseen: float) -> np.ndarray:
        """Codes (N,) of numbers as texts (N,), by the value next to each, if that is near."""
        numbers, own = labels.cast(pl.Float64, strict=False).to_numpy(), self.numbers
        assert own is not None
        distances = np.abs(numbers[:, None] - own)
        nearest = np.nan_to_num(distances, nan=np.inf).argmin(1)
        is_near = distances[np.arange(len(numbers)), nearest] <= self.reach
        return np.where(is_near, nearest, unseen)

    def _code(self, text: str, unseen: float) -> float:
        return self._codes.get(text, self.truths.get(text.lower(), unseen))

    @cached_property
    def truths(self) -> dict[str, float]:
        """Codes of truth values in any dress: True in one file, TRUE or 1 in another."""
        lower = {text.lower(): code for text, code in self._codes.items()}
        if not any(lower.keys() <= {*pair} for pair in _TRUTHS):
            return {}
        words = {word: code for pair in _TRUTHS for code, word in enumerate(pair)}
        own = {words[text]: code for text, code in lower.items()}
        return {word: own[truth] for word, truth in words.items() if truth in own}

    @override
    def decode(self, values: np.ndarray) -> pl.Series:
        known = ~np.isnan(values)
        codes = np.where(known, np.round(np.nan_to_num(values)), 0).astype(np.int64)
        last = len(self.spellings) - 1
        unseen = np.flatnonzero(codes > last)
        codes = np.clip(codes, 0, last)
        codes[unseen] = self._in_place_of_unseen(len(unseen))
        texts = pl.Series(self.name, self.spellings, dtype=pl.String).gather(codes)
        return texts.set(pl.Series(~known), None)

    def _in_place_of_unseen(self, count: int) -> np.ndarray:
        """Codes of rare values, by their shares: what stands for values never seen has no text."""
        assert self.variable is not None
        shares = np.cumsum(self.variable.pooled[:-1])
        if not len(shares):
            return np.zeros(count, np.int64)
        places = (np.arange(count) * _GOLDEN + 0.5) % 1 * shares[-1]
        return len(self.spellings) - len(shares) + np.searchsorted(shares, places)
