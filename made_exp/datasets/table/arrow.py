"""Whether the lengths that an Arrow file gives can be true.

Polars takes them for true, and asks for as much memory as they say: the process ends where the
machine has not so much. Read here are the footer of the file and the description of each batch of
rows, which are flatbuffers; see "Encapsulated message format" in the specification of Arrow.
"""

import struct
from collections.abc import Iterator
from typing import final

import numpy as np

from made_exp.memory import available_memory

_END = b"ARROW1"
_BLOCK = np.dtype([("at", "<i8"), ("head", "<i4"), ("unused", "<i4"), ("body", "<i8")])
_BUFFER = np.dtype([("at", "<i8"), ("length", "<i8")])
_NODE = np.dtype([("rows", "<i8"), ("nulls", "<i8")])
_DICTIONARY, _ROWS = 2, 3  # kinds of messages
_BITS = 8  # values that a byte can hold, at most
_FEW = 2**12  # bytes of a batch; columns without a value have none


@final
class _Record:
    """A table of a flatbuffer: fields by number, of which those with their default are left out.

    Args:
        data: (n,) uint8, all of the file.
        place: Where it stands how far from there the record is.
    """

    def __init__(self, data: np.ndarray, place: int) -> None:
        self._data = data
        self._start = place + _number(data, place, "<I")
        self._fields = self._start - _number(data, self._start, "<i")
        self._size = _number(data, self._fields, "<H")

    def number(self, field: int, form: str) -> int:
        place = self._place(field)
        return 0 if place is None else _number(self._data, place, form)

    def record(self, field: int) -> "_Record | None":
        place = self._place(field)
        return None if place is None else _Record(self._data, place)

    def rows(self, field: int, form: np.dtype) -> np.ndarray:
        """(k,) of `form`: the structs of a field that is a vector of them."""
        place = self._place(field)
        if place is None:
            return np.empty(0, form)
        place += _number(self._data, place, "<I")
        size = _number(self._data, place, "<I") * form.itemsize
        if place + 4 + size > len(self._data):
            raise ValueError("it is damaged: a list is not within the file")
        return self._data[place + 4 : place + 4 + size].view(form)

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        away = _number(self._data, self._fields + entry, "<H")
        return self._start + away if away else None


def refuse_untrue_lengths(data: np.ndarray) -> None:
    """Raise ValueError if an Arrow file says of a part that it is longer than it can be.

    Args:
        data: (n,) uint8, all of the file; may be mapped from disk, of which little is then read.
    """
    try:
        for batch, body in _batches(data):
            _check(batch, body)
    except struct.error as error:
        raise ValueError("it is damaged: a part is not within the file") from error


def _batches(data: np.ndarray) -> Iterator[tuple[_Record, np.ndarray]]:
    """The description of each batch, and its bytes."""
    if data[-len(_END) :].tobytes() != _END:
        raise ValueError("it is damaged: it has no end")
    end = len(data) - len(_END) - 4
    start = end - _number(data, end, "<i")
    footer = _Record(data, start)
    for block in np.concatenate([footer.rows(2, _BLOCK), footer.rows(3, _BLOCK)]):
        at, head, size = int(block["at"]), int(block["head"]), int(block["body"])
        if min(at, head, size) < 0 or at + head + size > start:
            raise ValueError("it is damaged: a batch is not within the file")
        marked = _number(data, at, "<I") == 2**32 - 1  # since version 0.15 of the format
        message = _Record(data, at + (8 if marked else 4))
        kind, batch = message.number(1, "<B"), message.record(2)
        if batch is not None and kind == _DICTIONARY:
            batch = batch.record(1)
        if batch is None or kind not in (_DICTIONARY, _ROWS):
            raise ValueError("it is damaged: a batch is none")
        yield batch, data[at + head : at + head + size]


def _check(batch: _Record, body: np.ndarray) -> None:
    buffers, nodes = batch.rows(2, _BUFFER), batch.rows(1, _NODE)
    at, lengths = buffers["at"], buffers["length"]
    if (at < 0).any() or (lengths < 0).any() or (at > len(body) - lengths).any():
        raise ValueError("it is damaged: a column is not within its batch")
    if batch.record(3) is not None:
        lengths = _whole_lengths(body, buffers[lengths > 0])
    size, available = sum(lengths.tolist()), available_memory()
    if available is not None and size > available:
        raise ValueError(f"it is damaged: a batch of {size} bytes is larger than memory")
    rows = batch.number(0, "<q")
    if rows < 0 or (nodes["nulls"] < 0).any() or (nodes["nulls"] > nodes["rows"]).any():
        raise ValueError("it is damaged: numbers of rows are none")
    if max([rows, *nodes["rows"].tolist()]) > _BITS * max(size, _FEW):
        raise ValueError("it is damaged: a column has more rows than bytes for them")


def _whole_lengths(body: np.ndarray, buffers: np.ndarray) -> np.ndarray:
    """(k,) int64: how long buffers are once they are no longer compressed, as they say."""
    if (buffers["length"] < 8).any():
        raise ValueError("it is damaged: a compressed column has no length")
    places = buffers["at"][:, None] + np.arange(8)
    said = body[places].view("<i8")[:, 0]
    if (said < -1).any():
        raise ValueError("it is damaged: a length is negative")
    return np.where(said == -1, buffers["length"] - 8, said)


def _number(data: np.ndarray, place: int, form: str) -> int:
    if place < 0:
        raise ValueError("it is damaged: a part begins before the file")
    (found,) = struct.unpack(form, data[place : place + struct.calcsize(form)].tobytes())
    return int(found)
