"""The chart of learning curves: NLL by epoch of the best runs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.plotting import figure

from made_exp.reporting.charts import HUES, LINE_LOOK, OTHER, new_chart, tips
from made_exp.reporting.records import RunRecord
from made_exp.reporting.run_files import CurvePoint
from made_exp.reporting.swept import Setting, near_limits, padded

MAX_CURVES = 60
_MAX_POINTS = 200


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
    plot = new_chart("epoch", "valid NLL (nats)", near_limits(ends), tags=list(padded(every)))
    hues = [*HUES, *[OTHER] * len(runs)]
    for kind, dash in (("train", "dotted"), ("valid", "solid")):
        lines = [_line(run, kind) for run in runs]
        columns = tips(runs, settings) | {
            "xs": [line[:, 0] for line in lines],
            "ys": [line[:, 1] for line in lines],
            "hue": hues[: len(runs)],
            "width": [2.0 if hue != OTHER else 1.0 for hue in hues[: len(runs)]],
        }
        # The best are drawn last, above the others.
        source = {name: values[::-1] for name, values in columns.items()}
        look: dict[str, Any] = {"line_color": "hue", "line_dash": dash, "line_width": "width"}
        look |= LINE_LOOK
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
