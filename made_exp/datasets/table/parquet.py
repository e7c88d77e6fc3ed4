"""Whether the numbers of values and bytes that pages of a Parquet file give can be true.

Polars takes them for true, and asks for as much memory as they say: the process ends where the
machine has not so much. Read here are the footer and the headers of pages, which are structs of
Thrift's compact protocol; what is wrong with them otherwise, Polars says itself.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, final

from made_exp.memory import available_memory

_END = b"PAR1"
_TRUE, _FALSE, _BYTE, _SHORT, _INT, _LONG, _DOUBLE, _TEXT, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
# Of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_ROW_GROUPS, _CHUNKS, _COLUMN, _BYTES, _DATA_AT, _DICTIONARY_AT = 4, 1, 3, 7, 9, 11
# Of PageHeader, and of what it says of a page of each kind.
_WHOLE_BYTES, _STORED_BYTES, _KINDS, _COUNTS = 2, 3, (5, 7, 8), (1, 2, 3)
_MOST = 2**20  # columns, row groups
_UNREADABLE = (IndexError, KeyError, TypeError, AttributeError, RecursionError)


class _Page(NamedTuple):
    """What a page says of itself: its numbers of values, nulls and rows, and its bytes."""

    counts: list[int]
    size: int


@final
class _Reader:
    """Structs as field -> value, one after the other; of a text nothing is kept.

    Args:
        data: The bytes of a file.
        place: Where to begin.
    """

    def __init__(self, data: memoryview, place: int) -> None:
        self._data, self.place = data, place

    def struct(self) -> dict[int, Any]:
        """The fields of the struct that begins here."""
        fields, field = dict[int, Any](), 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            fields[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (_SHORT, _INT, _LONG):
            bits = {_SHORT: 16, _INT: 32, _LONG: 64}[kind]
            return (self._signed() + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15) for _ in self._few(count)]
        if kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in self._few(count)]
        if kind == _STRUCT:
            return self.struct()
        if kind == _TEXT:
            size = self._varint()
            self.place += size
            return None
        self.place += 8 if kind == _DOUBLE else 1
        return None

    def _few(self, count: int) -> range:
        if count > _MOST:
            raise IndexError("a list that no file has")
        return range(count)

    def _signed(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number, shift = 0, 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def _byte(self) -> int:
        self.place += 1
        return self._data[self.place - 1]


def refuse_untrue_pages(data: memoryview) -> None:
    """Raise ValueError if a page of a Parquet file says what cannot be true.

    Args:
        data: The bytes of the file; may be mapped from disk, of which little is then read.
    """
    available = available_memory()
    for page in _pages(data):
        if min(page.counts) < 0:
            raise ValueError("it is damaged: a page has fewer than no values")
        if available is not None and page.size > available:
            raise ValueError("it is damaged: a page is larger than memory")


def _pages(data: memoryview) -> Iterator[_Page]:
    """All pages whose headers can be read."""
    try:
        if data[-4:] != _END:
            return
        end = len(data) - 8
        start = end - int.from_bytes(data[end : end + 4], "little")
        groups = _Reader(data, start).struct()[_ROW_GROUPS]
        columns = [chunk[_COLUMN] for group in groups for chunk in group[_CHUNKS]]
    except _UNREADABLE:
        return
    for column in columns:
        try:
            yield from _pages_of(data, column)
        except _UNREADABLE:
            continue


def _pages_of(data: memoryview, column: dict[int, Any]) -> Iterator[_Page]:
    place = column.get(_DICTIONARY_AT) or column[_DATA_AT]
    end = min(len(data), place + column[_BYTES])
    while 0 <= place < end:
        reader = _Reader(data, place)
        page = reader.struct()
        said: dict[int, Any] = next((page[kind] for kind in _KINDS if kind in page), {})
        yield _Page([int(said.get(count, 0)) for count in _COUNTS], int(page[_WHOLE_BYTES]))
        place = reader.place + max(0, page[_STORED_BYTES])
