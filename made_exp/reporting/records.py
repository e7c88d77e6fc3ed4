"""What the files of one run say, whether it finished, crashed or left half of a file."""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from made_exp.reporting.run_files import (
    CurvePoint,
    number_in,
    read_curve,
    read_list,
    read_object,
    read_traceback,
    text_in,
)
from made_exp.reporting.run_settings import flatten, settings_of
from made_exp.runs.folder import RunDirectory

_STALE_SECONDS = 15 * 60


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        name: Path of the run's folder, relative to the folder that is reported.
        path: The folder; it may be missing where a sweep knows of the job only.
        status: completed, failed, stopped, running, unfinished (its process has died, or gave no
            sign of life for a quarter of an hour) or damaged (its results cannot be read).
        settings: By dotted name; of runs that failed early only what was given on the command
            line.
        is_complete_config: Whether `settings` are all settings.
        test_nll: Nats per example.
        test_nll_stderr: Standard error over the test examples.
        valid_nll: Nats per example, the best so far where the run is not finished.
        shared_with_train: Share of the test rows that also stand in train.
        columns: Of each column of test its name, its NLL and that by counting its values.
        epochs: Epochs trained.
        seconds: Of training.
        dataset: The data's name; "" where unknown.
        curve: The evaluations, in order.
        picture: The latest picture of samples.
        error: One line on why it failed.
        traceback: The end of the traceback in its log.
        problems: What could not be read, one line each.
    """

    name: str
    path: Path
    status: str
    settings: dict[str, Any] = field(default_factory=dict)
    is_complete_config: bool = False
    test_nll: float | None = None
    test_nll_stderr: float | None = None
    valid_nll: float | None = None
    shared_with_train: float | None = None
    columns: tuple[tuple[str, float, float | None], ...] = ()
    epochs: int | None = None
    seconds: float | None = None
    dataset: str = ""
    curve: tuple[CurvePoint, ...] = ()
    picture: Path | None = None
    error: str = ""
    traceback: str = ""
    problems: tuple[str, ...] = ()


def read_run(path: Path, name: str, entry: Mapping[str, Any] | None = None) -> RunRecord:
    """The run in folder `path`, of which the results file of its sweep may say `entry`."""
    run, problems, entry = RunDirectory(path), list[str](), entry or {}
    results, status = read_object(run.results, problems), read_object(run.status, problems)
    if unchecked := results.get("unchecked"):
        problems.append(f"unchecked results: {', '.join(map(str, unchecked))} failed")
    settings, is_complete = _settings(run, entry, problems)
    curve = read_curve(run.metrics, problems)
    state = _state(run, results, status, entry)
    best = min((p.valid_nll for p in curve if p.valid_nll is not None), default=None)
    epochs = _first(number_in(results, "epochs"), *(p.epoch for p in curve[-1:]))
    failed = state in ("failed", "damaged", "unfinished", "stopped")
    return RunRecord(
        name=name,
        path=path,
        status=state,
        settings=settings,
        is_complete_config=is_complete,
        test_nll=number_in(results, "test", "nll"),
        test_nll_stderr=number_in(results, "test", "nll_stderr"),
        valid_nll=_first(number_in(results, "valid", "nll"), best),
        shared_with_train=number_in(results, "shared_with_train", "test"),
        columns=_columns(results),
        epochs=None if epochs is None else int(epochs),
        seconds=_first(number_in(results, "train_seconds"), *(p.seconds for p in curve[::-1])),
        dataset=text_in(settings, "dataset.name") or text_in(results, "dataset"),
        curve=curve,
        picture=_picture(run),
        error=_error(run, state, status, entry) if failed else "",
        traceback=read_traceback(path) if failed else "",
        problems=tuple(problems),
    )


def _columns(results: Mapping[str, Any]) -> tuple[tuple[str, float, float | None], ...]:
    test = results.get("test")
    names = test.get("columns") if isinstance(test, Mapping) else None
    found = ((str(name), number_in(results, "test", "columns", name), name) for name in names or ())
    return tuple(
        (text, nll, number_in(results, "baselines", "columns", name))
        for text, nll, name in found
        if nll is not None
    )


def _first(*numbers: float | None) -> float | None:
    """The first number that is known."""
    return next((number for number in numbers if number is not None), None)


def _state(
    run: RunDirectory,
    results: Mapping[str, Any],
    status: Mapping[str, Any],
    entry: Mapping[str, Any],
) -> str:
    if results:
        split = "valid" if results.get("test", {}) is None else "test"
        if number_in(results, split, "nll") is None and not _is_infinite(results):
            return "damaged"
        return "failed" if results.get("status") == "failed" else "completed"
    state = text_in(status, "state")
    if run.results.exists() or state == "completed":
        return "damaged"
    if state in ("failed", "stopped"):
        return state
    if entry.get("status") == "failed":
        return "failed"
    return "running" if _is_alive(run) else "unfinished"


def _error(
    run: RunDirectory, state: str, status: Mapping[str, Any], entry: Mapping[str, Any]
) -> str:
    told = text_in(status, "error") or text_in(entry, "error")
    if told or state != "unfinished" or not run.status.exists():
        return told
    return f"nobody works on it: {shlex.join(['made-train', f'resume={run.path}'])} goes on"


def _is_infinite(results: Mapping[str, Any]) -> bool:
    """Whether an example of test has probability zero; JSON has no word for the NLL then."""
    test, outliers = results.get("test"), results.get("outliers")
    return bool(isinstance(test, dict) and "nll" in test and outliers)


def _is_alive(run: RunDirectory) -> bool:
    if run.is_abandoned():
        return False
    paths = (run.path, run.metrics, run.last, run.status, run.path / "train.log")
    times = (path.stat().st_mtime for path in paths if path.exists())
    return time.time() - max(times, default=0.0) < _STALE_SECONDS


def _settings(
    run: RunDirectory, entry: Mapping[str, Any], problems: list[str]
) -> tuple[dict[str, Any], bool]:
    config = read_object(run.config, problems)
    if config:
        return flatten(config), True
    overrides = entry.get("overrides") or read_list(run.path / ".hydra" / "overrides.yaml")
    return settings_of(overrides), False


def _picture(run: RunDirectory) -> Path | None:
    if run.final_samples.exists():
        return run.final_samples
    return max(run.samples.glob("epoch_*.png"), default=None)
