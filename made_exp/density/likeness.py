"""What frames that a density answers with are like: of which library, columns of which types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, final

import polars as pl

from made_exp.datasets.table.column import Column
from made_exp.datasets.table.frames import column_names, raw_table
from made_exp.datasets.table.libraries import Library, adopted, library_named, like_columns
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.table.writing import typed, typed_column


@final
@dataclass(frozen=True, eq=False)
class Likeness:
    """How frames are made.

    Attributes:
        library: Whose they are; None where tensors are wanted.
        like: A frame of that library without rows, of the columns of the table in turn, which has
            their types; None where these are as in the table that was understood.
        stored: The same types by the names of the columns.
    """

    library: Library | None = None
    like: Any = None
    stored: Mapping[str, pl.DataType] = field(default_factory=dict)

    @classmethod
    def of(cls, frames: Any, schema: TableSchema | None) -> Self:
        """Of the name of a library, or of a frame that has the columns of a table; or of None.

        Raises:
            ValueError: If the library is not known, or the frame lacks a column.
        """
        if frames is None or isinstance(frames, str):
            return cls(None if frames is None else library_named(frames))
        library, frame = adopted(frames)
        names = column_names(frame) if schema is None else schema.names
        stored = {column.name: column.stored for column in raw_table(frame).columns}
        return cls(library, like_columns(library, frame, names), stored)

    def make(self, columns: Sequence[pl.Series]) -> Any:
        """A frame of these columns, those of the table; of polars where tensors are wanted."""
        return (self.library or library_named("polars")).make(columns, self.like)

    def typed(self, columns: Sequence[Column], texts: pl.DataFrame) -> Any:
        """A frame of the texts of all columns of the table."""
        return self.make(typed(columns, texts, self.stored).get_columns())

    def append(
        self, library: Library, frame: Any, columns: Sequence[Column], place: int, texts: pl.Series
    ) -> Any:
        """A frame of any library with the column at one place of the table as its last."""
        values = typed_column(columns[place], texts, self.stored.get(columns[place].name))
        is_own = self.like is not None and library is self.library
        return library.append(frame, values, library.pick(self.like, [place]) if is_own else None)
