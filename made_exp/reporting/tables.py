"""Tables as CSV, as Markdown and on the terminal."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import rich.box
import rich.table
from rich.console import JustifyMethod
from rich.text import Text

from made_exp.reporting.run_settings import cell_text, is_number, short_text
from made_exp.reporting.summary import Column, Row, Table

_STATUS_STYLES = {"completed": "green", "running": "cyan", "stopped": "yellow"}


def formatted(column: Column, row: Row, table: Table) -> str:
    """A cell as it is shown; likelihoods of one table have equally many digits."""
    value = row.cells.get(column.key)
    if value is None:
        return ""
    if column.is_nll:
        return f"{value:.{table.nll_digits}f}" if abs(value) < 1e7 else f"{value:.4g}"
    if column.key == "seconds":
        return f"{value:.1f}"
    if column.key == "epochs":
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    return printable(short_text(value))


def printable(text: str) -> str:
    """`text` without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def to_csv(tables: Sequence[Table]) -> str:
    """All tables as one, numbers in full, with a column for the dataset."""
    own = ["published_nll"] if any(table.published_nll is not None for table in tables) else []
    keys = dict.fromkeys(["dataset", *(c.key for table in tables for c in table.columns), *own])
    rows = [
        {"dataset": table.dataset, "published_nll": table.published_nll, **row.cells}
        for table in tables
        for row in table.rows
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for cells in ({key: key for key in keys}, *rows):
        writer.writerow([_csv_cell(cells.get(key)) for key in keys])
    return buffer.getvalue()


def _csv_cell(value: Any) -> Any:
    if is_number(value):
        return value
    return without_formula(printable(cell_text(value)))


def without_formula(text: str) -> str:
    """A cell that a spreadsheet does not run: what begins like a formula follows a quote."""
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text


def to_markdown(tables: Sequence[Table]) -> str:
    """The tables as Markdown, each under its dataset's name, and what could not be read."""
    lines: list[str] = []
    for table in tables:
        lines += [f"## {_markdown(table.dataset)}", ""]
        lines.append("| " + " | ".join(_markdown(c.title) for c in table.columns) + " |")
        rules = ("---:" if is_numeric(column, table) else "---" for column in table.columns)
        lines.append("| " + " | ".join(rules) + " |")
        for row in table.rows:
            cells = (_markdown(formatted(column, row, table)) for column in table.columns)
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", *(f"* {_markdown(remark)}" for remark in table.remarks)]
        lines += [""] * bool(table.remarks)
    problems = problem_lines(tables)
    if problems:
        lines += ["## Problems", "", *(f"* {_markdown(line)}" for line in problems), ""]
    return "\n".join(["NLL in nats per example.", "", *lines])


def problem_lines(tables: Sequence[Table]) -> list[str]:
    """One line for each error of a run and for each file that could not be read."""
    lines = []
    for run in (run for table in tables for run in table.runs):
        lines += [f"{run.name}: {problem}" for problem in run.problems]
        if run.error:
            lines.append(f"{run.name}: {run.status}: {run.error}")
    return [printable(line) for line in lines]


def _markdown(text: str) -> str:
    text = printable(text)
    for character in "\\`*_[]<>|~#$":
        text = text.replace(character, "\\" + character)
    return text


def is_numeric(column: Column, table: Table) -> bool:
    """Whether all values of a column are numbers."""
    known = [value for row in table.rows if (value := row.cells.get(column.key)) is not None]
    return bool(known) and all(map(is_number, known))


def terminal_table(table: Table, width: int) -> tuple[rich.table.Table, int]:
    """The table for a rich console of `width` columns, and the width that it really needs.

    Where the terminal is narrow, names of runs and titles are folded and the columns that matter
    least are left out; settings, likelihoods and status never are.
    """
    columns, widths = _fitting(table, width)
    shown = rich.table.Table(
        title=Text(printable(table.dataset), style="bold"),
        title_justify="left",
        box=rich.box.SIMPLE,
    )
    for column in columns:
        # Text, not str: names may hold what rich takes for markup.
        justify: JustifyMethod = "right" if is_numeric(column, table) else "left"
        header = Text(printable(column.title))
        shown.add_column(header, justify=justify, min_width=widths[column.key], overflow="fold")
    for row in table.rows:
        status = str(row.cells.get("status"))
        cells = [Text(formatted(column, row, table)) for column in columns]
        cells[-1].stylize(_STATUS_STYLES.get(status, "red" if status.isalpha() else "yellow"))
        shown.add_row(*cells)
    return shown, max(width, _total(columns, widths))


def _fitting(table: Table, width: int) -> tuple[list[Column], dict[str, int]]:
    """Columns that fit into `width`, and the least width of each."""
    columns, widths = list(table.columns), {}
    for column in columns:
        longest = max([4, *(len(formatted(column, row, table)) for row in table.rows)])
        widths[column.key] = min(longest, 16 if column.key == "run" else 30)
    for spare in ("seconds", "epochs", "valid_nll"):
        if _total(columns, widths) > width:
            columns = [column for column in columns if column.key != spare]
    return columns, widths


def _total(columns: Sequence[Column], widths: dict[str, int]) -> int:
    return sum(widths[column.key] + 3 for column in columns) + 1
