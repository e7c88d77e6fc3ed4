"""What predicates mean for a table: values as it writes them, and mistakes that are pointed at."""

import numpy as np
import polars as pl
import pytest
import torch
from builders import tiny_made

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.density.answers import answer as answer_of
from made_exp.density.diagram import Diagram
from made_exp.density.events import Events
from made_exp.density.formula import Join, Leaf, join, leaf
from made_exp.density.mixture import Effort
from made_exp.density.predicate import parse_predicate, parse_question
from made_exp.density.probability import probability
from made_exp.density.tokens import QueryError
from made_exp.variables.subset import Subset

COUNT = 400


def frame():
    rng = np.random.default_rng(0)
    days = np.datetime64("2024-01-01") + rng.integers(0, 300, COUNT)
    price = rng.integers(100, 9000, COUNT)
    ages = np.random.default_rng(1).integers(17, 90, COUNT)
    wage = np.round(np.exp(rng.normal(2, 1, COUNT)), 2)
    return pl.DataFrame(
        {
            "state": rng.choice(["CA", "NY", "New Jersey"], COUNT),
            "age": ages,
            "old": ages > 60,
            "day": [d.astype(object).strftime("%d.%m.%Y") for d in days],
            "price": [f"${p:,}" for p in price],
            "share": [f"{p} %" for p in rng.integers(0, 100, COUNT)],
            "wage": [None if i % 7 == 0 else w for i, w in enumerate(wage.tolist())],
            "Vip": rng.choice(["yes", "no"], COUNT),
            "unit": ["kg"] * COUNT,
        }
    )


@pytest.fixture(scope="module")
def table():
    raw = raw_table(frame())
    fitted = fit_table(raw, {"train": np.arange(COUNT)}, missing="model")
    return fitted.schema, torch.from_numpy(fitted.x)


def answer(table, text):
    schema, x = table
    events = Events(schema)
    formula = events.formula(parse_predicate(text), text)
    if isinstance(formula, bool):
        return [formula] * len(x)
    return Diagram.of(formula, range(x.shape[1]), events.domains).contains(x).tolist()


DURATIONS = [
    ("stay >= '2h'", lambda s: s >= 7200),
    ("stay > 90min and not stay >= '1d 3h'", lambda s: (s > 5400) & (s < 97200)),
    ("stay between '1.5 hours' and '1 day, 30 min'", lambda s: (s >= 5400) & (s <= 88200)),
    ("stay < 3600", lambda s: s < 3600),
    ("stay = '-1 h'", lambda s: s == -3600),
    ("few in {'1 week', '250 ms'}", lambda s: s == s),
    ("few = '250ms'", None),
    ("few >= '2 days'", None),
]


@pytest.mark.parametrize(("text", "expected"), DURATIONS)
def test_durations_are_asked_for_in_units_of_time(text, expected):
    rng = np.random.default_rng(0)
    seconds = np.append(rng.integers(0, 200_000, 199), -3600)
    few = np.where(np.arange(200) % 2, 7 * 86400 * 1000, 250)
    frame = pl.DataFrame(
        {
            "stay": pl.Series(seconds * 10**6).cast(pl.Duration("us")),
            "few": pl.Series(few).cast(pl.Duration("ms")),
            "size": rng.normal(size=200),
        }
    )
    fitted = fit_table(raw_table(frame), {"train": np.arange(200)})
    found = answer((fitted.schema, torch.from_numpy(fitted.x)), text)
    wanted = expected(seconds) if expected else (few == 250) == ("ms" in text)
    assert found == wanted.tolist()
    with pytest.raises(QueryError, match="'2 hourss' is not a number as 'stay' holds them"):
        answer((fitted.schema, None), "stay > '2 hourss'")


def day(text):
    return pl.col("day").str.to_date("%d.%m.%Y") >= pl.lit(text).str.to_date("%Y-%m-%d")


PRICE = pl.col("price").str.replace_all(r"[$,]", "").cast(pl.Int64)
SHARE = pl.col("share").str.strip_suffix(" %").cast(pl.Int64)
QUESTIONS = [
    ("age >= 65", pl.col("age") >= 65),
    ("age > 64.5 and age < 80", (pl.col("age") > 64.5) & (pl.col("age") < 80)),
    ("age = 40.5", pl.col("age") == 40.5),
    ("age < 400", pl.col("age") < 400),
    ("age between 3 and 40 or state = NY", (pl.col("age") <= 40) | pl.col("state").eq("NY")),
    ("state = New Jersey", pl.col("state") == "New Jersey"),
    ("STATE in {ca, 'New Jersey'}", pl.col("state").is_in(["CA", "New Jersey"])),
    ("not (state = CA and vip = yes)", ~((pl.col("state") == "CA") & (pl.col("Vip") == "yes"))),
    ("day >= 01.05.2024", day("2024-05-01")),
    ("old = TRUE", pl.col("age") > 60),
    ("old = 0", pl.col("age") <= 60),
    ("day >= 2024-05-01", day("2024-05-01")),
    ("day >= '2024-05-01 12:00'", day("2024-05-02")),
    ("price > $5,000", PRICE > 5000),
    ("price > 5000", PRICE > 5000),
    ("price in {'$1,234', 5000}", PRICE.is_in([1234, 5000])),
    ("share <= 12 %", SHARE <= 12),
    ("share <= 12", SHARE <= 12),
    ("wage is missing", pl.col("wage").is_null()),
    ("wage != 3.1", (pl.col("wage") != 3.1).fill_null(False)),
    ("not wage > 3", ~(pl.col("wage") > 3).fill_null(False)),
    ("wage <= 7.389", (pl.col("wage") <= 7.389).fill_null(False)),
    ("wage between 2 and 4", pl.col("wage").is_between(2, 4).fill_null(False)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), QUESTIONS, ids=[text for text, _ in QUESTIONS])
def test_predicates_are_true_of_the_rows_of_which_polars_says_so(table, text, wanted):
    assert answer(table, text) == frame().select(wanted).to_series().to_list()


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("age > 3 and stat = CA", "there is no column 'stat'. Did you mean 'state'?", 12),
        ("x = 1", "there is no column 'x' (have: state, age, old, day", 0),
        ("unit = kg", "column 'unit' is not modelled (constant)", 0),
        ("state = Newjersey", "no value of 'state' in train. Did you mean 'New Jersey'?", 8),
        ("state in {CA, XX}", "'XX' is no value of 'state' in train", 14),
        ("state > CA", "'state' holds categorical values, which have no order", 0),
        ("age > old", "'old' is not a number as 'age' holds them, such as ", 6),
        ("day > soon", "'soon' is not a date as 'day' holds them", 6),
    ],
)
def test_unknown_columns_and_values_are_pointed_at(table, text, message, place):
    with pytest.raises(QueryError) as caught:
        answer(table, text)
    first, _, mark = str(caught.value).split("\n")
    assert message in first
    assert mark.index("^") - 2 == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("score = -1", 8),
        ("score != -1.0", 9),
        ("score in {3, -1}", 13),
        ("score not in {-1}", 14),
        ("count = -1 or score > -1", 8),
        ("score = NONE", 8),
        ("level = -1", 8),
    ],
)
def test_what_stands_for_no_value_is_asked_for_as_missing(text, place):
    scores, markers = [i / 4 if i % 9 else -1.0 for i in range(COUNT)], ["-1", "NONE"]
    given = {"score": scores, "count": [i % 50 - 2 for i in range(COUNT)]}
    frame = pl.DataFrame(given | {"level": [str(i % 5 - 1) for i in range(COUNT)]})
    options = {"missing_values": markers, "missing": "model"}
    fitted = fit_table(raw_table(frame), {"train": np.arange(COUNT)}, **options)
    events, name = Events(fitted.schema), text.split()[0]
    with pytest.raises(QueryError) as caught:
        events.formula(parse_predicate(text), text)
    first, _, mark = str(caught.value).split("\n")
    assert f"stands for no value here: write {name} is missing" in first
    assert mark.index("^") - 2 == place
    for more in ("score > -1", "score between -1 and 3", "score is missing"):
        assert events.formula(parse_predicate(more), more) is not False


# Codes are not in the order of the numbers: 10 is rare, and so is in the pool at the end.
RATINGS = {1: 40, 2.5: 30, 3: 60, 4: 50, 5: 20, 10: 2, 7: 1, 0: 1}


@pytest.fixture(scope="module")
def ratings():
    values = np.repeat(list(RATINGS), list(RATINGS.values()))
    rows = np.random.default_rng(0).permutation(len(values))
    frame = pl.DataFrame({"rating": values[rows], "flag": np.arange(len(values)) % 2})
    kinds = {"rating": "categorical"}
    fitted = fit_table(raw_table(frame), {"train": np.arange(len(values))}, kinds=kinds)
    return fitted.schema, torch.from_numpy(fitted.x)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rating >= 4", lambda r: r >= 4),
        ("rating > 4", lambda r: r > 4),
        ("rating < 2.7", lambda r: r < 2.7),
        ("rating <= 2.50", lambda r: r <= 2.5),
        ("rating between 2.5 and 7", lambda r: 2.5 <= r <= 7),
        ("not rating between 2.5 and 7", lambda r: not 2.5 <= r <= 7),
        ("rating not between 2.5 and 7", lambda r: not 2.5 <= r <= 7),
        ("rating > 10", lambda r: False),
    ],
)
def test_categories_that_are_numbers_are_in_their_order(ratings, text, wanted):
    count = sum(rows for value, rows in RATINGS.items() if wanted(value))
    assert sum(answer(ratings, text)) == count


def test_values_never_seen_are_neither_more_nor_less_than_a_number(ratings):
    events = Events(ratings[0])
    unseen = float(events.domains[0].edges[-1]) - 0.5
    for text in ("rating >= 4", "rating < 4", "rating between -1e9 and 1e9"):
        found = events.formula(parse_predicate(text), text)
        assert isinstance(found, Leaf)
        assert not found.subset.holds(unseen)


def test_probabilities_and_means_of_ordered_categories_are_sums(ratings):
    schema = ratings[0]
    model = tiny_made(schema.variables, ordering="natural").double()
    probs = {v: float(probability(model, schema, f"rating = {v}")) for v in RATINGS}
    found = probability(model, schema, "rating >= 4")
    assert found == pytest.approx(sum(p for v, p in probs.items() if v >= 4))
    assert found.is_exact
    mean = answer_of(model, schema, parse_question("mean(rating)"), Effort()).value
    named = sum(probs.values())
    assert named < 1
    assert mean == pytest.approx(sum(v * p for v, p in probs.items()) / named)


def test_numbers_in_order_are_compared_with_numbers(ratings):
    with pytest.raises(QueryError, match="'high' is not a number as 'rating' holds them"):
        answer(ratings, "rating > high")


def test_the_value_of_an_example_is_in_the_middle_of_what_rows_have():
    ages = [*([-9999] * 30), *range(20, 80), *range(20, 80)]
    wages = np.exp(np.random.default_rng(1).normal(4, 1, len(ages))).round(2)
    raw = raw_table(pl.DataFrame({"age": ages, "wage": wages}))
    events = Events(fit_table(raw, {"train": np.arange(len(ages))}).schema)
    for name, low, high in (("age", 20, 79), ("wage", 10, 300)):
        text = f"{name} = thirty"
        with pytest.raises(QueryError, match="such as ") as caught:
            events.formula(parse_predicate(text), text)
        example = str(caught.value).split("\n")[0].split("such as ")[1]
        assert low <= float(example) <= high


def test_missing_cells_that_are_left_out_cannot_be_asked_for():
    raw = raw_table(frame())
    schema = fit_table(raw, {"train": np.arange(COUNT)}).schema
    with pytest.raises(QueryError, match=r"dataset\.missing=model"):
        Events(schema).formula(parse_predicate("wage is missing"), "wage is missing")


DOMAINS = (Subset.of_codes(range(4)),) * 3


def test_formulas_are_simplified():
    low, high = (leaf(0, Subset.of_codes(codes), DOMAINS) for codes in ((0, 1), (2, 3)))
    other = leaf(1, Subset.of_codes([2]), DOMAINS)
    assert join(True, [low, high], DOMAINS) is False
    assert join(False, [low, high], DOMAINS) is True
    assert join(True, [low, True], DOMAINS) == low
    assert join(True, [other, join(True, [low, other], DOMAINS)], DOMAINS) == Join(
        True, frozenset({low, other})
    )
    assert leaf(2, Subset.of([(-0.7, 3.9)]), DOMAINS) is True
    assert isinstance(low, Leaf)


def test_a_diagram_has_no_dead_ends():
    first = [leaf(0, Subset.of_codes([code]), DOMAINS) for code in (0, 1)]
    second = [leaf(1, Subset.of_codes([code]), DOMAINS) for code in (0, 1)]
    both = join(
        True,
        [
            join(False, [first[0], second[0]], DOMAINS),
            join(False, [first[1], second[1]], DOMAINS),
            leaf(2, Subset.of_codes([3]), DOMAINS),
        ],
        DOMAINS,
    )
    diagram = Diagram.of(both, [2, 0, 1], DOMAINS)
    assert [level.num_nodes for level in diagram.levels] == [1, 1, 2]
    assert diagram.levels[1].subsets == (Subset.of_codes([0, 1]),)
    x = torch.cartesian_prod(*[torch.arange(4)] * 3).double()
    wanted = (x[:, 2] == 3) & ((x[:, 0] == 0) | (x[:, 1] == 0)) & ((x[:, 0] == 1) | (x[:, 1] == 1))
    assert torch.equal(diagram.contains(x), wanted)
    impossible = join(True, [both, leaf(0, Subset.of_codes([2]), DOMAINS)], DOMAINS)
    assert Diagram.of(impossible, range(3), DOMAINS).is_contradiction


@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        ("=", np.equal),
        ("!=", np.not_equal),
        ("<", np.less),
        ("<=", np.less_equal),
        (">", np.greater),
        (">=", np.greater_equal),
    ],
)
def test_computed_numbers_are_found_as_they_stand(operator, holds):
    rng = np.random.default_rng(0)
    ages = rng.integers(17, 90, COUNT) / 12.7 - 3.3
    pay = np.where(rng.random(COUNT) < 0.8, 0, rng.exponential(900, COUNT)) / 617.1 - 0.2
    raw = raw_table(np.column_stack([ages, pay]))
    fitted = fit_table(raw, {"train": np.arange(COUNT)})
    table = fitted.schema, torch.from_numpy(fitted.x)
    for name, values in (("x0", ages), ("x1", pay)):
        middle = float(np.median(values))
        above = np.unique(values[values > middle])[0]
        for number in (middle, (middle + above) / 2, middle + 0.2 * (above - middle)):
            found = answer(table, f"{name} {operator} {float(number)!r}")
            assert found == holds(values, number).tolist()


@pytest.mark.parametrize("first", [2**60, 2**64 - 200])
def test_long_whole_numbers_are_compared_exactly(first):
    cells = pl.DataFrame({"n": [str(first + n % 150) for n in range(COUNT)]})
    raw = raw_table(cells)
    fitted = fit_table(raw, {"train": np.arange(COUNT)})
    found = answer((fitted.schema, torch.from_numpy(fitted.x)), f"n > {first + 70}")
    assert found == [n % 150 > 70 for n in range(COUNT)]
