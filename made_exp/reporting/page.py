"""One HTML page about many runs that needs no network and trusts no name or value in it."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from made_exp.reporting.cells import cell_text
from made_exp.reporting.chart_data import chart_data
from made_exp.reporting.records import RunRecord
from made_exp.reporting.summary import Column, Row, Table
from made_exp.reporting.tables import formatted, is_numeric, one_line, problem_lines

_ASSETS = Path(__file__).parent / "assets"
_MAX_PICTURES = 6
_MAX_PICTURE_BYTES = 3_000_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make_page(tables: Sequence[Table], title: str, run_tables: Sequence[Table] = ()) -> str:
    """The page as text.

    Args:
        tables: One table a dataset, as it is to be shown.
        title: The page's title.
        run_tables: Where `tables` average over runs, the tables with one row a run.
    """
    details = {table.dataset: table for table in run_tables}
    style = (_ASSETS / "page.css").read_text()
    script = "\n".join((_ASSETS / name).read_text() for name in ("table.js", "charts.js"))
    body = [_head(tables, title)]
    for index, table in enumerate(tables):
        body += _section(index, table, details.get(table.dataset))
    body.append(_problems(tables))
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    body.append(f"<footer>Written by made-report on {now}. NLL in nats per example.</footer>")
    data = json_for_script([chart_data(table) for table in tables])
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">'
        f"<title>{escape(title)}</title>"
        f"<style>{style}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + '\n</main><div id="tip" hidden></div>\n'
        f'<script type="application/json" id="data">{data}</script>\n'
        f"<script>{script}</script></body></html>\n"
    )


def json_for_script(content: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end the element."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _policy(style: str, script: str) -> str:
    """A policy under which the browser runs this page's own script and loads nothing."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{digest(style)}'; script-src 'sha256-{digest(script)}'"
    )


def _head(tables: Sequence[Table], title: str) -> str:
    runs = [run for table in tables for run in table.runs]
    states = Counter(run.status for run in runs)
    seconds = sum(run.seconds or 0.0 for run in runs)
    tiles = [(str(len(runs)), "runs")]
    tiles += [(str(count), state) for state, count in sorted(states.items())]
    tiles.append((_duration(seconds), "of training in all"))
    links = "".join(
        f'<a href="#dataset{index}">{escape(one_line(table.dataset))}</a>'
        for index, table in enumerate(tables)
    )
    if problem_lines(tables):
        links += '<a href="#problems">failures</a>'
    return (
        f"<h1>{escape(one_line(title))}</h1>"
        '<p class="lead">Negative log-likelihood in nats per example; lower is better.</p>'
        f"<nav>{links}</nav>{_tiles(tiles)}"
    )


def _tiles(tiles: Sequence[tuple[str, str]]) -> str:
    inner = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(one_line(label))}</span></div>'
        for value, label in tiles
    )
    return f'<div class="tiles">{inner}</div>'


def _section(index: int, table: Table, by_run: Table | None) -> list[str]:
    parts = [f'<h2 id="dataset{index}">{escape(one_line(table.dataset))}</h2>']
    parts.append(_card("Runs" if by_run is None else "Averages", _html_table(table)))
    if by_run is not None:
        parts.append(_card("Single runs", _html_table(by_run)))
    points = [point for run in table.runs for point in run.curve]
    known = any(p.train_nll is not None or p.valid_nll is not None for p in points)
    charts = [_curves(index)] if known else []
    for position, setting in enumerate(chart_data(table)["settings"]):
        heading = f"NLL by {setting['title']}"
        chart = f'<div class="chart" data-table="{index}" data-setting="{position}"></div>'
        charts.append(_card(heading, chart))
    if charts:
        parts.append(f'<div class="charts">{"".join(charts)}</div>')
    pictures = _pictures(table)
    if pictures:
        parts.append(_card("Samples of the best runs", f'<div class="pictures">{pictures}</div>'))
    return parts


def _card(heading: str, content: str) -> str:
    return f'<section class="card"><h3>{escape(one_line(heading))}</h3>{content}</section>'


def _curves(index: int) -> str:
    toggles = "".join(
        f'<label class="toggle"><input type="checkbox"> {label}</label>'
        for label in ("whole range", "training NLL (dotted)")
    )
    chart = f'<div class="chart" data-table="{index}"></div>'
    return _card("NLL by epoch", f"{chart}<p class='note'>{toggles}</p>")


def _html_table(table: Table) -> str:
    numeric = {column.key: is_numeric(column, table) for column in table.columns}
    heads = "".join(
        f'<th scope="col" title="{escape(one_line(column.key))}"{_class(numeric[column.key])}>'
        f'<button type="button">{escape(one_line(column.title))}</button></th>'
        for column in table.columns
    )
    rows = "".join(
        "<tr>"
        + "".join(_cell(column, row, table, numeric[column.key]) for column in table.columns)
        + "</tr>"
        for row in table.rows
    )
    return (
        '<div class="scroll"><table class="sortable"><thead><tr>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _cell(column: Column, row: Row, table: Table, numeric: bool) -> str:
    text, value = formatted(column, row, table), row.cells.get(column.key)
    key = repr(value) if numeric and value is not None else cell_text(value)
    attributes = _class(numeric)
    if column.key == "status" and text.isalpha():
        attributes = f' class="status-{escape(text)}"'
    if column.key == "run":
        attributes = ' class="run"'
    return f'<td data-sort="{escape(one_line(key))}"{attributes}>{escape(text)}</td>'


def _pictures(table: Table) -> str:
    """Pictures of the best runs, inside the page."""
    figures: list[str] = []
    titles = {column.key: column.title for column in table.settings}
    for run in table.runs:
        image = _png(run.picture)
        if image is None or run.status == "failed" or len(figures) == _MAX_PICTURES:
            continue
        settings = ", ".join(
            f"{title} = {cell_text(run.settings[key])}"
            for key, title in titles.items()
            if key in run.settings
        )
        nll = "" if run.test_nll is None else f"test NLL {run.test_nll:.4f} nats. "
        caption = escape(one_line(f"{nll}{settings or run.name}"))
        source = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        figures.append(
            f'<figure><img src="{source}" alt="Samples of {escape(one_line(run.name))}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return "".join(figures)


def _png(path: Path | None) -> bytes | None:
    try:
        content = b"" if path is None else path.read_bytes()
    except OSError:
        return None
    is_picture = content.startswith(_PNG_SIGNATURE) and len(content) <= _MAX_PICTURE_BYTES
    return content if is_picture else None


def _problems(tables: Sequence[Table]) -> str:
    items = [
        _problem(run)
        for table in tables
        for run in table.runs
        if run.problems or run.error or run.traceback or run.status not in ("completed", "running")
    ]
    if not items:
        return ""
    return f'<h2 id="problems">Failures</h2><section class="card">{"".join(items)}</section>'


def _problem(run: RunRecord) -> str:
    lines = [*run.problems, *([run.error] if run.error else [])]
    first = one_line(lines[0]) if lines else "no message was left"
    more = "".join(f"<p>{escape(one_line(line))}</p>" for line in lines[1:])
    trace = f"<pre>{escape(run.traceback)}</pre>" if run.traceback else ""
    place = escape(one_line(str(run.path).encode(errors="replace").decode()))
    return (
        f"<details><summary><b>{escape(one_line(run.name))}</b> {escape(run.status)}: "
        f'<span class="error">{escape(first)}</span></summary>'
        f'{more}{trace}<p class="note">{place}</p></details>'
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
