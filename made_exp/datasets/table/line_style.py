"""How a file of text begins and its lines end, for one that is written as another was."""

import codecs
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self, final

import polars as pl

from made_exp.datasets.table.sources import COMPRESSED, format_of

_LOOKED_AT = 2**16


@final
@dataclass(frozen=True)
class LineStyle:
    """The mark before the first line, b"" for none, and the end of each."""

    mark: bytes = b""
    end: str = "\n"

    @classmethod
    def of(cls, like: str) -> Self:
        """That of a file of text; the usual one for what is none, or is compressed."""
        path = Path(like)
        if format_of(path) != "text" or path.suffix.lower() in COMPRESSED:
            return cls()
        try:
            with open(path, "rb") as stream:
                head = stream.read(_LOOKED_AT)
        except (OSError, ValueError):  # the name of a frame
            return cls()
        mark = codecs.BOM_UTF8 if head.startswith(codecs.BOM_UTF8) else b""
        return cls(mark, "\r\n" if head.partition(b"\n")[0].endswith(b"\r") else "\n")

    def write(self, frame: pl.DataFrame, stream: IO[bytes], separator: str) -> None:
        """Write the rows of a frame, as text, without names."""
        frame.write_csv(stream, separator=separator, include_header=False, line_terminator=self.end)
