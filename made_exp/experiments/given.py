"""What a user asks to have completed: test examples under a pattern, or a file of examples."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.datasets.table.column import warn_of_place
from made_exp.datasets.table.empty_parts import find_parts
from made_exp.datasets.table.files import read_frame
from made_exp.datasets.table.raw import Origin, RawColumn, RawTable, listed
from made_exp.density.completing import given_values, known_in
from made_exp.density.tokens import as_name
from made_exp.errors import ConfigError, as_config_errors, did_you_mean
from made_exp.experiments.finished import FinishedRun
from made_exp.masks.observed import check_observed
from made_exp.model.made import MADE
from made_exp.settings.commands import PATTERNS, SampleSettings
from made_exp.variables.missing import left_out
from made_exp.variables.variable import Variable


@dataclass(frozen=True, eq=False)
class Given:
    """Examples that are known in part.

    Attributes:
        x: (N, D) float64, NaN where nothing was given.
        known: (N, D) which values the others are drawn given.
        context: (N,) class labels, or None.
        table: The rows as they were given, where they came from a table; cells that hold
            something are not drawn, even where the model cannot hold what they do.
        frame: The same with their own types, to be written again.
    """

    x: Tensor
    known: Tensor
    context: Tensor | None
    table: RawTable | None = None
    frame: pl.DataFrame | None = None

    def repeated(self, count: int) -> Self:
        """Each example `count` times, one after the other."""
        context = None if self.context is None else self.context.repeat_interleave(count, 0)
        x, known = (rows.repeat_interleave(count, 0) for rows in (self.x, self.known))
        numbers = np.arange(len(self.x)).repeat(count)
        table = None if self.table is None else self.table.take(numbers)
        frame = None if self.frame is None else self.frame[numbers]
        return type(self)(x, known, context, table, frame)


def given_examples(run: FinishedRun, settings: SampleSettings, generator: torch.Generator) -> Given:
    """What the model of `run` is to complete.

    A .npz file holds `x`, and `observed` or NaN for what is unknown, and `labels` where the model
    has classes; in a table empty cells are unknown.

    Args:
        run: The run.
        settings: What is observed, and of how many examples.
        generator: Source of random patterns.

    Raises:
        ConfigError: If the file does not fit the model, or labels are missing.
    """
    observed, context, table, frame = str(settings.observed), None, None, None
    number = run.class_number(settings.label)
    if observed in PATTERNS:
        x, known, context = _examples(run.dataset, observed, settings.num_examples, generator)
    elif Path(observed).suffix.lower() == ".npz":
        x, known, context = _read_npz(Path(observed), run.model)
    else:
        x, known, table, frame = _read_table(observed, run)
    known = _with_context(run, x, known, table)
    if number is not None:
        context = torch.full((len(x),), number)
    if context is None and run.model.num_classes:
        raise ConfigError(
            f"observed: {observed} has no array 'labels'; give label=... for all rows"
        )
    return Given(x, known, context, table, frame)


def _read_table(path: str, run: FinishedRun) -> tuple[Tensor, Tensor, RawTable, pl.DataFrame]:
    """Rows of a table, what is known of them, and how they were given; see `Given`.

    Raises:
        ConfigError: If the table cannot be read, or is not like that of the run.
    """
    with as_config_errors():
        style = run.text_style
        files = find_parts(path, Path.cwd(), "observed", header=style.header)
        frame, origin, delimiter = read_frame(files, style)
        raw = RawTable.of_frame(frame, origin, delimiter)
        x = given_values(run.schema, raw, run.schema.given)
    # What a column cannot hold stays where it is, and nothing is drawn from it.
    return x, known_in(run.model, x), raw, frame


def _with_context(run: FinishedRun, x: Tensor, known: Tensor, table: RawTable | None) -> Tensor:
    """What is known (N, D), with the columns that are given, of which missing may be a value.

    Raises:
        ConfigError: If one has no value in a row of x (N, D), with its place.
    """
    groups = run.model.groups
    possible = groups.possible(x.to(run.model.device)).cpu()
    is_bad = ~possible | left_out(x, groups.variables)
    for d in groups.given:
        variable = groups.variables[d]
        if is_bad[:, d].any():
            row = int(is_bad[:, d].nonzero()[0])
            place = f"row {row}"
            if table is not None and variable.name in table.names:
                place = table.column(variable.name).place(row)
            raise ConfigError(
                f"{place}: the model is of the other columns given '{variable.name}', which has no "
                "value there"
            )
    return known | groups.is_given.cpu()


def given_row(run: FinishedRun, values: Mapping[str, str]) -> Given:
    """One row with these values by column, as they are written in the table.

    Raises:
        ConfigError: If the model has no such column or value, or is given one that is not there.
    """
    with as_config_errors():
        schema = run.schema
        names = [column.name for column in schema.modelled]
        for name in values:
            if name not in names:
                hint = did_you_mean(name, names) or f" (have: {listed(names)})"
                raise ValueError(f"given: the model has no column '{name}'{hint}")
        if lacking := [name for name in schema.given if name not in values]:
            raise ValueError(
                f"given: '{lacking[0]}' is missing; the model is of the other columns given "
                f"{', '.join(schema.given)}{_where_instead(values)}"
            )
        frame = pl.DataFrame({name: [text] for name, text in values.items()})
        raw = RawTable.of_frame(frame, Origin(("given",)))
        categories = {variable.name: variable.categories for variable in schema.variables}

        def refuse(column: RawColumn, row: int, count: int, what: str) -> None:
            text, known = str(column.values[row]), categories[column.name]
            if known is None:
                return warn_of_place(column, row, count, what)
            hint = did_you_mean(text, known) or f" (have: {listed(known)})"
            raise ValueError(f"given: '{text}' is no value of '{column.name}' in train{hint}")

        x = torch.from_numpy(schema.encode(raw, refuse, needed=()))
    return Given(x, _with_context(run, x, ~torch.isnan(x), raw), None, raw)


def _where_instead(values: Mapping[str, str]) -> str:
    """How to draw rows of some of the values alone, those that can be asked for."""
    asked = " and ".join(f"{as_name(n)} = {as_name(v)}" for n, v in values.items() if v)
    return f'; where="{asked}" takes the others from train' if asked else ""


def _examples(
    dataset: Dataset, pattern: str, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Examples (n, D) of test, which variables of them are given (n, D), and their labels."""
    x, context = dataset.split(dataset.scored)[:count], dataset.context(dataset.scored)
    context = None if context is None else context[:count]
    if pattern == "random_half":
        ranks = torch.rand(x.shape, generator=generator).argsort(1).argsort(1)
        return x, (ranks < dataset.num_dims // 2) & ~torch.isnan(x), context
    if dataset.image_shape is None:
        raise ConfigError(
            f"observed={pattern} needs images; use random_half, a table or a .npz file"
        )
    height, width = dataset.image_shape
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width)[None, :].expand(height, width)
    halves = {
        "top_half": rows < height // 2,
        "bottom_half": rows >= height - height // 2,
        "left_half": columns < width // 2,
        "right_half": columns >= width - width // 2,
    }
    return x, halves[pattern].reshape(1, -1).expand(len(x), -1), context


def _read_npz(path: Path, model: MADE) -> tuple[Tensor, Tensor, Tensor | None]:
    """`x`, what is known of it, and `labels` or None, checked against the model.

    Raises:
        ConfigError: If an array is missing or of the wrong shape, or a value is none of its
            variable; with row and column.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
            x = torch.from_numpy(np.asarray(arrays["x"], np.float64))
            given = torch.from_numpy(np.asarray(arrays.get("observed", ~np.isnan(x.numpy())), bool))
    except Exception as error:  # whatever a damaged archive raises
        raise ConfigError(f"observed: cannot read array 'x' of {path}: {error}") from error
    if x.ndim != 2 or x.shape[1] != model.num_dims:
        shape = f"(N, {model.num_dims})"
        raise ConfigError(f"observed: x of {path} has shape {tuple(x.shape)}, not {shape}")
    if given.shape not in (x.shape, x.shape[1:]):
        raise ConfigError(
            f"observed: array 'observed' of {path} has shape {tuple(given.shape)}, "
            f"not {tuple(x.shape)}"
        )
    known = check_observed(given & ~torch.isnan(x), x, model.num_dims)
    for column, variable in enumerate(model.groups.variables):
        _check_values(x[:, column], known[:, column], variable, path)
    labels = arrays.get("labels")
    return x, known, None if labels is None else torch.from_numpy(np.asarray(labels, np.int64))


def _check_values(x: Tensor, known: Tensor, variable: Variable, path: Path) -> None:
    largest = math.inf if variable.num_values is None else variable.num_values - 1
    bad = ~torch.isfinite(x)
    if variable.num_values is not None:
        bad |= (x < 0) | (x > largest) | (x != x.round())
    if (bad & known).any():
        row = int(torch.nonzero(bad & known)[0])
        allowed = "finite numbers" if math.isinf(largest) else f"whole numbers 0..{largest}"
        raise ConfigError(
            f"observed: x of {path}, row {row}, column '{variable.name}' is {float(x[row])}; "
            f"it holds {allowed}"
        )
