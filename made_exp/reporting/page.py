"""One HTML page about many runs that needs no network and trusts no name or value in it."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bokeh.core.types import ID
from bokeh.embed import json_item
from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from made_exp.reporting.charts import HUES, chart_settings, curves_chart, label_of, setting_chart
from made_exp.reporting.records import RunRecord
from made_exp.reporting.run_settings import cell_text
from made_exp.reporting.summary import Column, Row, Table
from made_exp.reporting.tables import formatted, is_numeric, printable

_ASSETS = Path(__file__).parent / "assets"
_MAX_PICTURES = 6
_MAX_BY_COLUMN, _MAX_BARS = 3, 100
_MAX_PICTURE_BYTES = 3_000_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class _Chart(NamedTuple):
    """A chart with what stands around it; no plot where there is nothing to draw yet."""

    heading: str
    place: str
    plot: figure | None
    legend: tuple[tuple[str, str], ...] = ()
    num_others: int = 0


class _Bar(NamedTuple):
    """A column of a table: its NLL, that by counting, both as shares (%) of the longest bar."""

    name: str
    nll: float
    counting: float | None
    length: float
    mark: float | None
    is_worse: bool


class _Section(NamedTuple):
    """What the page shows of one dataset: of the best runs the NLL by column, and pictures.

    Of each picture there are its source, name and caption.
    """

    table: Table
    by_run: Table | None
    charts: list[_Chart]
    columns: list[tuple[RunRecord, list[_Bar]]]
    pictures: list[tuple[str, str, str]]


def make_page(tables: Sequence[Table], title: str, run_tables: Sequence[Table] = ()) -> str:
    """The page as text; `run_tables` have one row a run where `tables` average over runs."""
    details = {table.dataset: table for table in run_tables}
    sections = [
        _Section(t, details.get(t.dataset), _charts(f"chart{index}", t), _columns(t), _pictures(t))
        for index, t in enumerate(tables)
    ]
    items = [
        json_item(chart.plot, ID(chart.place))
        for section in sections
        for chart in section.charts
        if chart.plot is not None
    ]
    runs = [run for table in tables for run in table.runs]
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
    )


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
    """NLL by epoch and by each setting; `place` starts the ids of their elements."""
    settings = chart_settings(table.runs)
    runs = [r for r in table.runs if any({p.train_nll, p.valid_nll} != {None} for p in r.curve)]
    best = tuple((label_of(run, settings), hue) for run, hue in zip(runs, HUES, strict=False))
    charts = [
        _Chart(f"NLL by {s.title}", f"{place}-{index}", setting_chart(s, table.runs, settings))
        for index, s in enumerate(settings)
    ]
    if not runs:
        return charts
    curves = curves_chart(runs, settings)
    return [_Chart("NLL by epoch", place, curves, best, len(runs) - len(best)), *charts]


def _columns(table: Table) -> list[tuple[RunRecord, list[_Bar]]]:
    """The columns of the best runs, those of most nats first."""
    runs = [run for run in table.runs if run.columns][:_MAX_BY_COLUMN]
    return [(run, _bars(run.columns)) for run in runs]


def _bars(columns: Sequence[tuple[str, float, float | None]]) -> list[_Bar]:
    ranked = sorted(columns, key=lambda column: -max(column[1], column[2] or 0.0))[:_MAX_BARS]
    longest = max([1e-9, *(max(nll, counting or 0.0) for _, nll, counting in ranked)])

    def share(nll: float) -> float:
        return round(100 * max(nll, 0.0) / longest, 2)

    return [
        _Bar(
            name,
            nll,
            counting,
            share(nll),
            None if counting is None else share(counting),
            counting is not None and nll > counting,
        )
        for name, nll, counting in ranked
    ]


def _pictures(table: Table) -> list[tuple[str, str, str]]:
    """Pictures of the best runs, inside the page."""
    pictures: list[tuple[str, str, str]] = []
    for run in table.runs:
        image = _png(run.picture)
        if image is None or run.status == "failed" or len(pictures) == _MAX_PICTURES:
            continue
        settings = ", ".join(
            f"{column.title} = {cell_text(run.settings[column.key])}"
            for column in table.settings
            if column.key in run.settings
        )
        nll = "" if run.test_nll is None else f"test NLL {run.test_nll:.4f} nats. "
        source = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        pictures.append((source, run.name, nll + (settings or run.name)))
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
