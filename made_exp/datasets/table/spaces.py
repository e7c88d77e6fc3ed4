"""Texts that differ in the spaces around them, or in the point of a whole number, alone.

Spaces: one value in text, several where typed. 3.0 and 3: one value among numbers, and where train
has one of them; several among texts, such as versions.
"""

from collections.abc import Collection, Iterable, Sequence

import polars as pl

from made_exp.datasets.table.cells import Cells, as_labels, has_point, number_of
from made_exp.datasets.table.reading import setting

_IS_OTHER = pl.col("text") != pl.col("label")


def labels_of(cells: Cells, missing: Iterable[str], own: Collection[str]) -> pl.Series:
    """(K,) what each text counts as, null where missing: itself if it is one of `own`.

    Others are without the spaces around them, and whole numbers without a point.
    """
    known = cells.known(missing)
    labels = as_labels(known)
    for texts in (known, cells.written) if own else ():
        is_own = texts.is_in(list(own)).fill_null(False) & known.is_not_null()
        labels = texts.zip_with(is_own, labels)
    return labels


def own_texts(cells: Cells, missing: Iterable[str]) -> tuple[str, ...]:
    """Texts that are values of their own, as what they would count as is here in another form."""
    return (*_spaced(cells, missing), *_pointed(cells, missing)["text"].sort())


def numbers_counted_as_one(cells: Cells, missing: Iterable[str], own: Collection[str]) -> list[str]:
    """What is to be said of whole numbers, with and without a point, that count as one value."""
    found = _pointed(cells, missing).filter(~pl.col("text").is_in(list(own))).sort("text")
    return [
        f"'{label}' and '{text}' are counted as one value, the same number; else "
        f"{setting('kinds', cells.raw.name, 'categorical')}"
        for text, label in found.head(1).iter_rows()
    ]


def _pointed(cells: Cells, missing: Iterable[str]) -> pl.DataFrame:
    """Each `text` with a point whose `label`, without, is written in several ways."""
    known = cells.known(missing).drop_nulls()
    if not has_point(known).any():
        known = known.clear()
    frame = pl.DataFrame({"text": known, "label": as_labels(known)}).unique()
    return frame.filter(pl.col("text").n_unique().over("label") > 1, _IS_OTHER)


def _spaced(cells: Cells, missing: Iterable[str]) -> tuple[str, ...]:
    """Texts with spaces around them that are values of their own, as the same stand without.

    There are such only where texts were stored: between delimiters spaces are for the eye.
    """
    if not cells.are_stored_texts:
        return ()
    found = _several(cells, missing)
    return tuple(found.filter(_IS_OTHER)["text"].sort())


def spelled(cells: Cells, labels: list[str], own: Sequence[str] = ()) -> list[str]:
    """The most common way in which each label is written in the column, spaces included."""
    labelled = labels_of(cells, (), own)
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
    count = cells.count_rows(cells.written.is_in(found.filter(_IS_OTHER)["text"].to_list()))
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
