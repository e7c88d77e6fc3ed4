"""Rich tables as plain text: what a terminal, a file or a log shows."""

import io
import shutil
import sys
from collections.abc import Sequence

import rich.box
import rich.table
from rich.console import Console, RenderableType
from rich.text import Text

_WIDTH_OF_FILES = 120


def plain_table(
    columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]
) -> rich.table.Table:
    """A table whose cells are text as it is, never markup.

    Args:
        columns: Title of each, and whether it holds numbers.
        rows: Cells from left to right.
    """
    shown = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False, show_edge=False)
    for title, is_numeric in columns:
        justify: rich.console.JustifyMethod = "right" if is_numeric else "left"
        shown.add_column(Text(title), justify=justify, no_wrap=is_numeric, overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown


def as_text(*shown: RenderableType, width: int | None = None, colored: bool | None = None) -> str:
    """What `shown` looks like at `width`; default that of this terminal, 120 where it is none."""
    is_terminal = sys.stdout.isatty()
    if width is None:
        width = shutil.get_terminal_size().columns if is_terminal else _WIDTH_OF_FILES
    # Rich draws lines of the signs that the stream's encoding has.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", newline="\n")
    console = Console(
        file=stream, width=width, force_terminal=is_terminal if colored is None else colored
    )
    for one in shown:
        console.print(one)
    stream.seek(0)
    return "\n".join(line.rstrip() for line in stream.read().rstrip().split("\n"))
