"""A few texts in a column of numbers: codes, what stands for no value, or mistakes."""

import polars as pl

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.reading import Reading, kind_of, setting

_MAX_ODD = 3


def judge_odd(cells: Cells, found: Reading, odd: pl.Series, kind: str | None) -> None:
    """Take a few texts that repeat in a column of numbers for missing; refuse others.

    Raises:
        ValueError: If one does not repeat, or there are several of them; with its place.
    """
    different, count = cells.texts.filter(odd).unique(maintain_order=True), cells.count_rows(odd)
    what = "a date" if found.kind == "date" else "a number"
    name = cells.raw.name
    if len(different) > _MAX_ODD or count < 2 * len(different):
        hint = "" if kind else f" or set {setting('kinds', name, 'categorical')}"
        raise cells.raw.error(
            cells.first_row(odd),
            f"is not {what}, as nearly all others are; correct it, leave it empty{hint}",
        )
    found.guessed = tuple(different)
    found.missing = (*found.missing, *found.guessed)
    found.suspicions.append(
        f"{', '.join(map(repr, different))} ({count} cells) among {what[2:]}s is taken as missing;"
        f" else {setting('kinds', name, 'categorical')}"
    )
    assert found.form is not None
    found.numbers = found.form.parse(cells.known(found.missing))
    found.kind = kind_of(found.form, found.numbers)
