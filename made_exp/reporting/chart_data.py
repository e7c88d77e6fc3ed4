"""What the charts of the page need of a table, as plain JSON values."""

import math
from collections.abc import Sequence
from typing import Any

from made_exp.reporting.cells import cell_text
from made_exp.reporting.records import RunRecord
from made_exp.reporting.run_files import CurvePoint
from made_exp.reporting.summary import Table, differing_settings, short_titles
from made_exp.reporting.tables import one_line

_MAX_POINTS = 200
_MAX_SETTINGS = 24
_RATES = ("lr", "weight_decay", "eps", "rate", "min_lr")
_LOG_RATIO = 20.0


def chart_data(table: Table) -> dict[str, Any]:
    """Runs with their curves, best first, and the settings to draw the NLL against."""
    keys = differing_settings(table.runs)[:_MAX_SETTINGS]
    titles = short_titles(keys)
    settings = [
        {"key": key, "title": one_line(titles[key]), "kind": chart_kind(key, table.runs)}
        for key in keys
    ]
    kinds = {str(setting["key"]): str(setting["kind"]) for setting in settings}
    return {"settings": settings, "runs": [_run(run, kinds, titles) for run in table.runs]}


def chart_kind(key: str, runs: Sequence[RunRecord]) -> str:
    """How to draw a setting: "log" for rates and wide ranges, "linear", or "band" for text."""
    values = [run.settings[key] for run in runs if key in run.settings and run.status != "failed"]
    if not values or not all(_is_number(value) for value in values):
        return "band"
    positive = [value for value in values if value > 0]
    if min(values) < 0 or not positive:
        return "linear"
    is_rate = key.rsplit(".", 1)[-1] in _RATES
    return "log" if is_rate or max(positive) / min(positive) >= _LOG_RATIO else "linear"


def _run(run: RunRecord, kinds: dict[str, str], titles: dict[str, str]) -> dict[str, Any]:
    known = {key: run.settings[key] for key in kinds if key in run.settings}
    texts = {key: one_line(cell_text(value)) for key, value in known.items()}
    return {
        "name": one_line(run.name),
        "label": " · ".join(f"{one_line(titles[key])} {text}" for key, text in texts.items()),
        "status": run.status,
        "test": run.test_nll,
        "stderr": run.test_nll_stderr,
        "valid": run.valid_nll,
        "settings": {
            key: texts[key] if kinds[key] == "band" else value
            for key, value in known.items()
            if kinds[key] == "band" or _is_number(value)
        },
        "texts": texts,
        "curve": [[p.epoch, p.train_nll, p.valid_nll] for p in thinned(run.curve)],
    }


def thinned(curve: Sequence[CurvePoint]) -> list[CurvePoint]:
    """At most a few hundred evenly spread points of a curve, its first and last among them."""
    step = max(1, math.ceil(len(curve) / _MAX_POINTS))
    kept = list(curve[::step])
    return kept if not curve or kept[-1] is curve[-1] else [*kept, curve[-1]]


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300
