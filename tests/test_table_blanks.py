"""Empty texts: values of a typed source, but none among numbers, and none in a file of text."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from made_exp import fit
from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.datasets.table.text import TextStyle

TINY = {"trainer": {"max_steps": 20, "device": "cpu"}, "model": {"hidden_sizes": [8]}}
COUNT = 120
WORDS = ["a", "", "b", " ", None, "a"] * (COUNT // 6)
NUMBERS = ["" if n % 9 == 0 else f"{n / 4}" for n in range(COUNT)]
REAL = np.random.default_rng(0).normal(size=COUNT)


def fitted(raw, **options):
    return fit_table(raw, {"train": np.arange(COUNT)}, **options)


def rows():
    return pl.DataFrame({"s": WORDS, "n": NUMBERS, "v": REAL})


@pytest.mark.parametrize("convert", [pl.DataFrame, pl.DataFrame.to_pandas, pl.DataFrame.to_arrow])
def test_empty_texts_of_frames_are_values_and_stay(convert):
    model = fit(convert(rows()), max_minutes=None, ordering="agnostic", **TINY)
    assert model.schema.variables[0].categories == ("", "a", "b")
    assert model.schema.columns[0].num_missing == COUNT // 6
    done = raw_table(model.complete(convert(rows()), seed=0))
    words = done.column("s").values.to_list()
    assert all(w == given if given is not None else w in ("", "a", "b", " ")
               for w, given in zip(words, WORDS, strict=True))  # fmt: skip
    drawn = raw_table(model.sample(300, seed=0)).column("s").values
    assert (drawn == "").any()


def test_empty_texts_among_numbers_are_missing():
    table = fitted(raw_table(rows()))
    column = table.schema.columns[1]
    assert (column.kind, column.num_missing) == ("real", NUMBERS.count(""))
    few = rows().with_columns(n=pl.Series(["1", "2", ""] * (COUNT // 3)))
    for kinds in ({}, {"n": "binary"}, {"n": "categorical"}):
        table = fitted(raw_table(few), kinds=kinds)
        assert table.schema.columns[1].num_missing == COUNT // 3
        assert np.isnan(table.schema.encode(raw_table(few))[:, 1]).sum() == COUNT // 3
    days = rows().with_columns(n=pl.Series(["", "2024-01-31", "2024-03-15"] * (COUNT // 3)))
    assert fitted(raw_table(days)).schema.columns[1].num_missing == COUNT // 3


def test_they_are_missing_in_new_rows_where_train_has_numbers_alone():
    frame = rows().with_columns(n=pl.Series(["1", "2", "3", "4"] * (COUNT // 4)))
    schema = fitted(raw_table(frame), missing_values=["?"]).schema
    new = frame[:2].with_columns(n=pl.Series([" ", "3"]))
    assert np.isnan(schema.encode(raw_table(new))[:, 1]).tolist() == [True, False]
    said = fitted(raw_table(rows()), missing_values=["?"]).suspicions
    assert any("'?' stands in none of the columns" in line for line in said)


def test_files_have_them_where_they_have_types(tmp_path):
    frame = rows().with_columns(c=pl.lit(""), e=pl.Series(["x", ""] * (COUNT // 2)))
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv", quote_style="always")
    typed = fitted(read_tables([tmp_path / "t.parquet"], TextStyle())).schema
    text = fitted(read_tables([tmp_path / "t.csv"], TextStyle())).schema
    assert [column.kind for column in typed.columns[3:]] == ["constant", "binary"]
    assert [column.kind for column in text.columns[3:]] == ["empty", "categorical"]
    assert text.variables[0].categories == ("a", "b")
    # Where the table was a file of text, an empty text of new rows is no value either.
    assert np.isnan(text.encode(raw_table(frame))[:, 0]).sum() == COUNT // 2
    assert np.isnan(typed.encode(raw_table(frame))[:, 0]).sum() == COUNT // 6


def test_the_user_can_say_that_they_are_missing():
    table = fitted(raw_table(pd.DataFrame(rows().to_dict(as_series=False))), missing_values=[""])
    assert table.schema.variables[0].categories == ("a", "b")
    assert table.schema.columns[0].num_missing == COUNT // 2
    assert not any("stands in none" in line for line in table.suspicions)
