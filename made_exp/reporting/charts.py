"""The charts of the page: NLL by epoch, and NLL against each setting that differs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, TypeGuard

import numpy as np
from bokeh.models import FixedTicker, HoverTool, NoOverlap, PlainText, Range1d
from bokeh.plotting import figure

from made_exp.reporting.records import RunRecord
from made_exp.reporting.run_files import CurvePoint
from made_exp.reporting.run_settings import cell_text, differing_settings, is_number
from made_exp.reporting.summary import short_titles
from made_exp.reporting.tables import printable

HUES = ("#3b82c4", "#e07b1a", "#2f9e6b", "#d1483f", "#8f63c9", "#1798ab", "#b58a2b", "#c95a96")
_INK, _OTHER, _FAILED = "#7b8696", "#9aa4b2", "#d1483f"  # to be seen on white and on black
_MAX_POINTS = 200
_MAX_SETTINGS = 24
_MAX_TICKS = 7
_RATES = ("lr", "weight_decay", "eps", "rate", "min_lr")
_LOG_RATIO = 20.0
_TIP = ("run", "test", "valid", "status")


@dataclass(frozen=True)
class Setting:
    """A setting that differs between runs: its name, its title and how it is drawn."""

    key: str
    title: str
    kind: str


def chart_settings(runs: Sequence[RunRecord]) -> list[Setting]:
    """The settings to draw the NLL of these runs against."""
    keys = differing_settings([run.settings for run in runs])[:_MAX_SETTINGS]
    return [
        Setting(key, printable(title), chart_kind(key, runs))
        for key, title in short_titles(keys).items()
    ]


def chart_kind(key: str, runs: Sequence[RunRecord]) -> str:
    """How to draw a setting: "log" for rates and wide ranges, "linear", or "band" for text."""
    values = [run.settings[key] for run in runs if key in run.settings and run.status != "failed"]
    if not values or not all(_is_drawable(value) for value in values):
        return "band"
    positive = [value for value in values if value > 0]
    if min(values) < 0 or not positive:
        return "linear"
    is_rate = key.rsplit(".", 1)[-1] in _RATES
    return "log" if is_rate or max(positive) / min(positive) >= _LOG_RATIO else "linear"


def _is_drawable(value: Any) -> TypeGuard[float]:
    return is_number(value) and abs(value) < 1e200  # far from where floats end


def label_of(run: RunRecord, settings: Sequence[Setting]) -> str:
    """What distinguishes a run: the settings that differ, or its name where none does."""
    known = [setting for setting in settings if setting.key in run.settings]
    return printable(
        " · ".join(f"{s.title} {cell_text(run.settings[s.key])}" for s in known) or run.name
    )


def thinned(curve: Sequence[CurvePoint]) -> list[CurvePoint]:
    """At most a few hundred evenly spread points of a curve, its first and last among them."""
    step = max(1, math.ceil(len(curve) / _MAX_POINTS))
    kept = list(curve[::step])
    return kept if not curve or kept[-1] is curve[-1] else [*kept, curve[-1]]


def curves_chart(runs: Sequence[RunRecord], settings: Sequence[Setting]) -> figure:
    """Valid NLL by epoch, best run first in `HUES`, and training NLL, which is hidden at first.

    One of the runs has an NLL. The tags of the chart are the lowest and the highest NLL that bring
    all points in sight.
    """
    points = [point for run in runs for point in run.curve]
    every = [nll for p in points for nll in (p.train_nll, p.valid_nll) if nll is not None]
    ends = [p.valid_nll for p in points if p.valid_nll is not None] or every
    # Where the curves end, not the heights from which they fall.
    low, middle = min(ends), median(ends)
    limits = _padded([low, min(max(ends), middle + 3 * (middle - low))])
    plot = _new_chart("epoch", "valid NLL (nats)", limits, tags=list(_padded(every)))
    hues = [*HUES, *[_OTHER] * len(runs)]
    for kind, dash in (("train", "dotted"), ("valid", "solid")):
        lines = [_line(run, kind) for run in runs]
        columns = _tips(runs, settings) | {
            "xs": [line[:, 0] for line in lines],
            "ys": [line[:, 1] for line in lines],
            "hue": hues[: len(runs)],
        }
        # The best are drawn last, above the others.
        source = {name: values[::-1] for name, values in columns.items()}
        look: dict[str, Any] = {"line_color": "hue", "line_dash": dash, "line_width": 1.8}
        look |= {"hover_line_color": "hue", "hover_line_width": 4, "nonselection_line_alpha": 0.15}
        plot.multi_line("xs", "ys", source=source, name=kind, visible=kind == "valid", **look)
    return plot


def _line(run: RunRecord, kind: str) -> np.ndarray:
    """(epoch, NLL) of a run as (E, 2) float32; one evaluation alone becomes a dash."""
    points = [
        (point.epoch, nll)
        for point in thinned(run.curve)
        if (nll := point.train_nll if kind == "train" else point.valid_nll) is not None
    ]
    if len(points) == 1:
        points.append((points[0][0] + 0.1, points[0][1]))
    return np.array(points, np.float32).reshape(-1, 2)


def setting_chart(
    setting: Setting, runs: Sequence[RunRecord], settings: Sequence[Setting]
) -> figure | None:
    """NLL with its standard error by the values of a setting; failed runs are crosses at the top.

    Returns:
        None where no run that has the setting has finished.
    """
    known = [run for run in runs if setting.key in run.settings]
    if setting.kind != "band":
        known = [run for run in known if _is_drawable(run.settings[setting.key])]
    failed = [run for run in known if run.status == "failed"]
    scored = [run for run in known if run.status != "failed" and _nll(run) is not None]
    if not scored:
        return None
    nll = np.array([_nll(run) for run in scored], np.float64)
    errors = np.array([run.test_nll_stderr or 0.0 for run in scored])
    low, high = _padded([*(nll - errors), *(nll + errors)])
    high += 0.1 * (high - low) * bool(failed)
    place, axis = _axis(setting, scored, known)
    title = f"{setting.title} (log scale)" if "x_axis_type" in axis else setting.title
    plot = _new_chart(title, "test NLL (nats)", (low, high), **axis)
    plot.xaxis.major_label_policy = NoOverlap()
    x = [place(run.settings[setting.key]) for run in scored]
    places = {float(value): cell_text(value) for value in x if is_number(value)}
    if 0 < len(places) <= _MAX_TICKS:  # else as the axis pleases
        plot.xaxis.ticker = FixedTicker(ticks=sorted(places))
        plot.xaxis.major_label_overrides = dict(places.items())
    plot.line(*_means(x, nll.tolist()), color=HUES[0], alpha=0.4)
    dots = _tips(scored, settings) | {"x": x, "nll": nll}
    dots |= {"below": nll - errors, "above": nll + errors}
    plot.segment("x", "below", "x", "above", source=dots, color=HUES[0], alpha=0.5)
    named = plot.scatter("x", "nll", source=dots, size=9, color=HUES[0], alpha=0.8, name="runs")
    crosses: dict[str, Any] = _tips(failed, settings)
    crosses["x"] = [place(run.settings[setting.key]) for run in failed]
    crosses["nll"] = [high - 0.06 * (high - low)] * len(failed)
    look: dict[str, Any] = {"marker": "x", "line_width": 2, "color": _FAILED}
    others = plot.scatter("x", "nll", source=crosses, size=9, name="failed", **look)
    plot.hover.renderers = [named, others]
    return plot


def _axis(
    setting: Setting, scored: Sequence[RunRecord], known: Sequence[RunRecord]
) -> tuple[Callable[[Any], float | str], dict[str, Any]]:
    """Where a value of a setting stands, and the options of its axis.

    Numbers of failed runs may stand at the edge. Zero has no logarithm: with zeros among them,
    numbers that would be on a logarithmic axis are bands.
    """
    values = [run.settings[setting.key] for run in scored]
    if setting.kind == "band" or (setting.kind == "log" and 0 in values):
        names = [run.settings[setting.key] for run in known]
        names = names if setting.kind == "band" else sorted(names)
        return _text, {"x_range": list(dict.fromkeys(map(_text, names)))}
    low, high = _padded(values)
    options: dict[str, Any] = {}
    if setting.kind == "log":
        options["x_axis_type"] = "log"
        low, high = (math.exp(end) for end in _padded([math.log(value) for value in values]))
    return lambda value: min(max(value, low), high), {**options, "x_range": (low, high)}


def _nll(run: RunRecord) -> float | None:
    return run.valid_nll if run.test_nll is None else run.test_nll


def _text(value: Any) -> str:
    """The name of a value's band: no longer than fits, with its end, which tells files apart."""
    text = printable(cell_text(value)) or "none"
    return text if len(text) <= 40 else f"{text[:19]}…{text[-20:]}"


def _means(x: Sequence[float | str], nll: Sequence[float]) -> tuple[list[Any], list[float]]:
    """Mean NLL by place; none where almost every run has a place of its own."""
    groups: dict[float | str, list[float]] = {}
    for place, value in zip(x, nll, strict=True):
        groups.setdefault(place, []).append(value)
    if len(groups) > max(12, len(nll) / 2):
        return [], []
    places = list(groups) if isinstance(x[0], str) else sorted(groups, key=float)
    return places, [fmean(groups[place]) for place in places]


def _tips(runs: Sequence[RunRecord], settings: Sequence[Setting]) -> dict[str, list[Any]]:
    """What is shown of each run under the pointer, by name of the column."""

    def nats(value: float | None, error: float | None = None) -> str:
        if value is None:
            return "unknown"
        return f"{value:.4f}" + (f" ± {error:.4f}" if error is not None else "") + " nats"

    return {
        "run": [label_of(run, settings) for run in runs],
        "test": [nats(run.test_nll, run.test_nll_stderr) for run in runs],
        "valid": [nats(run.valid_nll) for run in runs],
        "status": [run.status for run in runs],
    }


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.07 * (high - low) or 0.02 * abs(high) or 0.5
    return low - pad, high + pad


def _new_chart(x_title: str, y_title: str, y_range: tuple[float, float], **options: Any) -> figure:
    """An empty chart as wide as its place, see-through, with a tool tip of the columns `_TIP`."""
    plot = figure(
        height=320,
        sizing_mode="stretch_width",
        y_range=Range1d(start=y_range[0], end=y_range[1]),
        tools="pan,box_zoom,wheel_zoom,tap,reset,save",
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
    plot.ygrid.grid_line_color, plot.ygrid.grid_line_alpha = _INK, 0.2
    for axis, title in ((plot.xaxis, x_title), (plot.yaxis, y_title)):
        axis.axis_label = PlainText(text=title)  # never read as mathematics
        axis.axis_label_text_color = axis.major_label_text_color = _INK
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.axis_line_color = axis.major_tick_line_color = _INK
        axis.minor_tick_line_color = None
    return plot
