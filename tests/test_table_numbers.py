"""Numbers in every dress: read as numbers, written back as they were."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_exp.datasets.table.digits import Fineness, fineness
from made_exp.datasets.table.exponents import ExponentForm
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.numbers import NumberFormat, as_numbers
from made_exp.datasets.table.signs import around, usual_sign, with_minus
from made_exp.datasets.table.whole import minus, plus, times, within_reach


def texts(*values):
    return pl.Series("c", values, dtype=pl.String)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1", "-22", "333"], [1, -22, 333]),
        (["1.0", "2.0", "10.0"], [1, 2, 10]),
        (["1.5", "2", "2.25"], [1.5, 2, 2.25]),
        (["40.60", "37.05"], [40.6, 37.05]),
        (["12,5", "3,25"], [12.5, 3.25]),
        (["1,234.50", "12.00", "-1,000,000.25"], [1234.5, 12, -1000000.25]),
        (["1.234,50", "2.000,00"], [1234.5, 2000]),
        (["4,733", "12,001", "900"], [4733, 12001, 900]),
        (["4.700", "12.001", "900"], [4700, 12001, 900]),
        (["1 234,5", "33,0"], [1234.5, 33]),
        (["1'234.5", "2.5"], [1234.5, 2.5]),
        (["$1,200.00", "-$3.50", "$0.10"], [1200, -3.5, 0.1]),
        (["US$ 1,234.50", "US$ 7.50"], [1234.5, 7.5]),
        (["-US$5", "US$1,234"], [-5, 1234]),
        (["US$ -5", "US$ 4"], [-5, 4]),
        (["(US$5)", "US$4"], [-5, 4]),
        (["A$5", "A$70"], [5, 70]),
        (["CA$5.25", "CA$70.00"], [5.25, 70]),
        (["HK$5", "HK$70"], [5, 70]),
        (["R$ 1.234,50", "R$ 7,00"], [1234.5, 7]),
        (["NZ$5", "NZ$70"], [5, 70]),
        (["5 US$", "7 US$"], [5, 7]),
        (["5 €", "-7 €"], [5, -7]),
        (["251,- €", "-3,- €"], [251, -3]),
        (["CHF 416.-", "CHF 7.-"], [416, 7]),
        (["Fr. 1'416.--", "Fr. 7.--"], [1416, 7]),
        (["12,34,567", "1,00,000", "950"], [1234567, 100000, 950]),
        (["-₹1,75,84,027.38", "₹12.50"], [-17584027.38, 12.5]),
        (["Rs. 2,42,45,977", "Rs. 12"], [24245977, 12]),
        (["₱1,063.53", "₱28.60"], [1063.53, 28.6]),
        (["3132.51 ₴", "2.63 ₴"], [3132.51, 2.63]),
        (["74,04 zł", "5,95 zł"], [74.04, 5.95]),
        (["15630 руб.", "7 руб."], [15630, 7]),
        (["35,328円", "762円"], [35328, 762]),
        (["RM4094.97", "-RM15.96"], [4094.97, -15.96]),
        (["53.7582°N", "47.0220°N"], [53.7582, 47.022]),
        (["5.25 mg/dL", "12.50 mg/dL"], [5.25, 12.5]),
        (["12 sq ft", "7 sq ft"], [12, 7]),
        ([".497", "-.020", "1.250"], [0.497, -0.02, 1.25]),
        ([",497", ",020"], [0.497, 0.02]),
        (["+5", "0", "-3"], [5, 0, -3]),
        (["+5.0%", "+0.0%", "-3.5%"], [5, 0, -3.5]),
        (["€1.234,50", "€7,00"], [1234.5, 7]),
        (["44.8%", "3.0%"], [44.8, 3]),
        (["12 km", "3 km"], [12, 3]),
        (["1.234e-01", "3.450e+02"], [0.1234, 345]),
        (["0.1", "1e-05", "123.25"], [0.1, 1e-5, 123.25]),
        (["12.50", "(12.50)", "(1,234.00)"], [12.5, -12.5, -1234]),
        (["($3.50)", "$1,200.00"], [-3.5, 1200]),
        (["$(3.50)", "$1,200.00"], [-3.5, 1200]),
        (["(5,25 €)", "1.250,00 €"], [-5.25, 1250]),
        (["(1.5%)", "20.0%"], [-1.5, 20]),
        (["$-3.50", "$1.25"], [-3.5, 1.25]),
        (["12.5-", "0.5"], [-12.5, 0.5]),
        (["5.00- EUR", "6.00 EUR"], [-5, 6]),
        (["\u22125,5", "3,25"], [-5.5, 3.25]),
        (["- 5", "6"], [-5, 6]),
        (["9007199254740993", "-9007199254740993"], [9007199254740993, -9007199254740993]),
    ],
)
def test_numbers_come_back_as_they_were_written(cells, numbers):
    form = NumberFormat.of_texts(texts(*cells))
    parsed = form.parse(texts(*cells))
    assert parsed.to_list() == numbers
    assert form.write(parsed.to_numpy()).to_list() == cells
    assert NumberFormat(**{k: v for k, v in form.to_dict().items() if k != "name"}) == form


def test_ranks_are_no_units():
    ranks = [f"{n}th" for n in range(4, 20)] + ["1st"]
    assert NumberFormat.of_texts(texts(*ranks)) is None


@pytest.mark.parametrize(
    "cells",
    [
        ["1\u202f234,50", "12,75", "1\u202f000\u202f000,00"],
        ["1\u00a0234", "12", "5\u00a0000"],
        ["1’234.5", "12.0", "5’000.0"],
        ["1.50E+03", "2.25E-02"],
        ["9.83e-9", "1.25e-10", "4.50e+21"],
        ["1.4876E4", "2.5000E-3", "2.5000E12"],
        ["1.5e+003", "2.5e-012"],
        ["1e5", "2e6", "12345", "0.5", "3e12"],
        ["1E5", "2E7", "12345", "0.5"],
        ["1e+05", "2e+06", "12345", "0.5"],
        ["+1.50", "-2.25", "+0.00"],
        ["+$1.50", "-$2.25"],
    ],
)
def test_numbers_are_written_with_the_signs_of_the_column(cells):
    form = NumberFormat.of_texts(texts(*cells))
    assert form.write(form.parse(texts(*cells)).to_numpy()).to_list() == cells


@pytest.mark.parametrize("rare", ["1,234", "12,345,678.5", "1.234,5", "3,5", "7 500", "2'000"])
def test_a_notation_is_found_by_the_few_cells_that_show_it(rare):
    cells = texts(*map(str, range(30)), rare)
    assert NumberFormat.of_texts(cells).parse(cells).null_count() == 0


@pytest.mark.parametrize(
    "cells", [["007", "012"], ["a", "b"], ["A1", "A2"], ["1.2.3", "4.5.6"], ["1-2"]]
)
def test_codes_and_texts_are_no_numbers(cells):
    assert NumberFormat.of_texts(texts(*cells)) is None


def test_exponents_have_the_form_that_most_have():
    form = ExponentForm.of_texts(texts("1e5", "1e+6", "1e7", "1e-08", "1e-9", "12", None))
    assert form == ("e", "", 1)
    assert [form.apply(f"{n:.1e}") for n in (1e9, 1e-12, 5)] == ["1.0e9", "1.0e-12", "5.0e0"]
    assert ExponentForm.of_texts(texts("12")) == ExponentForm()


def test_brackets_are_read_where_no_cell_of_train_had_them():
    form = NumberFormat.of_texts(texts("$1,250.00", "$7.50"))
    assert form.parse(texts("($3.00)", "$-2.00", "$1.00")).to_list() == [-3, -2, 1]
    assert NumberFormat.of_texts(texts("(a)", "(b)", "(555) 1234")) is None


def test_the_usual_sign_is_that_of_most_numbers_below_zero():
    below = texts("($3)", "-$4", "($ 5)", "($6)")
    assert usual_sign(below, "$", "") == "({0}{1}{2})"
    assert around(usual_sign(below, "$", ""), "$", "") == ("($", ")")
    assert with_minus(below).to_list() == ["-$3", "-$4", "-$ 5", "-$6"]


def test_whole_numbers_beyond_int64_are_int128_or_float64():
    assert as_numbers(texts("123456789012345678901", "5")).to_list() == [123456789012345678901, 5]
    assert as_numbers(texts("9" * 50, "5")).dtype == pl.Float64
    assert as_numbers(texts("1.0", None)).to_list() == [1, None]


def test_what_is_not_written_so_is_null():
    form: Format = NumberFormat.of_texts(texts("1,5", "2,25"))
    assert form.parse(texts("1.5", "x", None, "1,75")).to_list() == [None, None, None, 1.75]


def test_no_minus_zero_is_written():
    form = NumberFormat(decimals=2, min_decimals=2)
    assert form.write(np.array([-0.0, -0.001, -0.01])).to_list() == ["0.00", "0.00", "-0.01"]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20),
    st.integers(0, 4),
    st.sampled_from([("", "."), (",", "."), (".", ","), (" ", ",")]),
    st.sampled_from([("", ""), ("$", ""), ("", " %"), ("€ ", "")]),
    st.sampled_from(["-{0}{1}{2}", "({0}{1}{2})", "{0}{1}{2}-"]),
)
def test_any_column_of_dressed_numbers_comes_back(units, decimals, notation, dress, below):
    form = NumberFormat(*notation, *dress, decimals=decimals, min_decimals=decimals, negative=below)
    values = np.array(units) if decimals == 0 else np.array(units) / 10**decimals
    cells = form.write(values)
    assert form.parse(cells).to_list() == values.tolist()
    if decimals in (0, 3) and notation in [(".", ","), ("", ",")]:
        return  # 1.234 and 1,234 can be read in two ways
    found = NumberFormat.of_texts(cells.unique(maintain_order=True))
    again = found.parse(cells)
    assert found.write(again.to_numpy()).to_list() == cells.to_list()


@pytest.mark.parametrize("least", [1e-300, 1e-5])
def test_cells_of_the_least_and_the_greatest_numbers_are_finite(least):
    fine = Fineness(least / 1e12 if least > 1e-200 else 1e-300, None, least)
    values = np.array([-1.7e308, 0.0, least, 1.7e308])
    assert np.isfinite(fine.places(values)).all()
    assert np.isfinite(fine.widths(values)).all()


@pytest.mark.parametrize("least", ["4.9e-324", "2.2e-309", "1e-300"])
def test_columns_whose_least_number_is_denormal_are_fitted(least):
    values = pl.Series([least, "-2.5e-05", "1.5e3", "2.5e00"])
    form = NumberFormat.of_texts(values)
    fine = fineness(form, form.parse(values).to_numpy())
    assert fine.grows_from is not None
    assert fine.grows_from > 0
    assert np.isfinite(fine.widths(form.parse(values).to_numpy())).all()


@pytest.mark.parametrize("number", [0, 5, 2**62, -(2**63), 2**64])
def test_whole_numbers_are_shifted_and_scaled_exactly(number):
    whole = pl.Series([-(2**63), 2**63 - 1, 7, None])
    known = whole.drop_nulls().to_list()
    assert minus(whole, number).to_list() == [*(one - number for one in known), None]
    assert minus(whole[:0], number).len() == 0
    assert times(whole, 1000).to_list() == [*(one * 1000 for one in known), None]
    assert plus(np.array([0, 2**50]), number).tolist() == [number, number + 2**50]
    assert within_reach(pl.Series([1e300, 3.0])).cast(pl.Int128).to_list() == [2**100, 3]


@pytest.mark.parametrize(
    ("whole", "dress"), [("-9999", "{}"), ("0", "{}"), ("$0", "${}"), ("(1,000)", "{}")]
)
def test_one_number_without_decimals_leaves_them_to_all_others(whole, dress):
    cells = texts(whole, *(dress.format(f"{n}.{n % 10}") for n in range(1, 31)))
    form = NumberFormat.of_texts(cells)
    assert form.write(form.parse(cells).to_numpy()).to_list() == cells.to_list()
    assert NumberFormat(**{k: v for k, v in form.to_dict().items() if k != "name"}) == form
    trimmed = texts(*(f"{n / 20:g}" for n in range(60)))
    assert NumberFormat.of_texts(trimmed).write(np.array([2.0, 2.5])).to_list() == ["2", "2.5"]
