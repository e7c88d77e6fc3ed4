"""One HTML page about many runs that needs no network and trusts no name or value in it."""

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from bokeh.core.types import ID
from bokeh.embed import json_item
from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from made_exp.reporting.by_column import column_chart, column_table
from made_exp.reporting.charts import HUES, INK, setting_chart
from made_exp.reporting.curves import MAX_CURVES, curves_chart
from made_exp.reporting.names import short_names
from made_exp.reporting.parallel import parallel_chart
from made_exp.reporting.records import RunRecord
from made_exp.reporting.run_settings import cell_text, short_text
from made_exp.reporting.summary import Column, Row, Table
from made_exp.reporting.swept import chart_settings, label_of
from made_exp.reporting.tables import formatted, is_numeric, printable

_ASSETS = Path(__file__).parent / "assets"
_HOW_TO = (
    "A line is a run, coloured from the best (blue) to the worst. Draw a box over an axis to keep "
    "the runs that pass there: it is written into the filter of the table."
)
_MAX_PICTURES = 6
_MAX_PICTURE_BYTES = 3_000_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class _Chart(NamedTuple):
    """A chart with what stands around it; no plot where there is nothing to draw yet."""

    heading: str
    place: str
    plot: figure | None
    kind: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    note: str = ""


class _Picture(NamedTuple):
    """A picture inside the page, of a run."""

    source: str
    run: RunRecord
    caption: str


class _Section(NamedTuple):
    """What the page shows of one dataset: tables, charts, of the best runs columns and pictures."""

    table: Table
    by_run: Table | None
    charts: list[_Chart]
    columns: Table | None
    pictures: list[_Picture]


def make_page(
    tables: Sequence[Table], title: str, folder: Path, run_tables: Sequence[Table] = ()
) -> str:
    """The page as text.

    Args:
        tables: One a dataset.
        title: Of the page.
        folder: Where the page is going to lie, for links to the runs.
        run_tables: Tables with one row a run where `tables` average over runs.
    """
    details = {table.dataset: table for table in run_tables}
    runs = [run for table in tables for run in table.runs]
    names = short_names(run.name for run in runs)
    sections = [
        _section(f"chart{index}", table, details.get(table.dataset), names)
        for index, table in enumerate(tables)
    ]
    items = [
        json_item(chart.plot, ID(chart.place))
        for section in sections
        for chart in section.charts
        if chart.plot is not None
    ]
    style = (_ASSETS / "page.css").read_text()
    # Bokeh's own JavaScript, first: without an element of its own, one checksum holds for all.
    script = "\n".join(
        [*Resources(mode="inline", components=["bokeh"]).js_raw, (_ASSETS / "page.js").read_text()]
    )
    page = Environment(loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined)
    page.filters["line"] = lambda value: printable(str(value))
    page.filters["numeric_in"] = is_numeric
    return page.get_template("report.html").render(
        title=title,
        policy=_policy(script),
        style=style,
        script=script,
        data=json_for_script(items),
        sections=sections,
        tiles=_tiles(runs),
        problems=_problems(runs),
        now=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        formatted=formatted,
        sort_text=_sort_text,
        cell_class=_cell_class,
        short=lambda run: names[run.name],
        link=lambda run, file="": _link(run.path / file, folder),
    )


def _section(place: str, table: Table, by_run: Table | None, names: Mapping[str, str]) -> _Section:
    columns = column_table(table.runs, names)
    charts = _charts(place, table)
    if columns is not None:
        series = zip(columns.columns[1:-1], HUES, strict=False)
        legend = (*((column.title, hue) for column, hue in series), ("by counting", INK))
        plot = column_chart(columns)
        charts.append(_Chart("NLL by column", f"{place}-columns", plot, "columns", legend))
    return _Section(table, by_run, charts, columns, _pictures(table))


def _link(path: Path, folder: Path) -> str:
    """A relative link from a page in `folder`; nothing in a name can make it lead elsewhere."""
    return "./" + quote(os.fsencode(os.path.relpath(path, folder)))


def json_for_script(content: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end the element."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _policy(script: str) -> str:
    """A policy under which the browser runs this page's own script and loads nothing.

    The charts style themselves with rules that they make as they are drawn.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def _tiles(runs: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """Numbers to be seen first, each with what it counts."""
    states = sorted(Counter(run.status for run in runs).items())
    seconds = sum(run.seconds or 0.0 for run in runs)
    shown = f"{seconds:.0f} s"
    if seconds >= 120:
        shown = f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
    tiles = [(str(len(runs)), "runs"), *((str(count), state) for state, count in states)]
    return [*tiles, (shown, "of training in all")]


def _sort_text(column: Column, row: Row) -> str:
    """What a cell is sorted by: a number in full, or text."""
    value = row.cells.get(column.key)
    return repr(value) if isinstance(value, float) else cell_text(value)


def _cell_class(column: Column, text: str, numeric: bool) -> str:
    if column.key == "status" and text.isalpha():
        return f"status-{text}"
    return "run" if column.key == "run" else "number" * numeric


def _charts(place: str, table: Table) -> list[_Chart]:
    """All settings at once, NLL by epoch and by each setting; `place` starts ids of elements."""
    settings, charts = chart_settings(table.runs), []
    if parallel := parallel_chart(table.runs, settings):
        charts.append(_Chart("All settings", f"{place}-all", parallel, "parallel", note=_HOW_TO))
    runs = [r for r in table.runs if any({p.train_nll, p.valid_nll} != {None} for p in r.curve)]
    if runs:
        shown = runs[:MAX_CURVES]
        legend = tuple((label_of(run, settings), hue) for run, hue in zip(runs, HUES, strict=False))
        others = f"{len(shown) - len(legend)} more" if len(shown) > len(legend) else ""
        left_out = f", without the {len(runs) - len(shown)} worst" if len(runs) > len(shown) else ""
        plot = curves_chart(shown, settings)
        charts.append(_Chart("NLL by epoch", place, plot, "curves", legend, others + left_out))
    charts += [
        _Chart(f"NLL by {s.title}", f"{place}-{index}", setting_chart(s, table.runs, settings))
        for index, s in enumerate(settings)
    ]
    return charts


def _pictures(table: Table) -> list[_Picture]:
    """Pictures of the best runs, inside the page."""
    pictures: list[_Picture] = []
    for run in table.runs:
        if run.status == "failed" or (image := _png(run.picture)) is None:
            continue
        settings = ", ".join(
            f"{column.title} = {short_text(run.settings[column.key])}"
            for column in table.settings
            if column.key in run.settings
        )
        nll = "" if run.test_nll is None else f"test NLL {run.test_nll:.4f} nats. "
        source = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        pictures.append(_Picture(source, run, nll + settings))
        if len(pictures) == _MAX_PICTURES:
            break
    return pictures


def _png(path: Path | None) -> bytes | None:
    try:
        content = b"" if path is None else path.read_bytes()
    except OSError:
        return None
    is_picture = content.startswith(_PNG_SIGNATURE) and len(content) <= _MAX_PICTURE_BYTES
    return content if is_picture else None


def _problems(runs: Sequence[RunRecord]) -> list[tuple[RunRecord, list[str]]]:
    """Runs that failed or could not be read, each with what is known about it, line by line."""
    return [
        (run, [*run.problems, *filter(None, [run.error])])
        for run in runs
        if run.problems or run.error or run.traceback or run.status not in ("completed", "running")
    ]
