"""Parallel coordinates: a line for each run, through its settings to its NLL."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bokeh.models import BoxSelectTool
from bokeh.palettes import interp_palette
from bokeh.plotting import figure

from made_exp.reporting.charts import FAILED, INK, LINE_LOOK, new_chart, tips
from made_exp.reporting.records import RunRecord
from made_exp.reporting.run_settings import short_text
from made_exp.reporting.swept import (
    Setting,
    band_text,
    is_drawable,
    near_limits,
    nll_of,
    padded,
    scored,
)

_MAX_AXES = 10
_MAX_FEW, _MAX_BANDS, _LONGEST = 6, 30, 16
_COLORS = interp_palette(("#1f63c9", "#35a3a3", "#d9a441", "#d1603f"), 32)  # best to worst


@dataclass(frozen=True)
class Axis:
    """One of the axes: where values stand between 0 and 1.

    Attributes:
        title: Of the setting, as the table has it.
        ticks: Text by place.
        low: The value at 0, its logarithm where `is_log`.
        high: The value at 1, likewise.
        is_log: Whether it is logarithmic.
        bands: What stands side by side where values are not numbers.
    """

    title: str
    ticks: dict[float, str]
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False
    bands: tuple[str, ...] = ()

    def place(self, value: Any) -> float:
        """In [0, 1]; NaN where a value has no place."""
        if self.bands:
            return (self.bands.index(band_text(value)) + 0.5) / len(self.bands)
        if not is_drawable(value) or (self.is_log and value <= 0):
            return math.nan
        share = ((math.log(value) if self.is_log else value) - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)


def parallel_chart(runs: Sequence[RunRecord], settings: Sequence[Setting]) -> figure | None:
    """Lines through the axes of the settings; those of failed runs end before the NLL.

    A box drawn over an axis is told to the page, which finds the axes' titles in the chart's tags.

    Returns:
        None where fewer than two settings differ, or no run has an NLL.
    """
    finished = scored(runs)
    failed = [run for run in runs if run.status == "failed"]
    settings = [s for s in settings if s.kind != "band" or _num_bands(s, runs) <= _MAX_BANDS]
    if len(settings) < 2 or not finished:
        return None
    settings = settings[:_MAX_AXES]
    axes = [_axis(setting, runs) for setting in settings]
    has_test = any(run.test_nll is not None for run in finished)
    title = "test NLL" if has_test else "valid NLL"
    low, high = near_limits([nll for run in finished if (nll := nll_of(run)) is not None])
    last = Axis(title, _number_ticks(low, high, False), low, high)
    plot = _frame([*axes, last])
    ranked = sorted(finished, key=lambda run: (nll_of(run), run.name))
    shares = [rank / max(1, len(ranked) - 1) for rank in range(len(ranked))]
    hues = [_COLORS[round(share * (len(_COLORS) - 1))] for share in shares]
    width = 2.0 if len(ranked) < 100 else 1.2
    for name, members, colors in (
        ("failed", failed, [FAILED] * len(failed)),
        ("runs", ranked, hues),
    ):
        rows = [
            [axis.place(run.settings.get(s.key)) for axis, s in zip(axes, settings, strict=True)]
            for run in members
        ]
        if name == "runs":
            rows = [[*row, last.place(nll_of(run))] for row, run in zip(rows, members, strict=True)]
        columns: dict[str, list[Any]] = {**tips(members, settings), "hue": colors, "ys": rows}
        columns["xs"] = [list(range(len(row))) for row in rows]
        source = {key: values[::-1] for key, values in columns.items()}  # the best above others
        dash = "dashed" if name == "failed" else "solid"
        look: dict[str, Any] = {"line_color": "hue", "line_dash": dash, "line_width": width}
        look |= {"line_alpha": 0.8 if len(ranked) < 100 else 0.4, **LINE_LOOK}
        plot.multi_line("xs", "ys", source=source, name=name, **look)
    return plot


def _num_bands(setting: Setting, runs: Sequence[RunRecord]) -> int:
    return len({band_text(run.settings.get(setting.key)) for run in runs})


def _axis(setting: Setting, runs: Sequence[RunRecord]) -> Axis:
    values = [run.settings.get(setting.key) for run in runs]
    known = [value for value in values if is_drawable(value)]
    is_log = setting.kind == "log" and min(known, default=0) > 0
    if setting.kind == "band":
        names = tuple(dict.fromkeys(map(band_text, values)))
        ticks = {(i + 0.5) / len(names): _shortened(name) for i, name in enumerate(names)}
        return Axis(setting.title, ticks, bands=names)
    # Rates of failed runs, such as 1e30, would press all others together.
    ends = [run.settings[setting.key] for run in scored(runs) if setting.key in run.settings]
    low, high = padded([math.log(value) if is_log else value for value in ends or known])
    axis = Axis(setting.title, _number_ticks(low, high, is_log), low, high, is_log)
    distinct = set(ends or known)
    if len(distinct) > _MAX_FEW:
        return axis
    return replace(axis, ticks={axis.place(value): short_text(value) for value in distinct})


def _number_ticks(low: float, high: float, is_log: bool) -> dict[float, str]:
    """Round numbers by their place; on a logarithmic axis the ends are logarithms."""
    span = high - low
    if is_log and span > math.log(100):
        powers = range(math.ceil(low / math.log(10)), math.floor(high / math.log(10)) + 1)
        every = max(1, len(powers) // _MAX_FEW)
        numbers = [10.0**power for power in powers[::every]]
    else:
        first, end = (math.exp(low), math.exp(high)) if is_log else (low, high)
        step = 10.0 ** math.floor(math.log10((end - first) / 4))
        step *= next(m for m in (1, 2, 5, 10) if (end - first) / (m * step) <= _MAX_FEW + 1)
        numbers = [step * i for i in range(math.ceil(first / step), math.floor(end / step) + 1)]
    return {((math.log(n) if is_log else n) - low) / span: f"{n:.6g}" for n in numbers}


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:7]}…{text[-8:]}"


def _frame(axes: Sequence[Axis]) -> figure:
    """The empty chart: upright axes, each with its title below."""
    last = len(axes) - 1
    options: dict[str, Any] = {"x_range": (-0.45, last + 0.3), "tags": [a.title for a in axes]}
    plot = new_chart("", "", (-0.13, 1.04), **options)
    plot.axis.visible = plot.grid.visible = False
    places = list(range(len(axes)))
    plot.segment(places, 0, places, 1, line_color=INK, level="annotation")
    titles = [(i, -0.04, _shortened(axis.title)) for i, axis in enumerate(axes)]
    ticks = [(i, at, text) for i, axis in enumerate(axes) for at, text in axis.ticks.items()]
    for texts, anchor, style in ((titles, "top_center", "bold"), (ticks, "center_right", "normal")):
        x, y, text = zip(*texts, strict=True)
        source = {"x": x, "y": y, "text": text}
        look: dict[str, Any] = {"anchor": anchor, "text_font_style": style, "text_color": INK}
        look |= {"text_font_size": "12px", "padding": 2, "background_fill_alpha": 0.75}
        # What stands among the lines has the page's colour behind it, which the page sets.
        plot.text(
            source=source, x_offset=-5 * (texts is ticks), level="overlay", name="text", **look
        )
    box = BoxSelectTool(renderers=[], description="choose values")
    plot.toolbar.tools = [
        tool for tool in plot.tools if type(tool).__name__ in ("HoverTool", "SaveTool")
    ]
    plot.add_tools(box)
    plot.toolbar.active_drag = box
    return plot
