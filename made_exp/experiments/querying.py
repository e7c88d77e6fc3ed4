"""Answering questions with a finished run: lines to read, JSON, a table or a picture."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
from torch import Tensor

from made_exp.datasets.parts import ROWS
from made_exp.datasets.table.writing import write_frame
from made_exp.density.answers import Answer, answer, check_question
from made_exp.density.counting import rows_so
from made_exp.density.mixture import Effort
from made_exp.density.predicate import Question
from made_exp.density.tokens import each_of
from made_exp.errors import ConfigError, as_config_errors
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.targets import checked_target
from made_exp.files import atomic_write_json, json_text
from made_exp.reporting.figures import distribution_picture, save_png
from made_exp.settings.commands import QuerySettings

_MANY = 20  # questions, for which it is worth while to draw rows that serve them all
_MOST_DIGITS = 6  # of a number, where its error is smaller still
_LEAST_ERROR = 1e-15  # of the number: what is below is how float64 rounds


def query_run(settings: QuerySettings, questions: Sequence[Question]) -> str:
    """Answer questions with the best model of a run, and write the answers where asked to.

    Returns:
        What to print: lines to read, or JSON.

    Raises:
        ConfigError: If a column or a value is unknown, a condition has probability 0, or there is
            no picture of what was asked; if the file cannot be written, or is read.
        CheckpointError: If the run holds no model that can be used.
    """
    run = FinishedRun(settings.run, settings.device)
    label = run.one_class(settings.label)
    num_train = run.data.get("num_train")  # models of before have none
    keeps = len(questions) >= _MANY
    effort = Effort(settings.num_samples, settings.seed, label, num_train, keeps)
    target = _target(run, settings, questions)
    with as_config_errors():
        schema = run.schema
        places = [question.place for question in questions]
        each_of(questions, lambda question: check_question(schema, question), places)
        answers = each_of(
            questions, lambda question: answer(run.model, schema, question, effort), places
        )
    if settings.counted:
        answers = _counted(run, questions, answers)
    content = [one.as_dict(settings.rows) for one in answers]
    if target is not None:
        _write(target, answers, settings)
    if settings.json:
        return json_text(content, indent=2)
    lines = [_lines(one, settings.rows) for one in answers]
    return "\n".join([*lines, *([] if target is None else [f"written: {target}"])])


def _counted(
    run: FinishedRun, questions: Sequence[Question], answers: Sequence[Answer]
) -> list[Answer]:
    """The answers with the rows of train and valid that are so, for which the data are read."""
    splits = [run.dataset.train, run.dataset.valid]
    return [
        replace(one, counted=rows_so(run.schema, question, _parts_of(splits)))
        for question, one in zip(questions, answers, strict=True)
    ]


def _parts_of(splits: Sequence[Tensor]) -> Iterator[Tensor]:
    """Some rows of each split at a time."""
    return (part for x in splits for part in x.split(ROWS))


def _target(
    run: FinishedRun, settings: QuerySettings, questions: Sequence[Question]
) -> Path | None:
    """Where the answers go, found out before they are."""
    if settings.path is None:
        return None
    target = checked_target(run, settings.path, settings.file)
    pictured = sum(question.measure == "distribution" for question in questions)
    if target.suffix.lower() == ".png" and pictured != 1:
        raise ConfigError("path: a picture is of one distribution(COLUMN); ask for one")
    return target


def _write(path: Path, answers: Sequence[Answer], settings: QuerySettings) -> None:
    match path.suffix.lower():
        case ".json":
            atomic_write_json(path, [one.as_dict(settings.rows) for one in answers])
        case ".png":
            told = next(one for one in answers if one.rows)
            names, probs, errors = zip(
                *((row.value, row.probability, row.stderr) for row in told.rows), strict=True
            )
            title = told.question.strip()
            save_png(path, distribution_picture(names, probs, errors, title=title))
        case _:
            write_frame(path, _table(answers, settings.rows), ",")


def _table(answers: Sequence[Answer], rows: int | None) -> pl.DataFrame:
    """A line for each number: those of a distribution are told apart by the value."""
    lines = []
    for one in answers:
        content = one.as_dict(rows)
        shared = {"query": content["query"], "is_exact": one.is_exact}
        if one.rows:
            lines += [
                shared | {"of": row.value, "value": row.probability, "stderr": row.stderr}
                for row in one.rows
            ]
        else:
            lines.append(shared | {"of": None, "value": one.value, "stderr": one.stderr})
            lines[-1]["rows"] = content.get("rows")
            if one.counted is not None:
                lines[-1] |= {"counted": one.counted[0], "counted_of": one.counted[1]}
    schema = {"query": pl.String, "of": pl.String, "value": pl.Float64, "stderr": pl.Float64,
              "is_exact": pl.Boolean, "rows": pl.Float64}  # fmt: skip
    if any(one.counted for one in answers):
        schema |= {"counted": pl.Int64, "counted_of": pl.Int64}
    frame = pl.DataFrame(lines, schema=schema)
    return frame if rows is not None else frame.drop("rows")


def _lines(one: Answer, rows: int | None) -> str:
    """An answer for people."""
    how = "exact" if one.is_exact else f"{one.num_samples} paths"
    how = "; ".join(filter(None, [how, one.note]))
    question = " ".join(one.question.split())
    if one.rows:
        width = max(len(row.value) for row in one.rows)
        table = [
            f"  {row.value:<{width}}  {_number(row.probability, row.stderr):>22}  "
            f"{'#' * round(40 * row.probability)}".rstrip()
            for row in one.rows
        ]
        return "\n".join([f"{question}   ({how})", *table])
    assert one.value is not None
    shown = _number(one.value, one.stderr)
    if one.text is not None:
        shown = f"{one.text} ± {one.error}" if one.error else one.text
    counted = ""
    if rows is not None and one.is_probability:
        counted = f"   {_number(one.value * rows, one.stderr * rows)} of {rows} rows"
    if one.counted is not None:
        so, of = one.counted
        counted += f"   data: {so} of {of} rows"
        if of:
            share = so / of
            counted += f", {_number(share, math.sqrt(share * (1 - share) / of))}"
    name = f"P({question})" if one.is_probability else question
    return f"{name} = {shown}   ({how}){counted}"


def _number(value: float, stderr: float) -> str:
    """A number with the digits that its error leaves, and the error."""
    if not stderr > _LEAST_ERROR * abs(value) or not math.isfinite(stderr):
        return f"{value:.6g}"
    place = 1 - math.floor(math.log10(stderr))
    if value and (abs(value) < 1e-4 or place > _MOST_DIGITS):
        digits = min(max(3, place + math.floor(math.log10(abs(value))) + 1), _MOST_DIGITS)
        return f"{value:.{digits}g} ± {stderr:.1g}"
    digits = max(place, 0)
    return f"{value:.{digits}f} ± {stderr:.{digits}f}"
