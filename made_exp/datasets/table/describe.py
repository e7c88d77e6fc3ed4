"""What was understood of a table, for the one who owns it: a line for each column."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.columns import Numbers
from made_exp.datasets.table.raw import leaving_out
from made_exp.datasets.table.reading import setting

# What a column of a kind is taken for instead, most often.
_INSTEAD = {
    "binary": "categorical",
    "categorical": "identifier",
    "integer": "categorical",
    "real": "decimal",
    "decimal": "real",
    "date": "categorical",
    "identifier": "categorical",
}
_SHOWN = ("column", "kind", "values", "missing", "decided")
MAX_ROWS = 40


def describe_column(column: Column) -> dict[str, Any]:
    """Column, kind, values, missing cells, what was decided, and how to overrule it."""
    instead = _INSTEAD.get(column.kind)
    if isinstance(column, Categories) and column.decided == "few different numbers":
        instead = "integer"
    return {
        "column": column.name,
        "kind": column.kind,
        "values": column.values,
        "missing": column.num_missing,
        "decided": "; ".join(filter(None, [column.decided, *_details(column)])),
        "overrule": setting("kinds", column.name, instead) if instead else leaving_out(column.name),
    }


def _details(column: Column) -> list[str]:
    found = []
    if isinstance(column, Numbers):
        found.append(column.format.describe())
        if column.grid_written:
            found.append(f"draws in steps of {column.grid_written}")
    variable = column.variable
    if variable is not None and variable.is_given:
        found.append("given")
    if variable is not None and variable.atoms:
        texts = column.decode(np.array(variable.atoms[:3])).to_list()
        more = f", ... ({len(variable.atoms)})" if len(variable.atoms) > 3 else ""
        found.append(f"spikes at {', '.join(texts)}{more}")
    if variable is not None and len(variable.pooled) > 1:
        found.append(f"{len(variable.pooled) - 1} rare ones together")
    if variable is not None and variable.may_be_missing:
        found.append("missing is a value")
    return found


def as_table(rows: Sequence[Mapping[str, Any]], *, most: int = MAX_ROWS) -> str:
    """The rows of `describe_column` as lines of text, at most so many."""
    shown = [[_cut(str(row[key])) for key in _SHOWN] for row in rows[:most]]
    for line in shown:
        line[3] = "" if line[3] == "0" else line[3]
    lines = [list(_SHOWN), *shown]
    if not any(line[3] for line in shown):
        lines = [[*line[:3], *line[4:]] for line in lines]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    if len(rows) > most:
        text.append(f"... and {len(rows) - most} more columns: describe=true shows them")
    hints = ["'dataset.kinds={COLUMN: KIND}'", "'dataset.drop=[COLUMN]'"]
    if any(row["decided"] == "few different numbers" for row in rows):
        hints[0] = next(row for row in rows if row["decided"] == "few different numbers")[
            "overrule"
        ]
    text.append(f"to overrule: {', '.join(hints)}, dataset.missing_values=[...]")
    return "\n".join(text)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
