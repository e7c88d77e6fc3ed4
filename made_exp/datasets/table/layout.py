"""How delimited text is laid out, counted from its bytes: what a fast reader must agree with."""

from dataclasses import dataclass
from typing import final

import numpy as np

_QUOTE, _NEWLINE, _RETURN = b'"\n\r'
_CHUNK = 2**18  # stays in the cache


@final
@dataclass(frozen=True, eq=False)
class Layout:
    """What is counted outside of quotes.

    Attributes:
        num_records: Records, blank ones included.
        num_delimiters: Delimiters between fields.
        blank: Numbers of the blank records, from 0.
        is_regular: Whether quotes only stand where they open or close a field or are doubled.
    """

    num_records: int
    num_delimiters: int
    blank: np.ndarray
    is_regular: bool


def lay_out(content: bytes, delimiter: str, *, chunk: int = _CHUNK) -> Layout:
    """The layout of a text whose records end in a newline; `delimiter` is one ASCII character."""
    data = np.frombuffer(content, np.uint8)
    num_quotes = num_records = num_delimiters = 0
    is_regular, blank = True, [np.zeros(0, np.int64)]
    for start in range(0, len(data), chunk):
        part = data[start : start + chunk]
        is_newline, is_delimiter = part == _NEWLINE, part == ord(delimiter)
        is_quote = part == _QUOTE
        if num_quotes % 2 or is_quote.any():
            outside = (num_quotes % 2 + np.cumsum(is_quote, dtype=np.uint8)) & 1 == 0
            is_newline &= outside
            is_delimiter &= outside
            quotes = start + np.flatnonzero(is_quote)
            is_regular = is_regular and _are_regular(data, quotes, num_quotes, ord(delimiter))
            num_quotes += len(quotes)
        ends = start + np.flatnonzero(is_newline)
        blank.append(num_records + np.flatnonzero(_begins_at(data, ends)))
        num_records += len(ends)
        num_delimiters += int(np.count_nonzero(is_delimiter))
    if len(data) and (data[-1] != _NEWLINE or num_quotes % 2):
        num_records += 1
    return Layout(
        num_records, num_delimiters, np.concatenate(blank), is_regular and num_quotes % 2 == 0
    )


def _begins_at(data: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Whether the records that end at these newlines hold nothing: (E,) bool."""
    one, two = (np.where(ends >= k, data[np.maximum(ends - k, 0)], _NEWLINE) for k in (1, 2))
    return (one == _NEWLINE) | ((one == _RETURN) & (two == _NEWLINE))


def _are_regular(data: np.ndarray, quotes: np.ndarray, before: int, delimiter: int) -> bool:
    """Whether the quotes at these places, `before` of them before, open, close or are doubled."""
    opens = (before + np.arange(len(quotes))) % 2 == 0
    first, last = quotes[opens], quotes[~opens]
    previous = np.where(first > 0, data[first - 1], _NEWLINE)
    following = np.where(last + 1 < len(data), data[(last + 1) % len(data)], _NEWLINE)
    edges = (delimiter, _NEWLINE, _QUOTE)
    return bool(np.isin(previous, edges).all() and np.isin(following, (*edges, _RETURN)).all())
