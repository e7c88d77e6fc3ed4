"""The oddest rows of a table for a terminal: where they stand, and the cells that make them odd."""

import io
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import rich.box
import rich.table
from rich.console import Console
from rich.text import Text

_WIDTH_OF_FILES = 120


def odd_rows_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """A table of rows.

    Args:
        rows: Each with `place`, `log_prob`, `rank` and `cells`, each with `column`, `value`,
            `surprise`, `usual` and `given_others`; None is not known.
        width: Of the terminal; default that of this one.
    """
    is_terminal = sys.stdout.isatty()
    if width is None:
        width = shutil.get_terminal_size().columns if is_terminal else _WIDTH_OF_FILES
    shown = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False, expand=False)
    shown.add_column("row", overflow="fold")
    shown.add_column("log_prob", justify="right", no_wrap=True)
    has_ranks = any(row["rank"] is not None for row in rows)
    if has_ranks:
        shown.add_column("rank", justify="right", no_wrap=True)
    shown.add_column("cells that are odd: nats of surprise (usual in their column)")
    for row in rows:
        entries = [row["place"], f"{row['log_prob']:.2f}"]
        entries += [f"{row['rank']:.4f}"] if has_ranks else []
        cells = "\n".join(map(_cell, row["cells"]))
        shown.add_row(*map(Text, [*entries, cells]))
    buffer = io.StringIO()
    Console(file=buffer, width=width, force_terminal=is_terminal).print(shown)
    return buffer.getvalue().rstrip()


def _cell(cell: Mapping[str, Any]) -> str:
    value = cell["value"] or "(empty)"
    others = cell["given_others"]
    more = "" if others is None else f", given all others {others:.1f}"
    return f"{cell['column']} = {value}  {cell['surprise']:.1f} ({cell['usual']:.1f}{more})"
