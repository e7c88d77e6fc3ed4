"""Rows of which all cells are empty, as spreadsheets write below or between the rows of a table."""

import logging
from collections.abc import Callable, Iterable
from typing import final

import polars as pl

_log = logging.getLogger(__name__)


@final
class EmptyRows:
    """Counts what is left out of the text of one file.

    Args:
        source: How messages call the file.
    """

    def __init__(self, source: str) -> None:
        self._source, self._count, self._line, self._num_left = source, 0, 0, 0

    def left_out(self, frame: pl.DataFrame, line_of: Callable[[int], int]) -> pl.DataFrame:
        """The rows of a frame that have a value; `line_of` is asked for the first that has none."""
        is_empty = without_value(frame.get_columns())
        if (count := int(is_empty.sum())) and not self._count:
            self._line = line_of(int(is_empty.arg_max() or 0))
        self._count += count
        self._num_left += len(frame) - count
        return frame.filter(~is_empty) if count else frame

    def say(self) -> None:
        """Warn of them, if there were any.

        Raises:
            ValueError: If there were no others.
        """
        if not self._count:
            return
        if not self._num_left:
            raise ValueError(f"{self._source} has no rows but such whose cells are all empty")
        rows = "1 row is" if self._count == 1 else f"{self._count} rows are"
        first = "" if self._count == 1 else "the first of them "
        _log.warning(
            "%s: %s left out, whose cells are all empty (%sin line %d)",
            self._source,
            rows,
            first,
            self._line,
        )


def without_value(columns: Iterable[pl.Series]) -> pl.Series:
    """Which rows (N,) of columns have no value; none where there is one, whose cells may miss."""
    found, width = pl.Series([True]), 0
    for width, column in enumerate(columns, 1):
        found &= column.is_null()
        if width > 1 and not found.any():
            break
    return found & (width > 1)


def has_no_cell(record: list[str]) -> bool:
    """Whether a record is such a row."""
    return len(record) > 1 and not any(record)
