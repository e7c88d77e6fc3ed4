"""Questions and answers: means, quantiles and distributions, and the command made-query."""

import json
import math
import random
import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from builders import tiny_made
from test_probability import DISCRETE, REALS, SCHEMA, schema_for
from test_simple_densities import all_codes

from made_exp import query as query_command
from made_exp.cli.app import main as made_train
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.density.answers import Answer, Row, answer
from made_exp.density.events import Events
from made_exp.density.measures import error_written, mean, quantile
from made_exp.density.mixture import Effort, Estimate
from made_exp.density.predicate import parse_question
from made_exp.density.probability import ratio
from made_exp.density.spread import Spread, spread_of
from made_exp.density.terms import Terms
from made_exp.experiments import querying
from made_exp.experiments.finished import FinishedRun
from made_exp.reporting.figures.distribution import distribution_picture
from made_exp.settings.commands import QuerySettings
from made_exp.variables.subset import Subset


@pytest.fixture(scope="module")
def model():
    return tiny_made(DISCRETE, ordering="random").double()


def table_of(model):
    codes = all_codes(DISCRETE).to(model.groups.code_dtype)
    x = model.groups.decode(codes).double()
    return x, model.log_prob(x).exp()


def test_means_and_distributions_are_sums(model):
    x, probs = table_of(model)
    ask = lambda text: answer(model, SCHEMA, parse_question(text), Effort())  # noqa: E731
    known = x[:, 1] == 2
    there = known & ~x[:, 2].isnan()
    wanted = float((probs * x[:, 2].nan_to_num())[there].sum() / probs[there].sum())
    found = ask("mean(count) | colour = 2")
    assert found.value == pytest.approx(wanted)
    assert found.is_exact
    below = [float(probs[there & (x[:, 2] <= v)].sum() / probs[there].sum()) for v in range(5)]
    for level in (0.05, 0.5, 0.77, 1.0):
        wanted = next(v for v, share in enumerate(below) if share >= level * (1 - 1e-9))
        assert ask(f"quantile(count, {level}) | colour = 2").value == wanted
    assert ask("median(count) | colour = 2").value == next(v for v in range(5) if below[v] >= 0.5)
    rows = ask("distribution(switch) | level > 1 or count = 3").rows
    known = (x[:, 3] > 1) | (x[:, 2] == 3)
    assert [row.value for row in rows] == ["0", "1", "missing"]
    for row, own in zip(rows, (x[:, 0] == 0, x[:, 0] == 1, x[:, 0].isnan()), strict=True):
        wanted = float(probs[known & own].sum() / probs[known].sum())
        assert row.probability == pytest.approx(wanted)
    rows = ask("distribution(count) | count in {1, 3}").rows
    assert [row.value for row in rows] == ["1", "3"]


def test_drawn_means_are_near_the_sums_as_they_say(model, monkeypatch):
    monkeypatch.setattr("made_exp.density.mixture.MAX_LISTED", 0)
    x, probs = table_of(model)
    events, known = Events(SCHEMA), parse_question("a = 1 | switch = 1 or level > 1").condition
    formula = events.formula(known, "")
    spread = spread_of(model, events, 2, formula, Effort(4000))
    inside = ((x[:, 0] == 1) | (x[:, 3] > 1)) & ~x[:, 2].isnan()
    wanted = float((probs * x[:, 2].nan_to_num())[inside].sum() / probs[inside].sum())
    value, stderr = mean(spread)
    assert 0 < stderr < 0.1
    assert abs(value - wanted) < 4.5 * stderr


@pytest.mark.parametrize("ordering", ["natural", "agnostic"])
def test_means_and_quantiles_of_numbers_are_those_of_draws(ordering):
    model = tiny_made(REALS, ordering=ordering, schedule_options={"num_orderings": 2}).double()
    events = Events(schema_for(REALS))
    x = model.sample(40_000, generator=torch.Generator().manual_seed(0))
    for variable in (0, 2, 3):
        spread = spread_of(model, events, variable, True, Effort(4000))
        assert spread.probs.sum() == pytest.approx(1)
        own = x[:, variable]
        deviation = float(own.std())
        value, stderr = mean(spread)
        error = stderr + deviation / 200
        # Orders of an agnostic model agree only as far as it has learned: not at all.
        slack = 0.0 if ordering == "natural" else deviation
        assert abs(value - float(own.mean())) < 4.5 * error + slack
        if ordering == "natural":
            for level in (0.1, 0.5, 0.9):
                value, stderr = quantile(spread, level)
                assert float((own <= value).double().mean()) > level - 0.02
                assert float((own < value).double().mean()) < level + 0.02


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mean(colour2)", "no column 'colour2'"),
        ("mean(count) | level > 5", "the condition has probability 0"),
        ("level = 1 | level > 1 and level < 2", "the condition has probability 0"),
        ("mean(count) | count is missing", "all cells of 'count' are missing here"),
        ("median(count) | count is missing", "all cells of 'count' are missing here"),
    ],
)
def test_mistakes_are_pointed_at(model, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        answer(model, SCHEMA, parse_question(text), Effort())
    assert "^" in str(caught.value).split("\n")[-1]


@pytest.mark.parametrize("hits", [[0, 0, 1000], [3, 0, 0], [400, 600, 0]])
def test_values_that_no_draw_or_every_draw_had_have_a_standard_error(hits):
    """Of a density that is drawn from, beside one that is summed."""
    log_hit = math.log(0.3 / 1000)
    logs = torch.full((1000,), -math.inf, dtype=torch.float64)
    logs[: sum(hits)] = log_hit
    shares = torch.zeros(1000, 3, dtype=torch.float64)
    shares[range(sum(hits)), [place for place, count in enumerate(hits) for _ in range(count)]] = 1
    drawn = Terms(logs, False, shares, log_hit=log_hit)
    exact = Terms(
        torch.tensor([math.log(0.7)]).double(), True, torch.tensor([[0.2, 0.3, 0.5]]).double()
    )
    column, probs = SCHEMA.modelled[1], np.array([0.14, 0.21, 0.35]) + 0.3 * np.array(hits) / 1000
    parts = tuple(Subset.of_codes([code]) for code in range(3))
    total = probs.sum()
    spread = Spread(column, parts, np.arange(3.0), probs / total, Estimate((drawn, exact)))
    least = 0.3 * math.sqrt(1 / 1002 / 1000)
    for place, count in enumerate(hits):
        inside = np.arange(3.0) == place
        share, stderr = spread.mean_of(inside.astype(float))
        assert share == pytest.approx(probs[place] / total)
        assert stderr >= least / total * (1 - 2e-3)
        if count in (0, 3) and sum(hits) in (1000, 3):
            assert stderr <= 3 * least / total
    assert spread.mean_of(np.arange(3.0))[1] >= 2 * least / total * (1 - 2e-3)


def test_no_error_is_wider_than_what_it_is_of():
    drawn = Terms(
        torch.full((5,), -math.inf).double(), False, torch.zeros(5, 2).double(), log_hit=9.0
    )
    seen = Terms(torch.zeros(1).double(), True, torch.tensor([[0.5, 0.5]]).double())
    found = Estimate((drawn, seen))
    parts = (Subset.of_codes([0]), Subset.of_codes([1]))
    spread = Spread(SCHEMA.modelled[1], parts, np.arange(2.0), np.array([0.5, 0.5]), found)
    assert spread.mean_of(np.array([10.0, 14.0])) == (12.0, 4.0)
    assert ratio(found, found).stderr == 1


def test_values_that_train_did_not_have_are_called_so():
    frame = pl.DataFrame({"town": ["a", "b", "c", "a"] * 30, "n": [*range(120)]})
    schema = fit_table(raw_table(frame), {"train": np.arange(120)}).schema
    made = tiny_made(schema.variables)
    rows = answer(made, schema, parse_question("distribution(town)"), Effort()).rows
    assert [row.value for row in rows] == ["a", "b", "c", "not in train"]


def test_categories_that_are_numbers_are_told_in_their_order():
    frame = pl.DataFrame({"n": ["2", "10", "2", "0", None, "10", "2"] * 20})
    kinds = {"n": "categorical"}
    schema = fit_table(raw_table(frame), {"train": np.arange(140)}, kinds=kinds).schema
    made = tiny_made(schema.variables)
    rows = answer(made, schema, parse_question("distribution(n)"), Effort()).rows
    assert [row.value for row in rows][:3] == ["0", "2", "10"]


def test_a_condition_rarer_than_rows_of_train_is_said(model):
    x, probs = table_of(model)
    prob = float(probs[x[:, 3] > 2].sum())
    for num_train, is_said in ((int(0.9 / prob), True), (int(2 / prob), False), (None, False)):
        effort = Effort(num_train=num_train)
        for text in ("colour = 2 | level > 2", "mean(count) | level > 2"):
            note = answer(model, SCHEMA, parse_question(text), effort).note
            assert (f"the condition has probability {prob:.2g}" in note) == is_said


@pytest.mark.parametrize(
    ("value", "stderr", "shown"),
    [
        (0.25, 0.0, "0.25"),
        (0.25, 0.0123, "0.250 ± 0.012"),
        (31.26, 2.4, "31.3 ± 2.4"),
        (0.35939884941, 3.4e-12, "0.359399 ± 3e-12"),
        (0.0027705, 1e-20, "0.0027705"),
        (1.5e-06, 2e-7, "1.5e-06 ± 2e-07"),
    ],
)
def test_numbers_have_the_digits_that_their_error_leaves(value, stderr, shown):
    assert querying._number(value, stderr) == shown


def test_a_picture_has_a_bar_for_each_value():
    picture = distribution_picture(["a", "$b", "c"], [0.5, 0.3, 0.2], [0.01, 0, 0], title="d(x)")
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    more = distribution_picture(list("abcdef"), [0.1] * 6, [0.0] * 6, title="d(x)")
    assert len(more) > len(picture)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a few steps on a table with the columns of the examples, in its folder."""
    folder = tmp_path_factory.mktemp("query")
    source = random.Random(0)
    lines = [
        f"{source.randint(18, 90)},{source.choice('FM')},{source.choice(['CA', 'NY', 'TX'])},"
        f"{source.choice(['<=50K', '>50K'])},{source.lognormvariate(2, 1):.2f},"
        f"2024-{source.randint(1, 12):02d}-{source.randint(1, 28):02d}"
        for _ in range(200)
    ]
    header = "age,sex,state,income,wage,day"
    (folder / "t.csv").write_text("\n".join([header, *lines]) + "\n")
    (folder / "queries.txt").write_text("# two questions\nage > 30\n\nmean(age) | sex = F\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        target = "hydra.run.dir=outputs/runs/RUN"
        small = ("model.hidden_sizes=[16]", "trainer.max_steps=4", "trainer.tensorboard=false")
        arguments = ("dataset=table", "dataset.path=t.csv", "ordering=agnostic")
        assert made_train([*arguments, *small, "ordering.num_orderings=2", target]) == 0
    return folder


@pytest.fixture
def here(run, monkeypatch):
    monkeypatch.chdir(run)


@pytest.mark.parametrize("example", query_command.main.examples)
def test_examples_of_the_help_text_work(example, here, capsys):
    assert query_command.main(shlex.split(example)) == 0
    printed = capsys.readouterr().out
    assert printed.strip()
    for word in shlex.split(example):
        if word.startswith("path="):
            assert Path(word.removeprefix("path=")).stat().st_size > 0
    assert example in query_command.main.help()


def ask(*arguments):
    return query_command.main(["run=outputs/runs/RUN", *arguments])


def test_all_questions_are_understood_before_one_is_answered(here, capsys, monkeypatch):
    def late(*_):
        raise AssertionError("asked for nothing")

    monkeypatch.setattr("made_exp.experiments.querying.answer", late)
    assert ask("age > 3", "mean(age) | sex = F", "age > 4 | sex = G") == 2
    assert "'G' is no value of 'sex' in train" in capsys.readouterr().err


def test_it_is_said_where_the_answers_are_written(here, capsys):
    assert ask("distribution(sex)", "path=kids.png") == 0
    assert capsys.readouterr().out.endswith("\nwritten: kids.png\n")


def run_schema():
    return FinishedRun("outputs/runs/RUN", "cpu").schema


@pytest.mark.parametrize(
    ("error", "shown"),
    [(0.0, ""), (123.4, "120 days"), (1.0, "1 day"), (0.5, "12 hours"), (1e-6, "0.086 seconds")],
)
def test_errors_of_dates_are_in_their_units(here, error, shown):
    *_, number, day = run_schema().columns
    assert error_written(day, error) == shown
    assert error_written(number, error) == ""


def test_no_cell_of_a_table_of_answers_is_a_formula(tmp_path):
    rows = Row("=1+1", 0.5, 0.0), Row("-3", 0.5, 0.0)
    one = Answer("@SUM(x)", None, 0.0, True, 0, rows=rows)
    (tmp_path / "checkpoints").mkdir()
    settings = QuerySettings(run=str(tmp_path))
    querying._write(tmp_path / "a.csv", [one], settings)
    found = pl.read_csv(tmp_path / "a.csv", infer_schema=False)
    assert found["of"].to_list() == ["'=1+1", "-3"]
    assert found["query"][0] == "'@SUM(x)"
    querying._write(tmp_path / "a.parquet", [one], settings)
    assert pl.read_parquet(tmp_path / "a.parquet")["of"].to_list() == ["=1+1", "-3"]


def test_answers_are_lines_json_and_tables(here, capsys):
    assert ask("age >= 65 or sex = F | state = CA", "mean(day)", "rows=200", "seed=2") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("P(age >= 65 or sex = F | state = CA) = 0.")
    assert first.endswith("of 200 rows")
    assert second.startswith("mean(day) = 2024-0")
    given = "mean(day) | wage > 5 and age > 30"
    assert ask(given) == 0
    shown = capsys.readouterr().out
    assert re.search(r"= 2024-0\d-\d\d ± \d[\d.]* (days|hours)  ", shown)
    assert ask(given, "json=true") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["text_stderr"] == error_written(run_schema().columns[-1], one["stderr"])
    assert ask("age > 30", "distribution(sex)", "json=true", "rows=200", "path=a.csv") == 0
    one, two = json.loads(capsys.readouterr().out)
    assert one["rows"] == pytest.approx(200 * one["value"])
    assert [row["value"] for row in two["distribution"]] == ["F", "M"]
    table = pl.read_csv("a.csv")
    assert table["of"].to_list() == [None, "F", "M"]
    assert table["value"][0] == pytest.approx(one["value"])
    assert ask("file=queries.txt", "path=a.json") == 0
    assert [a["query"] for a in json.loads(Path("a.json").read_text())] == [
        "age > 30",
        "mean(age) | sex = F",
    ]
    capsys.readouterr()
    assert ask("age > 200 and sex = F") == 0
    assert "= 0   (exact; a contradiction: no row can be so)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing is asked: write a question"),
        (["file=blank.txt"], "nothing is asked in 'blank.txt': write a question"),
        (["file=bytes.txt"], "file: 'bytes.txt' is no text in UTF-8"),
        (["agee > 3"], "there is no column 'agee'. Did you mean 'age'?\n  agee > 3\n  ^^^^"),
        (["age >"], "expected a value after '>', but the text ends\n  age >\n       ^"),
        (
            ["agee > 3", "age > 3", "sex = G"],
            "2 of 3 questions cannot be answered\nthere is no column 'agee'. Did you mean 'age'?\n"
            "  agee > 3\n  ^^^^\n'G' is no value of 'sex' in train",
        ),
        (["age >", "sex =", "age > 3"], "2 of 3 questions cannot be answered\nexpected a value"),
        (["file=bad.txt"], "line 3 of 'bad.txt': expected a value after '>', but"),
        (
            ["sex = G", "file=wrong.txt"],
            "2 of 3 questions cannot be answered\n'G' is no value of 'sex' in train (have: F, M)\n"
            "  sex = G\n        ^\nline 2 of 'wrong.txt': there is no column 'agee'.",
        ),
        (["age > 3 | sex = F and sex = M"], "the condition has probability 0"),
        (["sex = G"], "'G' is no value of 'sex' in train"),
        (["mean(sex)"], "'sex' holds binary values, which have no mean and no order"),
        (["age > 3", "num_sample=3"], "unknown setting 'num_sample'"),
        (["age > 3", "num_samples=1"], "num_samples must be >= 2, got 1"),
        (["age > 3", "path=a.txt2"], "path must end in .json"),
        (["age > 3", "path=no/a.json"], "path: the folder of 'no/a.json' does not exist"),
        (["age > 3", "path=t.csv"], "path: 't.csv' is read from; give the file another name"),
        (["age > 3", "path=b.png"], "path: a picture is of one distribution(COLUMN)"),
        (["age > 3", "file=no.txt"], "file: 'no.txt' is not a file"),
        (["age > 3", "label=1"], "label=1: this model has no classes"),
    ],
)
def test_mistakes_are_answered(here, capsys, arguments, message):
    Path("blank.txt").write_text("\n# nothing\n")
    Path("bad.txt").write_text("age > 3\n# more\nage >\n")
    Path("wrong.txt").write_text("age > 3\nagee > 3\n")
    Path("bytes.txt").write_bytes(b"age > \xff")
    before = set(Path().iterdir())
    assert ask(*arguments) == 2
    assert f"error: {message}" in capsys.readouterr().err
    assert set(Path().iterdir()) == before
