"""What the files of one run say, whether it finished, crashed or left half of a file."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from made_exp.reporting.run_files import (
    CurvePoint,
    as_mapping,
    as_number,
    as_text,
    as_whole,
    first_known,
    read_curve,
    read_list,
    read_object,
    read_seconds,
    read_traceback,
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
        status: completed, failed, stopped, running, unfinished (no sign of life for a quarter of
            an hour) or damaged (its results cannot be read).
        settings: By dotted name; of runs that failed early only what was given on the command
            line.
        is_complete_config: Whether `settings` are all settings.
        test_nll: Nats per example.
        test_nll_stderr: Standard error over the test examples.
        valid_nll: Nats per example, the best so far where the run is not finished.
        epochs: Epochs trained.
        best_epoch: The epoch that is reported.
        seconds: Of training.
        num_parameters: Of the model.
        seed: Root seed.
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
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    num_parameters: int | None = None
    seed: int | None = None
    dataset: str = ""
    curve: tuple[CurvePoint, ...] = ()
    picture: Path | None = None
    error: str = ""
    traceback: str = ""
    problems: tuple[str, ...] = ()


def read_run(path: Path, name: str, entry: Mapping[str, Any] | None = None) -> RunRecord:
    """Read the run in folder `path`.

    Args:
        path: The run's folder.
        name: What it is called in the report.
        entry: What the results file of its sweep says of it.
    """
    run, problems, entry = RunDirectory(path), list[str](), entry or {}
    results = read_object(run.results, problems)
    status = read_object(run.status, problems)
    settings, is_complete = _settings(run, entry, problems)
    curve = read_curve(run.metrics, problems)
    test, valid = as_mapping(results.get("test")), as_mapping(results.get("valid"))
    state = _state(run, results, status, entry)
    last_epoch = curve[-1].epoch if curve else None
    best = min((p.valid_nll for p in curve if p.valid_nll is not None), default=None)
    failed = state in ("failed", "damaged", "unfinished", "stopped")
    error = as_text(status.get("error")) or as_text(entry.get("error"))
    return RunRecord(
        name=name,
        path=path,
        status=state,
        settings=settings,
        is_complete_config=is_complete,
        test_nll=as_number(test.get("nll")),
        test_nll_stderr=as_number(test.get("nll_stderr")),
        valid_nll=first_known(as_number(valid.get("nll")), best),
        epochs=as_whole(first_known(as_number(results.get("epochs")), last_epoch)),
        best_epoch=as_whole(as_number(results.get("best_epoch"))),
        seconds=first_known(as_number(results.get("train_seconds")), read_seconds(run.metrics)),
        num_parameters=as_whole(as_number(results.get("num_parameters"))),
        seed=as_whole(first_known(as_number(results.get("seed")), as_number(settings.get("seed")))),
        dataset=as_text(settings.get("dataset.name")) or as_text(results.get("dataset")),
        curve=curve,
        picture=_picture(run),
        error=error if failed else "",
        traceback=read_traceback(path) if failed else "",
        problems=tuple(problems),
    )


def _state(
    run: RunDirectory,
    results: Mapping[str, Any],
    status: Mapping[str, Any],
    entry: Mapping[str, Any],
) -> str:
    if results:
        if as_number(as_mapping(results.get("test")).get("nll")) is None:
            return "damaged"
        return "failed" if results.get("status") == "failed" else "completed"
    state = as_text(status.get("state"))
    if run.results.exists() or state == "completed":
        return "damaged"
    if state in ("failed", "stopped"):
        return state
    if entry.get("status") == "failed":
        return "failed"
    return "running" if _is_alive(run) else "unfinished"


def _is_alive(run: RunDirectory) -> bool:
    newest = 0.0
    for path in (run.path, run.metrics, run.last, run.status, run.path / "train.log"):
        try:
            newest = max(newest, path.stat().st_mtime)
        except OSError:
            continue
    return time.time() - newest < _STALE_SECONDS


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
