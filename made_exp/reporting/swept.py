"""Settings that differ between runs, and where their values stand on an axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeGuard

from made_exp.reporting.records import RunRecord
from made_exp.reporting.run_settings import cell_text, differing_settings, is_number, short_text
from made_exp.reporting.summary import short_titles
from made_exp.reporting.tables import printable

_MAX_SETTINGS = 24
_RATES = ("lr", "weight_decay", "eps", "rate", "min_lr")
_LOG_RATIO = 20.0


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
    if not values or not all(is_drawable(value) for value in values):
        return "band"
    positive = [value for value in values if value > 0]
    if min(values) < 0 or not positive:
        return "linear"
    is_rate = key.rsplit(".", 1)[-1] in _RATES
    return "log" if is_rate or max(positive) / min(positive) >= _LOG_RATIO else "linear"


def is_drawable(value: Any) -> TypeGuard[float]:
    """Whether a value has a place on an axis of numbers."""
    return is_number(value) and abs(value) < 1e200  # far from where floats end


def label_of(run: RunRecord, settings: Sequence[Setting]) -> str:
    """What distinguishes a run: the settings that differ, or its name where none does."""
    known = [setting for setting in settings if setting.key in run.settings]
    return printable(
        " · ".join(f"{s.title} {short_text(run.settings[s.key])}" for s in known) or run.name
    )


def nll_of(run: RunRecord) -> float | None:
    """Test NLL in nats, else valid NLL."""
    return run.valid_nll if run.test_nll is None else run.test_nll


def scored(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that have an NLL and have not failed."""
    return [run for run in runs if run.status != "failed" and nll_of(run) is not None]


def band_text(value: Any) -> str:
    """The name of a value's band: no longer than fits, with its end, which tells files apart."""
    text = printable(cell_text(value)) or "none"
    return text if len(text) <= 40 else f"{text[:19]}…{text[-20:]}"


def padded(values: Sequence[float]) -> tuple[float, float]:
    """Limits a little outside of `values`."""
    low, high = min(values), max(values)
    pad = 0.07 * (high - low) or 0.02 * abs(high) or 0.5
    return low - pad, high + pad


def near_limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits of what matters: from the least to three times as far as the median is from it."""
    low, middle = min(values), median(values)
    return padded([low, min(max(values), middle + 3 * (middle - low))])
