"""New rows may have plain numbers where those of train have a currency, a percent or thousands."""

import numpy as np
import polars as pl
import pytest

from made_exp import fit
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.table.undressed import either, plain_numbers

TINY = {"trainer": {"max_steps": 5, "device": "cpu"}, "model": {"hidden_sizes": [4]}}
AMOUNTS = np.random.default_rng(0).uniform(10, 90_000, 200)
DOLLARS = [f"${one:,.2f}" for one in AMOUNTS]
SHARES = [f"{one / 1000:.1f} %" for one in AMOUNTS]
EUROS = [one[1:].translate(str.maketrans(",.", ".,")) + " €" for one in DOLLARS]
COMMAS = [f"{one:.2f}".replace(".", ",") for one in AMOUNTS]
WHOLE = [f"{one:,.0f}" for one in AMOUNTS]


def table(cells):
    origin = Origin(("new.csv",), find_line=lambda source, row: row + 2)
    return RawTable.of_frame(pl.DataFrame({"c": cells}, schema={"c": pl.String}), origin, ",")


def read(train, *new):
    """The values of new cells, what is said of them, and all of them written as train is."""
    schema, said = TableSchema.fit(table(train), np.arange(200)), []
    x = schema.encode(table(new), lambda raw, row, count, what: said.append((row, count, what)))
    return x[:, 0], said, schema.decode(x)["c"].to_list()


@pytest.mark.parametrize(
    ("train", "plain", "dressed"),
    [
        (DOLLARS, "17859.45", "$17,859.45"),
        (DOLLARS, "17859", "$17,859.00"),
        (DOLLARS, "1.5e3", "$1,500.00"),
        (SHARES, "13.8", "13.8 %"),
        (EUROS, "17859", "17.859,00 €"),
        (WHOLE, "1e4", "10,000"),
        ([f"-{one}" for one in DOLLARS], "-17859.45", "-$17,859.45"),
        ([f"({one})" for one in DOLLARS], "(17859.45)", "($17,859.45)"),
    ],
)
def test_plain_numbers_are_in_the_units_of_the_column_and_said_once(train, plain, dressed):
    values, said, written = read(train, train[0], plain, "", plain)
    assert values[1] == values[3] == read(train, dressed)[0][0]
    assert np.isnan(values[2])
    assert written[1] == dressed
    ((row, count, what),) = said
    assert (row, count) == (1, 2)
    assert what.startswith("written plainly: read as ")


@pytest.mark.parametrize("cell", ["$17859.45", "$1"])
def test_a_dress_without_thousands_is_the_dress(cell):
    values, said, _ = read(DOLLARS, cell)
    assert values[0] == float(cell[1:])
    assert not said


@pytest.mark.parametrize(
    ("train", "cell"),
    [
        (EUROS, "17859.45"),
        (EUROS, "17.859"),
        (EUROS, "13,8"),
        (COMMAS, "17859.45"),
        (DOLLARS, "13,8"),
        (DOLLARS, "€13.8"),
        (SHARES, "13,8"),
        (SHARES, "13.8 $"),
    ],
)
def test_what_may_mean_another_number_is_refused(train, cell):
    with pytest.raises(ValueError, match=f"line 2, column 'c': '{cell[0]}.* is not a number"):
        read(train, cell)


def test_numbers_of_train_itself_are_written_alike():
    with pytest.raises(ValueError, match=r"line 202, column 'c': '17859\.45' is not a number"):
        TableSchema.fit(table([*DOLLARS, "17859.45"]), np.arange(201), kinds={"c": "real"})


def test_what_was_given_plainly_comes_back_as_it_was():
    frame = pl.DataFrame({"price": DOLLARS, "share": SHARES, "size": AMOUNTS})
    model = fit(frame, max_minutes=None, ordering="agnostic", **TINY)
    given = pl.DataFrame({"price": ["17859.450", None], "share": [None, "13.8"], "size": [1.0, 2]})
    done = model.complete(given, seed=0)
    assert (done["price"][0], done["share"][1]) == ("17859.450", "13.8")
    assert done["price"][1].startswith("$")


def test_a_format_without_a_dress_has_no_other_plain_numbers():
    assert plain_numbers(NumberFormat(), pl.Series(["5"])).to_list() == [None]
    assert plain_numbers(NumberFormat(suffix=" %"), pl.Series(["5", "1.5 %"])).to_list() == [
        5,
        None,
    ]
    mixed = either(pl.Series([1, None]), pl.Series([None, 0.5], dtype=pl.Float64))
    assert mixed.to_list() == [1, 0.5]
