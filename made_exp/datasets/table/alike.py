"""Texts that mean one value: the same number, truth value or moment, however it is written."""

import polars as pl

from made_exp.datasets.table.cells import as_labels, number_of
from made_exp.datasets.table.instants import iso_moments
from made_exp.datasets.table.nearly_zero import flushed

_TRUTHS = ("true", "false")


def same_value(texts: pl.Series, text: str) -> pl.Series:
    """Which texts (K,), without spaces around them, mean what another does; false where null."""
    wanted = pl.Series([text.strip()], dtype=pl.String)
    alike = as_labels(texts) == as_labels(wanted)[0]
    if wanted[0].lower() in _TRUTHS:
        alike |= texts.str.to_lowercase() == wanted[0].lower()
    number, moment = number_of(wanted[0]), iso_moments(wanted, None)[0]
    if number is not None:
        both = flushed(texts.cast(pl.Float64, strict=False)), flushed(pl.Series([number]))[0]
        alike |= (both[0] == both[1]).fill_null(False)
    if moment is not None:
        alike |= (iso_moments(texts, None) == moment).fill_null(False)
    return alike.fill_null(False)
