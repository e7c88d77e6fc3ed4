"""What a run says at its end: its numbers beside others, and commands that work when pasted."""

import io
import re
import shlex
import sys

import pytest

from made_exp import eval as eval_command
from made_exp import query, report, sample
from made_exp.density.predicate import parse_question
from made_exp.experiments.run_summary import summary
from made_exp.reporting.text_table import as_text, plain_table
from made_exp.runs.folder import RunDirectory

COMMANDS = {
    "made-eval": eval_command.main,
    "made-sample": sample.main,
    "made-report": report.main,
    "made-query": query.main,
}


def results_of(**changes):
    scored = {"nll": 80.0, "nll_stderr": 0.25, "bits_per_dim": 0.2, "num_examples": 50}
    return {
        "test": {**scored, "num_orderings": 1},
        "baselines": {"independent": 90.5, "tree": 79.0, "columns": {}},
        "best_epoch": 3,
        "epochs": 5,
        "train_seconds": 1.0,
        "examples_per_second": 1.0,
    } | changes


def commands_in(text):
    found = re.findall(r"(made-\w+|tensorboard) (.*)", text.partition("what next")[2])
    return [(name, shlex.split(arguments)) for name, arguments in found]


def test_numbers_stand_beside_this_model(tmp_path):
    text = summary(results_of(reference={"nll": 78.0}), RunDirectory(tmp_path))
    assert text.startswith("test NLL 80.000 +- 0.250 nats (0.2000 bits/dim, 50 examples)\n")
    rows = {line[:15].strip(): line[15:].split() for line in text.splitlines()}
    assert rows["independent"] == ["90.500", "10.500", "better"]
    assert rows["tree"] == ["79.000", "1.000", "worse"]
    assert rows["true density"] == ["78.000", "2.000", "worse"]


def test_what_failed_a_check_is_said(tmp_path):
    text = summary(results_of(unchecked=["masks"]), RunDirectory(tmp_path))
    assert re.search(r"UNCHECKED +these numbers failed a check: masks", text)


@pytest.mark.parametrize(
    ("column", "typed"),
    [
        ("town", "'distribution(town)'"),
        ("my age", """"distribution('my age')\""""),
        ("in $", """'distribution('"'"'in $'"'"')'"""),
    ],
)
def test_a_question_is_typed_with_as_few_quotes_as_can_be(tmp_path, column, typed):
    results = results_of(columns=[{"column": column, "kind": "real"}])
    asked = re.search("made-query run=.*? (.*)", summary(results, RunDirectory(tmp_path)))
    assert asked
    assert asked[1] == typed


@pytest.mark.parametrize("name", ["run", "a run with spaces, 'quotes' and [brackets]"])
@pytest.mark.parametrize("split", ["test", "valid"])
def test_commands_can_be_pasted(tmp_path, monkeypatch, name, split):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    scored = results_of()["test"] | {"columns": {"age": 80.0}}
    columns = [{"column": "id", "kind": "identifier"}, {"column": "my age (y)", "kind": "real"}]
    results = results_of(**{"test": None, split: scored}, columns=columns)
    commands = commands_in(summary(results, RunDirectory(tmp_path / name)))
    assert [command for command, _ in commands] == [
        *("made-eval", "made-sample", "made-query", "made-eval", "tensorboard", "made-report")
    ]
    for command, arguments in commands:
        if command == "tensorboard":
            assert arguments == ["--logdir", name]
            continue
        if command == "made-query":
            column = parse_question(arguments.pop()).column
            assert column
            assert column.text == "my age (y)"
        pairs = dict(argument.split("=", 1) for argument in arguments)
        assert pairs.get("run", pairs.get("path")) == name
        known = COMMANDS[command].schema.__dataclass_fields__
        assert set(pairs) <= set(known)
        assert pairs.get("split", "test") == split or "data" in pairs or command != "made-eval"


def test_what_is_no_table_is_not_asked_for_one_though_its_columns_have_scores(tmp_path):
    scored = results_of()["test"] | {"columns": {"x": 2.0}}
    commands = commands_in(summary(results_of(test=scored), RunDirectory(tmp_path)))
    assert not any("data=" in argument for _, arguments in commands for argument in arguments)
    (drawn,) = [arguments for command, arguments in commands if command == "made-sample"]
    assert drawn[-1] == "path=samples.png"


def test_without_events_there_is_nothing_for_tensorboard(tmp_path):
    folder = RunDirectory(tmp_path)
    assert "tensorboard" in summary(results_of(), folder)
    assert "tensorboard" not in summary(results_of(), folder, has_events=False)


def test_text_is_no_markup_and_is_drawn_with_signs_that_the_terminal_has(monkeypatch):
    table = plain_table([("[b]name[/b]", False), ("n", True)], [("[red]x[/red]", "12")])
    assert "[red]x[/red]" in as_text(table)
    assert "─" in as_text(table)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert as_text(table).isascii()
    assert "12" in as_text(table)
