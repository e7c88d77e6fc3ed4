"""Texts that differ in the spaces around them alone: one value in text, several where typed."""

from collections.abc import Collection, Iterable, Sequence

import polars as pl

from made_exp.datasets.table.cells import Cells, as_labels, number_of

_HAS_SPACES = pl.col("text") != pl.col("label")


def labels_of(cells: Cells, missing: Iterable[str], spaced: Collection[str]) -> pl.Series:
    """(K,) what each text counts as, null where missing: itself if it is one of `spaced`.

    Others are without the spaces around them, and whole numbers without a point.
    """
    labels = as_labels(cells.known(missing))
    if not spaced:
        return labels
    is_own = cells.written.is_in(list(spaced)).fill_null(False) & labels.is_not_null()
    return cells.written.zip_with(is_own, labels)


def spaced_values(cells: Cells, missing: Iterable[str]) -> tuple[str, ...]:
    """Texts with spaces around them that are values of their own, as the same stand without.

    There are such only where texts were stored: between delimiters spaces are for the eye.
    """
    if not cells.raw.origin.is_typed or cells.raw.values.dtype != pl.String:
        return ()
    found = _several(cells, missing)
    return tuple(found.filter(_HAS_SPACES)["text"].sort())


def spelled(cells: Cells, labels: list[str], spaced: Sequence[str] = ()) -> list[str]:
    """The most common way in which each label is written in the column, spaces included."""
    labelled = labels_of(cells, (), spaced)
    counts = pl.DataFrame({"label": labelled, "text": cells.written, "rows": cells.counted()})
    counts = counts.group_by("label", "text").sum()
    best = counts.sort("rows", "text", descending=[True, False])
    best = best.unique("label", keep="first", maintain_order=True)
    found = dict(best.select("label", "text").iter_rows())
    return [found[label] for label in labels]


def counted_as_one(cells: Cells, missing: Iterable[str]) -> list[str]:
    """What is to be said of texts that count as one value in spite of their spaces."""
    if cells.raw.origin.is_typed:
        return []
    found = _several(cells, missing)
    if not len(found):
        return []
    first = found.filter(pl.col("label") == found["label"][0])["text"].sort()
    count = cells.count_rows(cells.written.is_in(found.filter(_HAS_SPACES)["text"].to_list()))
    more = found["label"].n_unique() - 1
    others = f"; so are those of {more} more" if more else ""
    cells_are = "1 cell has" if count == 1 else f"{count} cells have"
    listed = " and ".join(f"'{text}'" for text in first[:2])
    return [f"{listed} are counted as one value ({cells_are} such spaces{others})"]


def _several(cells: Cells, missing: Iterable[str]) -> pl.DataFrame:
    """Each `text` as it was written whose `label`, without spaces, is written in several ways."""
    frame = pl.DataFrame({"text": cells.written, "label": cells.known(missing)})
    frame = frame.drop_nulls().unique(maintain_order=True).filter(pl.col("label") != "")
    found = frame.filter(pl.col("text").n_unique().over("label") > 1)
    is_number = [number_of(label) is not None for label in found["label"]]
    return found.filter(~pl.Series(is_number, dtype=pl.Boolean))
