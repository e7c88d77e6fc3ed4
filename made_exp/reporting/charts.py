"""The charts of the page: how all look, and NLL against each setting that differs."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, NoOverlap, PlainText, Range1d
from bokeh.plotting import figure

from made_exp.reporting.records import RunRecord
from made_exp.reporting.run_settings import is_number, short_text
from made_exp.reporting.swept import (
    Setting,
    band_text,
    is_drawable,
    label_of,
    nll_of,
    padded,
    scored,
)
from made_exp.reporting.tables import printable

HUES = ("#3b82c4", "#e07b1a", "#2f9e6b", "#d1483f", "#8f63c9", "#1798ab", "#b58a2b", "#c95a96")
INK, OTHER, FAILED = "#7b8696", "#9aa4b2", "#d1483f"  # to be seen on white and on black
LINE_LOOK: dict[str, Any] = {
    "hover_line_color": "hue",
    "hover_line_width": 4,
    "hover_line_alpha": 1,
    "nonselection_line_alpha": 0.07,
    "muted_line_alpha": 0.07,
}
"""Of lines of runs: those that are filtered out are faint, that under the pointer is thick."""

_DOT_LOOK: dict[str, Any] = {"nonselection_alpha": 0.07, "muted_alpha": 0.07}
_MAX_TICKS = 7
_TIP = ("run", "test", "valid", "status", "folder")


def setting_chart(
    setting: Setting, runs: Sequence[RunRecord], settings: Sequence[Setting]
) -> figure | None:
    """NLL with its standard error by the values of a setting; failed runs are crosses at the top.

    Returns:
        None where no run that has the setting has finished.
    """
    known = [run for run in runs if setting.key in run.settings]
    if setting.kind != "band":
        known = [run for run in known if is_drawable(run.settings[setting.key])]
    failed = [run for run in known if run.status == "failed"]
    shown = scored(known)
    if not shown:
        return None
    nll = np.array([nll_of(run) for run in shown], np.float64)
    errors = np.array([run.test_nll_stderr or 0.0 for run in shown])
    low, high = padded([*(nll - errors), *(nll + errors)])
    high += 0.1 * (high - low) * bool(failed)
    place, axis = _axis(setting, shown, known)
    title = f"{setting.title} (log scale)" if "x_axis_type" in axis else setting.title
    plot = new_chart(title, "test NLL (nats)", (low, high), **axis)
    plot.xaxis.major_label_policy = NoOverlap()
    x = [place(run.settings[setting.key]) for run in shown]
    places = {float(value): short_text(value) for value in x if is_number(value)}
    if 0 < len(places) <= _MAX_TICKS:  # else as the axis pleases
        plot.xaxis.ticker = FixedTicker(ticks=sorted(places))
        plot.xaxis.major_label_overrides = dict(places.items())
    plot.line(*_means(x, nll.tolist()), color=HUES[0], alpha=0.4)
    dots = tips(shown, settings) | {"x": x, "nll": nll}
    dots |= {"below": nll - errors, "above": nll + errors}
    source = ColumnDataSource(dots)
    alpha = 0.8 if len(shown) < 100 else 0.4
    look: dict[str, Any] = {"source": source, "color": HUES[0], **_DOT_LOOK}
    plot.segment("x", "below", "x", "above", alpha=alpha / 2, name="errors", **look)
    named = plot.scatter("x", "nll", size=9, alpha=alpha, name="runs", **look)
    crosses: dict[str, Any] = tips(failed, settings)
    crosses["x"] = [place(run.settings[setting.key]) for run in failed]
    crosses["nll"] = [high - 0.06 * (high - low)] * len(failed)
    look = {"marker": "x", "line_width": 2, "color": FAILED, **_DOT_LOOK}
    others = plot.scatter("x", "nll", source=crosses, size=9, name="failed", **look)
    plot.hover.renderers = [named, others]
    return plot


def _axis(
    setting: Setting, shown: Sequence[RunRecord], known: Sequence[RunRecord]
) -> tuple[Callable[[Any], float | str], dict[str, Any]]:
    """Where a value of a setting stands, and the options of its axis.

    Numbers of failed runs may stand at the edge. Zero has no logarithm: with zeros among them,
    numbers that would be on a logarithmic axis are bands.
    """
    values = [run.settings[setting.key] for run in shown]
    if setting.kind == "band" or (setting.kind == "log" and 0 in values):
        names = [run.settings[setting.key] for run in known]
        names = names if setting.kind == "band" else sorted(names)
        return band_text, {"x_range": list(dict.fromkeys(map(band_text, names)))}
    low, high = padded(values)
    options: dict[str, Any] = {}
    if setting.kind == "log":
        options["x_axis_type"] = "log"
        low, high = (math.exp(end) for end in padded([math.log(value) for value in values]))
    return lambda value: min(max(value, low), high), {**options, "x_range": (low, high)}


def _means(x: Sequence[float | str], nll: Sequence[float]) -> tuple[list[Any], list[float]]:
    """Mean NLL by place; none where almost every run has a place of its own."""
    groups: dict[float | str, list[float]] = {}
    for place, value in zip(x, nll, strict=True):
        groups.setdefault(place, []).append(value)
    if len(groups) > max(12, len(nll) / 2):
        return [], []
    places = list(groups) if isinstance(x[0], str) else sorted(groups, key=float)
    return places, [fmean(groups[place]) for place in places]


def tips(runs: Sequence[RunRecord], settings: Sequence[Setting]) -> dict[str, list[Any]]:
    """What is shown of each run under the pointer, by name of the column; `folder` is its key."""

    def nats(value: float | None, error: float | None = None) -> str:
        if value is None:
            return "unknown"
        return f"{value:.4f}" + (f" ± {error:.4f}" if error is not None else "") + " nats"

    return {
        "run": [label_of(run, settings) for run in runs],
        "test": [nats(run.test_nll, run.test_nll_stderr) for run in runs],
        "valid": [nats(run.valid_nll) for run in runs],
        "status": [run.status for run in runs],
        "folder": [printable(run.name) for run in runs],
    }


def new_chart(
    x_title: str, y_title: str, y_range: tuple[float, float] | list[str], **options: Any
) -> figure:
    """An empty chart as wide as its place, see-through, with a tool tip of the columns `_TIP`."""
    if isinstance(y_range, tuple):
        options["y_range"] = Range1d(start=y_range[0], end=y_range[1])
    else:
        options["y_range"] = y_range
    plot = figure(
        height=320,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset,save",
        toolbar_location="above",
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_alpha=0,
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.add_tools(HoverTool(tooltips=[(name, f"@{name}") for name in _TIP]))
    plot.xgrid.visible = False
    plot.ygrid.grid_line_color, plot.ygrid.grid_line_alpha = INK, 0.2
    for axis, title in ((plot.xaxis, x_title), (plot.yaxis, y_title)):
        axis.axis_label = PlainText(text=title)  # never read as mathematics
        axis.axis_label_text_color = axis.major_label_text_color = INK
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.axis_line_color = axis.major_tick_line_color = INK
        axis.minor_tick_line_color = None
    return plot
