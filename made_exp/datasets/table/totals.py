"""Last rows that are no rows but sums of the others, as spreadsheets have them."""

import polars as pl

from made_exp.datasets.table.raw import GivenTable

_WORDS = (
    "total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt", "gesamtsumme", "somme",
    "totale", "suma", "totaal", "summa",
)  # fmt: skip


def totals(raw: GivenTable) -> list[str]:
    """The first last row of a file in which a word for a sum stands, and nowhere else."""
    starts = [start for start in (*raw.origin.starts[1:], len(raw)) if start > 0]
    ends = pl.Series([start - 1 for start in starts], dtype=pl.Int64)
    for name in raw.names:
        column = raw.column(name)
        if column.values.dtype != pl.String:
            continue
        texts = column.values.str.strip_chars(" :").str.to_lowercase()
        for row in ends.filter(texts.gather(ends).is_in(_WORDS).fill_null(False)):
            if (texts == texts[row]).sum() == 1:  # else one of its values
                what = "in the last row alone: if that is a sum of the others, take it away"
                return [f"{column.place(row)}: '{column.shown(row)}' {what}"]
    return []
