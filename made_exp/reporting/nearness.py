"""Whether rows were copied: how near each is to the rows that a model learned from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from made_exp.reporting.fields import Field

_MAX_ROWS, _MAX_LEARNED = 1000, 10_000
_AT_ONCE = 2**22  # numbers
_TAIL = 0.01
_NEAR = 0.05  # share of the held-out rows that are called near


@dataclass(frozen=True)
class Nearness:
    """Distances to the nearest learned row, and copies, of drawn rows and of held-out ones.

    Attributes:
        drawn: (m,) Gower distances in [0, 1].
        held_out: (n,) the same of real rows that were not learned from.
        copies: Shares of the drawn and of the held-out rows that are in the learned ones exactly.
        near: Share of the drawn rows nearer than 5 % of the held-out ones are.
    """

    drawn: np.ndarray
    held_out: np.ndarray
    copies: tuple[float, float]
    near: float


def nearness(
    learned: np.ndarray,
    held_out: np.ndarray,
    drawn: np.ndarray,
    fields: Sequence[Field],
    pieces: Iterable[np.ndarray] | None = None,
) -> Nearness:
    """Compare rows (.., D) float64, NaN where missing, that have the columns `fields`.

    Distances are of up to 1000 rows to up to 10 000 learned ones, the same for both; copies are
    looked for among all, which are `pieces` where `learned` are some of very many.
    """
    units = _Units(learned, fields)
    pool = units.of(_some(learned, _MAX_LEARNED))
    ours, theirs = (_nearest(units.of(_some(x, _MAX_ROWS)), pool) for x in (drawn, held_out))
    copies = _copies((drawn, held_out), [learned] if pieces is None else pieces)
    # Of ties at the quantile a part counts, the same of both.
    limit = np.quantile(theirs, _NEAR, method="inverted_cdf")
    share = (_NEAR - (theirs < limit).mean()) / (theirs == limit).mean()
    near = (ours < limit).mean() + share * (ours == limit).mean()
    return Nearness(ours, theirs, copies, float(near))


class _Units:
    """Columns as numbers whose differences are parts of a Gower distance."""

    def __init__(self, learned: np.ndarray, fields: Sequence[Field]) -> None:
        self.is_number = np.array([field.names is None for field in fields])
        self.ranges = np.ones(len(fields))
        for d in np.flatnonzero(self.is_number):
            known = learned[~np.isnan(learned[:, d]), d]
            if len(known):
                low, high = np.quantile(known, [_TAIL, 1 - _TAIL])
                self.ranges[d] = (high - low) or (known.max() - known.min()) or 1.0

    def of(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers (n, N) in units of their range, and codes (n, C) of the other columns.

        A missing number is far from all others and near to missing ones.
        """
        numbers = (x / self.ranges)[:, self.is_number].astype(np.float32)
        return np.nan_to_num(numbers, nan=1e6), np.nan_to_num(x[:, ~self.is_number], nan=-1.0)


def _nearest(
    rows: tuple[np.ndarray, np.ndarray], pool: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Gower distance (n,) of rows to the nearest in the pool.

    It is the mean over the columns of |a - b| in units of the range, at most 1, and of [a != b].
    """
    size, columns = len(pool[0]), rows[0].shape[1] + rows[1].shape[1]
    step = max(1, _AT_ONCE // max(size, 1))
    found = np.empty(len(rows[0]))
    for start in range(0, len(found), step):
        own = slice(start, start + step)
        total = np.zeros((len(rows[0][own]), size), np.float32)
        for a, b in zip(rows[0][own].T, pool[0].T, strict=True):
            total += np.minimum(np.abs(a[:, None] - b), 1.0)
        for a, b in zip(rows[1][own].T, pool[1].T, strict=True):
            total += a[:, None] != b
        found[own] = total.min(1) / columns
    return found


def _copies(
    tables: tuple[np.ndarray, np.ndarray], pieces: Iterable[np.ndarray]
) -> tuple[float, float]:
    """Shares of the rows of each of the tables (n, D) that are in one of the pieces."""
    first, second = (_as_keys(x) for x in tables)
    found = np.zeros(len(first) + len(second), bool)
    keys = np.concatenate([first, second])
    for piece in pieces:
        found |= np.isin(keys, np.unique(_as_keys(piece)))
    return float(found[: len(first)].mean()), float(found[len(first) :].mean())


def _some(x: np.ndarray, most: int) -> np.ndarray:
    """Up to `most` rows, always the same."""
    if len(x) <= most:
        return x
    return x[np.sort(np.random.default_rng(0).choice(len(x), most, replace=False))]


def _as_keys(x: np.ndarray) -> np.ndarray:
    """A key (n,) for each row of x (n, D); missing cells are equal."""
    clean = np.ascontiguousarray(np.nan_to_num(x, nan=np.finfo(np.float64).min) + 0.0)
    return clean.view(np.dtype((np.void, clean.itemsize * clean.shape[1])))[:, 0]
