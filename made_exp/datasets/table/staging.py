"""A table staged on disk piece by piece, of which one column at a time comes into memory."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, final

import polars as pl
from typing_extensions import override

from made_exp.datasets.table.choosing import ALL, Chosen
from made_exp.datasets.table.files import refuse_other_formats, stacked
from made_exp.datasets.table.pieces import read_pieces
from made_exp.datasets.table.raw import GivenTable, Origin, RawColumn, RawTable
from made_exp.datasets.table.text import TextStyle


@final
class StagedTable(GivenTable):
    """All rows of files, as `files.read_tables` gives them, in a folder of parts.

    Args:
        files: At least one; their columns may stand in any order.
        style: How those of text are written.
        folder: Where the parts go; it exists.
        chosen: Which of the columns are read.

    Raises:
        ValueError: If a file cannot be read, or has other columns than the first; with the line.
    """

    is_in_memory: ClassVar[bool] = False

    def __init__(
        self, files: Sequence[Path], style: TextStyle, folder: Path, chosen: Chosen = ALL
    ) -> None:
        self._files, self._style = list(files), style
        self._parts, self._heads = list[Path](), list[pl.DataFrame]()
        counts, delimiters = [0] * len(files), list[str | None]([None]) * len(files)
        names, left_out = tuple[str, ...](), dict[str, None]()
        for piece in read_pieces(files, style, chosen):
            left_out |= dict.fromkeys(piece.raw.left_out)
            names, delimiters[piece.file] = piece.raw.names, piece.raw.delimiter
            counts[piece.file] += len(piece.raw)
            self._parts.append(folder / f"{len(self._parts)}.arrow")
            self._heads.append(piece.frame.clear())
            piece.frame.write_ipc(self._parts[-1], compression="lz4")
        refuse_other_formats(files, delimiters)
        self.left_out = tuple(left_out)
        self._names, self._count, self.delimiter = names, sum(counts), delimiters[0]
        starts = tuple(itertools.accumulate(counts[:-1], initial=0))
        find_line = self._line_of if self.delimiter else None
        self._origin = Origin(tuple(map(str, files)), starts, find_line)

    @override
    def __len__(self) -> int:
        return self._count

    @property
    @override
    def origin(self) -> Origin:
        return self._origin

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return self._names

    @override
    def column(self, name: str) -> RawColumn:
        frames = [self._read(part, [name]) for part in self._parts]
        return RawTable.of_frame(stacked(frames, self._files), self._origin).columns[0]

    @override
    def select(self, names: Sequence[str]) -> "StagedTable":
        chosen = object.__new__(StagedTable)
        chosen.__dict__ = self.__dict__ | {"_names": tuple(names)}
        return chosen

    @override
    def beginning(self, count: int) -> RawTable:
        frames, found = list[pl.DataFrame](), 0
        for part in self._parts:
            if found < count:
                frames.append(self._read(part, self._names))
                found += len(frames[-1])
        first = RawTable.of_frame(stacked(frames, self._files), self._origin, self.delimiter)
        return replace(first.beginning(count), left_out=self.left_out)

    @override
    def row_hashes(self, names: Sequence[str]) -> pl.Series:
        types = stacked([head.select(names) for head in self._heads], self._files).schema
        frames = (self._read(part, names).cast(types) for part in self._parts)
        return pl.concat([RawTable.of_frame(f, self._origin).row_hashes(names) for f in frames])

    def _line_of(self, file: int, row: int) -> int:
        for piece in read_pieces([self._files[file]], self._style):
            if row < len(piece.raw):
                find_line = piece.raw.origin.find_line
                assert find_line is not None
                return find_line(0, row)
            row -= len(piece.raw)
        raise AssertionError("no such row")

    def _read(self, part: Path, names: Sequence[str]) -> pl.DataFrame:
        return pl.scan_ipc(part).select(names).collect()
