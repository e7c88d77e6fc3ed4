"""Rows drawn given a predicate have the probabilities of the model given that."""

import math
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from builders import tiny_made
from test_given_variables import ROWS
from test_given_variables import VARIABLES as GIVEN_VARIABLES
from test_given_variables import model_of as given_model
from test_probability import DISCRETE, REALS, SCHEMA, model, schema_for, truth
from test_query import here, run
from test_simple_densities import all_codes
from test_simple_members import model_of

from made_exp import sample as made_sample
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.density.chosen_rows import rows_where
from made_exp.density.diagram import Diagram
from made_exp.density.events import Events
from made_exp.density.formula import Leaf, variables_of
from made_exp.density.mixture import Effort, in_order
from made_exp.density.predicate import parse_predicate
from made_exp.experiments.chosen import _as_drawn
from made_exp.variables.subset import Subset

__all__ = ["here", "model", "run"]
EVENTS = ("count >= 3", "switch = 1 and level in {0, 2}", "colour = 1 or switch is missing")


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("text", EVENTS)
def test_rows_have_the_probabilities_of_the_model_given_that(model, monkeypatch, text, listed):
    if not listed:
        monkeypatch.setattr("made_exp.density.chosen_rows._MAX_LISTED", 0)
    events, count = Events(SCHEMA), 6000
    formula = events.formula(parse_predicate(text), text)
    found = rows_where(model, events, formula, count, Effort(seed=1))
    assert found.x.shape == (count, 4)
    assert truth(events, formula, found.x).all()
    codes = all_codes(DISCRETE).to(model.groups.code_dtype)
    x, asked = model.groups.decode(codes).double(), variables_of(formula)
    probs = torch.zeros(len(x), dtype=torch.float64)
    for index, log_weight in model.weighted().items():
        density = model.density(index)
        density = in_order(density, asked, asked, ()) if index >= 0 else density
        probs += math.exp(log_weight) * density.log_prob(codes).double().exp()
    probs[~truth(events, formula, x)] = 0
    probs /= probs.sum()
    same = (found.x.nan_to_num(-1)[:, None] == x.nan_to_num(-1)).all(2)
    counts = same.double().sum(0)
    assert counts.sum() == count
    kept = probs * count > 5
    chi = ((counts - probs * count) ** 2 / (probs * count))[kept].sum()
    degrees = int(kept.sum())
    assert float(chi) < degrees + 5 * math.sqrt(2 * degrees)


def test_rows_of_numbers_and_given_columns_are_so(generator):
    schema = schema_for(REALS)
    reals = tiny_made(REALS, ordering="natural").double()
    events, text = Events(schema), "weight > 0.5 and count between 3 and 30 and size < 0.2"
    formula = events.formula(parse_predicate(text), text)
    found = rows_where(reals, events, formula, 300, Effort())
    assert Diagram.of(formula, range(4), events.domains).contains(found.x).all()
    assert 0 < found.acceptance < 1
    events = Events(schema_for(GIVEN_VARIABLES))
    formula = events.formula(parse_predicate("count >= 2 and group in {0, 2}"), "")
    found = rows_where(given_model("natural", generator), events, formula, 100, Effort())
    assert {tuple(row) for row in found.x[:, [1, 3]].tolist()} == {
        tuple(ROWS["rows"][0]),
        tuple(ROWS["rows"][2]),
    }
    assert (found.x[:, 2] >= 2).all()


def test_what_no_row_can_be_is_refused(model):
    events = Events(SCHEMA)
    formula = events.formula(parse_predicate("level = 1 and (level = 2 or level = 3)"), "")
    with pytest.raises(ValueError, match="contradiction"):
        rows_where(model, events, formula, 5, Effort())


@pytest.mark.parametrize("index", [0, -1])
def test_rows_that_are_hardly_ever_so_are_refused_with_their_probability(monkeypatch, index):
    monkeypatch.setattr("made_exp.density.chosen_rows._MAX_LISTED", 0)
    monkeypatch.setattr("made_exp.density.chosen_rows._MAX_DRAWN", 4096)
    torch.manual_seed(0)
    generator, x = torch.Generator().manual_seed(0), all_codes(DISCRETE)
    model = model_of("random", DISCRETE, x, generator).double()
    with torch.no_grad():
        weights = torch.full_like(model.mixture._log_weights, -30.0)
        weights[index] = 0.0
        model.mixture._log_weights.copy_(weights.log_softmax(0))
    events, text = Events(SCHEMA), "switch = 1 and colour = 1 and count = 3 and level = 2"
    formula = events.formula(parse_predicate(text), text)
    with pytest.raises(
        ValueError, match=r"^only \d+ of 6000 rows .* probability of about 0\.0"
    ) as found:
        rows_where(model, events, formula, 6000, Effort())
    assert str(found.value).endswith("ask for something likelier, or for fewer rows")


def drawn(text):
    """What is drawn given a predicate on wages of 1.00 to 126.00 and a town."""
    cents = np.random.default_rng(0).integers(100, 12600, 400)
    frame = pl.DataFrame({"wage": cents / 100, "town": ["x", "y"] * 200})
    events = Events(fit_table(raw_table(frame), {"train": np.arange(400)}).schema)
    column = events.schema.modelled[0]
    return _as_drawn(events.formula(parse_predicate(text), text), events), column


@pytest.mark.parametrize("text", ["wage > 2000", "wage < -3", "wage >= 500 and town = x"])
def test_numbers_farther_out_than_draws_go_are_refused(text):
    with pytest.raises(ValueError, match=r"^no row that is drawn is so: numbers of 'wage' are dra"):
        drawn(text)


def test_numbers_that_are_asked_for_lie_where_draws_do():
    formula, column = drawn("wage > 100")
    ((low, high),) = formula.subset.intervals
    assert low == pytest.approx(100.005)
    assert high == pytest.approx(column.high + 0.005)
    formula, column = drawn("wage > 2000 or town = x")
    assert variables_of(formula) == {0, 1}
    assert drawn("town = x")[0] == Leaf(1, Subset.of_codes([0]))


def sample(*arguments):
    return made_sample.main(["run=outputs/runs/RUN", "num_samples=90", *arguments])


def test_samples_are_as_asked_and_balanced(here, capsys):
    assert sample("where=age >= 40 and sex = F", "path=where.csv") == 0
    rows = pl.read_csv("where.csv")
    assert len(rows) == 90
    assert (rows["age"] >= 40).all()
    assert set(rows["sex"]) == {"F"}
    assert sample("balance=state", "where=income = '>50K'", "path=balanced.csv") == 0
    rows = pl.read_csv("balanced.csv")
    assert rows["state"].value_counts()["count"].to_list() == [30, 30, 30]
    assert set(rows["income"]) == {">50K"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["where=age >"], "expected a value after '>'"),
        (["where=agee > 3"], "there is no column 'agee'"),
        (["where="], "where: nothing stands after the '='; write where=null for none"),
        (["where=age > 300"], "no row can be so: a contradiction"),
        (["balance=age"], "balance: 'age' holds integer values; it must be a column of classes"),
        (["balance=incom"], "there is no column 'incom'. Did you mean 'income'?"),
        (["where=age > 3", "given={sex: F}"], "given and where all say what is known"),
        (["balance=sex", "temperature=0.5"], "balance draws from the model as it is"),
    ],
)
def test_mistakes_are_answered_and_nothing_is_written(here, capsys, arguments, message):
    before = set(Path().rglob("*"))
    assert sample(*arguments, "path=no.csv") == 2
    assert f"error: {message}" in capsys.readouterr().err
    assert set(Path().rglob("*")) == before


def test_examples_of_the_help_text_work(here):
    examples = [e for e in made_sample.main.examples if "where=" in e or "balance=" in e]
    assert len(examples) == 2
    for example in examples:
        assert made_sample.main(shlex.split(example)) == 0
        assert len(pl.read_csv(example.rpartition("path=")[2])) == 50
