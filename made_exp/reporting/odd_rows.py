"""The oddest rows of a table for a terminal: where they stand, and the cells that make them odd."""

from collections.abc import Mapping, Sequence
from typing import Any

from made_exp.reporting.text_table import as_text, plain_table


def odd_rows_text(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """A table of rows.

    Args:
        rows: Each with `place`, `log_prob`, `rank` and `cells`, each with `column`, `value`,
            `surprise`, `usual` and `given_others`; None is not known.
        width: Of the terminal; default that of this one.
    """
    has_ranks = any(row["rank"] is not None for row in rows)
    ranks = [("rank", True)] if has_ranks else []
    cells = ("cells that are odd: nats of surprise (usual in their column)", False)
    shown = [
        [
            row["place"],
            f"{row['log_prob']:.2f}",
            *([f"{row['rank']:.4f}"] if has_ranks else []),
            "\n".join(map(_cell, row["cells"])),
        ]
        for row in rows
    ]
    columns = [("row", False), ("log_prob", True), *ranks, cells]
    return as_text(plain_table(columns, shown), width=width)


def _cell(cell: Mapping[str, Any]) -> str:
    value = cell["value"] or "(empty)"
    others = cell["given_others"]
    more = "" if others is None else f", given all others {others:.1f}"
    return f"{cell['column']} = {value}  {cell['surprise']:.1f} ({cell['usual']:.1f}{more})"
