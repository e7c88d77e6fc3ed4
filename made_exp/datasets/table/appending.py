"""A table into a file piece by piece, in bounded memory: text, Parquet or Arrow by its ending."""

import bz2
import gzip
import lzma
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Self, final

import polars as pl
import zstandard

from made_exp.datasets.table.line_style import LineStyle
from made_exp.datasets.table.sources import format_of
from made_exp.datasets.table.types_back import types_put_back
from made_exp.datasets.table.writing import delimiter_of, for_text, write_names
from made_exp.errors import one_line
from made_exp.files import atomic_path, folder_of_parts

_COMPRESS: Mapping[str, Callable[[BinaryIO], Any]] = {
    # Without the time of writing: the same rows are the same bytes.
    ".gz": lambda raw: gzip.GzipFile("", "wb", 6, raw, mtime=0),
    ".zst": lambda raw: zstandard.ZstdCompressor().stream_writer(raw, closefd=False),
    ".bz2": lambda raw: bz2.BZ2File(raw, mode="wb"),
    ".xz": lambda raw: lzma.LZMAFile(raw, mode="wb"),  # noqa: SIM115
}


@final
class TableWriter(ExitStack):
    """Rows that are written as they come; the file is there, whole, once the context has ended.

    What was at `path` is left untouched where the body raises.

    Args:
        path: Its ending says how: text, Parquet or Arrow, and for text whether compressed.
        delimiter: Of text, where the ending does not say it.
    """

    def __init__(self, path: Path, delimiter: str) -> None:
        super().__init__()
        self.path, self._delimiter = path, delimiter_of(path, delimiter)
        self._kind, self._parts = format_of(path), list[Path]()
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        self._file = self.enter_context(atomic_path(self.path))
        if self._kind == "text":
            raw = self.enter_context(open(self._file, "wb"))
            compress = _COMPRESS.get(self.path.suffix.lower())
            self._stream = raw if compress is None else self.enter_context(compress(raw))
        else:
            self._folder = folder_of_parts(self._file)
            self._folder.mkdir()
            self.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._is_first = True
        return self

    def append(
        self, frame: pl.DataFrame, renamed: Mapping[str, str] | None = None, like: str = ""
    ) -> None:
        """Write these rows after the others.

        Args:
            frame: The rows.
            renamed: What columns are called in a file of text, where that is not their name.
            like: Where they came from: see `types_put_back` and `LineStyle`.

        Raises:
            ValueError: If the format cannot hold them.
        """
        try:
            if self._stream is not None:
                if self._is_first:
                    names, self._style = frame.columns, LineStyle.of(like)
                    write_names(names, renamed or {}, self._style, self._stream, self._delimiter)
                self._style.write(for_text(frame), self._stream, self._delimiter)
            else:
                self._parts.append(self._folder / f"{len(self._parts)}")
                frame.write_parquet(self._parts[-1])
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"cannot write {self.path}: {one_line(error)}") from error
        self._is_first, self._like = False, like

    def __exit__(self, *error: Any) -> bool | None:
        """Put the file together where the body raised nothing."""
        if error[0] is None and self._parts:
            parts = [pl.scan_parquet(part) for part in self._parts]
            whole = pl.concat(parts, how="vertical_relaxed")
            sink = whole.sink_parquet if self._kind == "Parquet" else whole.sink_ipc
            sink(self._file)
            again = self._folder / "again"
            if self._kind == "Parquet" and types_put_back(self._file, self._like, again):
                again.replace(self._file)
        return super().__exit__(*error)
