"""Runs as tables: one for each dataset, with the settings that differ, sorted, seeds averaged."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from made_exp.errors import ConfigError, did_you_mean
from made_exp.reporting.records import RunRecord
from made_exp.reporting.remarks import published_for, remarks_on
from made_exp.reporting.run_settings import cell_text, differing_settings, sort_key


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: What it is called for sorting and in the CSV file.
        title: What stands above it.
        is_setting: Whether it is a setting that differs between the runs.
        is_nll: Whether its numbers are likelihoods.
    """

    key: str
    title: str
    is_setting: bool = False
    is_nll: bool = False


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        cells: Value by the column's key; None where there is none.
        runs: The runs it stands for.
    """

    cells: dict[str, Any]
    runs: tuple[RunRecord, ...]


@dataclass(frozen=True)
class Table:
    """The runs on one dataset.

    Attributes:
        dataset: The dataset's name, with the options that distinguish it.
        columns: From left to right.
        rows: From top to bottom.
        runs: All its runs, best first.
    """

    dataset: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    runs: tuple[RunRecord, ...]

    @property
    def published_nll(self) -> float | None:
        """The best test NLL that others have reported on it."""
        return min((one.nll for one in published_for(self.runs)), default=None)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What stands beside it, a line each."""
        return remarks_on(self.runs)

    @property
    def settings(self) -> tuple[Column, ...]:
        """The columns that are settings."""
        return tuple(column for column in self.columns if column.is_setting)

    @cached_property
    def nll_digits(self) -> int:
        """Decimals of its likelihoods: more where they are small."""
        values = (row.cells.get(key) for row in self.rows for key in ("test_nll", "valid_nll"))
        return 4 if max((abs(v) for v in values if v is not None), default=0) < 20 else 3


def _columns(**titles: str) -> tuple[Column, ...]:
    return tuple(Column(key, title, is_nll="_nll" in key) for key, title in titles.items())


_RUN = _columns(run="run")
_ALL = _columns(valid_nll="valid NLL", epochs="epochs", seconds="seconds", status="status")
_NUMBERS = _columns(test_nll="test NLL", test_nll_stderr="s.e. (examples)") + _ALL
_MEANS = {"test_nll": "mean test NLL", "test_nll_stderr": "s.e. (runs)", "test_nll_std": "std"}
_GROUPED = _columns(**_MEANS, count="finished") + _ALL
_Groups = list[tuple[dict[str, Any], list[RunRecord]]]


def make_tables(
    runs: Sequence[RunRecord], *, group_by: str | None = None, sort: str = "test_nll"
) -> list[Table]:
    """One table for each dataset, because likelihoods of different data do not compare.

    Args:
        runs: The runs.
        group_by: A setting (or several, with commas between) over which runs that are otherwise
            equal are averaged, e.g. "seed"; None for one row a run.
        sort: The column to sort by, ascending; with a "-" before it, descending. Rows without a
            value come last.

    Raises:
        ValueError: If `group_by` or `sort` names nothing that the runs have.
    """
    grouped_over = [name.strip() for name in (group_by or "").split(",") if name.strip()]
    known = {key for run in runs for key in run.settings}
    for name in grouped_over:
        _check(name, known, "group_by")
    tables = [
        _table(dataset, members, grouped_over)
        for dataset, members in split_by_dataset(runs).items()
    ]
    columns = {name for table in tables for c in table.columns for name in (c.key, c.title)}
    key = _check(sort.removeprefix("-"), columns | known, "sort")
    return [_sorted(table, key, sort.startswith("-")) for table in tables]


def _check(name: str, allowed: set[str], argument: str) -> str:
    plain = name.replace(".", "_").replace("/", "_")
    if not allowed & {name, plain}:
        raise ConfigError(f"{argument}={name}: no run has it{did_you_mean(name, sorted(allowed))}")
    return name if name in allowed else plain


def short_titles(keys: Sequence[str]) -> dict[str, str]:
    """Titles by setting: the last part of the name where that is unique, `model` for model.name."""

    def short(key: str) -> str:
        return key.removesuffix(".name") if key.endswith(".name") else key.rsplit(".", 1)[-1]

    taken = [
        title for column in (*_RUN, *_NUMBERS, *_GROUPED) for title in {column.key, column.title}
    ]
    counts = Counter([*map(short, keys), *taken])
    return {key: short(key) if counts[short(key)] == 1 else key for key in keys}


def _table(dataset: str, runs: list[RunRecord], grouped_over: Sequence[str]) -> Table:
    runs.sort(key=lambda run: (sort_key(run.test_nll), sort_key(run.valid_nll), run.name))
    keys = [
        key for key in differing_settings([run.settings for run in runs]) if key not in grouped_over
    ]
    titles = short_titles(keys)
    settings = tuple(Column(key, titles[key], True) for key in keys)
    if not grouped_over:
        rows = tuple(Row(_cells(run, keys), (run,)) for run in runs)
        return Table(dataset, (*_RUN, *settings, *_NUMBERS), rows, tuple(runs))
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in runs:
        identity = tuple(cell_text(run.settings.get(key)) for key in keys)
        groups.setdefault(identity, []).append(run)
    rows = tuple(Row(_mean_cells(group, keys), tuple(group)) for group in groups.values())
    return Table(dataset, (*settings, *_GROUPED), rows, tuple(runs))


def _cells(run: RunRecord, keys: Sequence[str]) -> dict[str, Any]:
    settings = {key: run.settings.get(key) for key in keys}
    return settings | {"run": run.name} | {c.key: getattr(run, c.key) for c in _NUMBERS}


def _mean_cells(runs: Sequence[RunRecord], keys: Sequence[str]) -> dict[str, Any]:
    finished = [run for run in runs if run.status == "completed"]
    tests = [run.test_nll for run in finished if run.test_nll is not None]
    states = Counter(run.status for run in runs)
    cells: dict[str, Any] = {key: runs[0].settings.get(key) for key in keys}
    for name in ("test_nll", "valid_nll", "epochs", "seconds"):
        values = [value for run in finished if (value := getattr(run, name)) is not None]
        cells[name] = fmean(values) if values else None
    cells["test_nll_std"] = stdev(tests) if len(tests) > 1 else None
    cells["test_nll_stderr"] = stdev(tests) / math.sqrt(len(tests)) if len(tests) > 1 else None
    cells["count"] = len(finished)
    parts = [f"{count} {state}" for state, count in sorted(states.items())]
    cells["status"] = runs[0].status if len(states) == 1 else ", ".join(parts)
    return cells


def _sorted(table: Table, key: str, descending: bool) -> Table:
    by_title = {column.title: column.key for column in table.columns}
    key = by_title.get(key, key)

    def value(row: Row) -> Any:
        return row.cells[key] if key in row.cells else row.runs[0].settings.get(key)

    rows = sorted(table.rows, key=lambda row: sort_key(value(row)), reverse=descending)
    rows.sort(key=lambda row: value(row) is None)
    return replace(table, rows=tuple(rows))


def split_by_dataset(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Runs by dataset; its options are part of it, except whether labels are used, and folds."""
    groups: _Groups = []
    for run in sorted(runs, key=lambda run: not run.is_complete_config):
        options = _dataset_options(run)
        members = _group_of(run, options, groups)
        if members is None:
            groups.append((options, members := []))
        members.append(run)
    return _named(groups)


def _group_of(run: RunRecord, options: dict[str, Any], groups: _Groups) -> list[RunRecord] | None:
    """The group that `run` belongs to; a run that failed early only knows what was typed."""
    if run.is_complete_config:
        return next((members for known, members in groups if known == options), None)
    fitting = [members for known, members in groups if options.items() <= known.items()]
    in_sweep = [m for m in fitting if any(other.path.parent == run.path.parent for other in m)]
    fitting = in_sweep or fitting
    return fitting[0] if len(fitting) == 1 else None


def _dataset_options(run: RunRecord) -> dict[str, Any]:
    options = {
        key.removeprefix("dataset."): cell_text(value)
        for key, value in run.settings.items()
        if key.startswith("dataset.") and not _is_same_data(key, value)
    }
    return {**options, "name": run.dataset} if run.dataset else options


def _is_same_data(key: str, value: Any) -> bool:
    """Whether likelihoods compare when a setting of the dataset differs: labels used, fold."""
    return key == "dataset.fold" or (key == "dataset.context" and isinstance(value, str))


def _named(groups: _Groups) -> dict[str, list[RunRecord]]:
    """Runs by the name of their dataset, with those options that tell it from others."""
    named: dict[str, list[RunRecord]] = {}
    for options, members in sorted(groups, key=lambda group: str(sorted(group[0].items()))):
        name = options.get("name", "")
        same = [other for other, _ in groups if other.get("name", "") == name]
        parts = [
            f"{key}={value}"
            for key, value in sorted(options.items())
            if key in ("path", "table") or any(other.get(key) != value for other in same)
        ]
        label = f"{name or 'unknown dataset'} ({', '.join(parts)})" if parts else name
        named.setdefault(label or "unknown dataset", []).extend(members)
    return named
