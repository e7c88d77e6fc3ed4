"""Training from data in memory, without a run folder or a command line."""

import logging
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from made_exp.cli.keywords import settings_of
from made_exp.errors import ConfigError, as_config_errors, one_line
from made_exp.machine import is_distributed
from made_exp.runs.folder import RunDirectory
from made_exp.settings.experiment import Settings

if TYPE_CHECKING:
    from polars import DataFrame

    from made_exp.density.density import Density

_ONE_AT_A_TIME = threading.RLock()
_INTERRUPTED = 130
_UNSEEN = {"tensorboard": False, "samples_every": 0}
"""Settings of the trainer where nobody looks on."""


def fit(
    data: Any,
    experiment: str | None = "table",
    max_minutes: float | None = 2,
    *,
    seed: int = 0,
    path: str | Path | None = None,
    progress: bool = False,
    **settings: Any,
) -> "Density":
    """Train on data in memory.

        model = fit(frame, max_minutes=1)
        model = fit(frame, None, ordering="natural", trainer={"max_steps": 500}, seed=1)
        model = fit(frame, **{"dataset.kinds": {"zip": "categorical"}, "model.dropout": 0.2})

    A tenth of the rows is for validation, all others are trained on; rows for a test are kept
    where `dataset.test_fraction` says so. Fits of several threads wait for each other. Ctrl-C
    raises KeyboardInterrupt and SIGTERM ends the script with code 143; of a run with a `path` the
    best weights so far are there.

    Args:
        data: A frame of pandas, polars or pyarrow, or an array (rows, variables), which for other
            experiments than `table` holds whole numbers or real ones, as dataset=npz does.
        experiment: A recipe: `table` for mixed columns, `density` for binary ones, ...; None: the
            default settings.
        max_minutes: Budget of time, in which the learning rate falls to its end; small tables end
            earlier. None: none.
        seed: Of everything random.
        path: Where to keep the run, as the command does, with the data beside; None: nowhere.
        progress: Whether to show it on stderr, with what was understood of the columns.
        **settings: Those of the command, by the same names.

    Returns:
        What `load_run` returns; `sample` makes frames like those of the data.

    Raises:
        ConfigError: If a setting or the data do not fit; a ValueError.
        TrainingError: If training diverged.

    Examples:
        >>> import polars as pl
        >>> ages = [*range(20, 80)] * 5
        >>> towns = ["x" if age < 50 else "y" for age in ages]
        >>> people = pl.DataFrame({"age": ages, "town": towns})
        >>> short = {"max_minutes": None, "trainer.max_steps": 100, "model.hidden_sizes": [32]}
        >>> model = fit(people, **short, path="outputs/people")
        >>> model.log_prob(people).shape
        (300,)
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryDirectory(prefix="made-fit-") as temporary:
        if is_distributed():
            raise ConfigError("fit trains in one process; with torchrun use made-train")
        dataset, file = _write(data, experiment, Path(temporary))
        own: dict[str, Any] = {"seed": seed, "trainer.max_minutes": max_minutes}
        if dataset == "table":
            own["dataset.test_fraction"] = 0.0
        if path is None:
            own |= {f"trainer.{key}": value for key, value in _UNSEEN.items()}
        own["trainer.progress"] = "auto" if progress else "off"
        if experiment == "table" and "scheduler" not in settings:
            own["scheduler.least_gain"] = 0.1  # small tables are learnt long before the budget ends
        made = settings_of(experiment, dataset, file, own | settings)
        folder = Path(temporary) / "run"
        if path is not None:
            folder = Path(path)
            _keep_data(made, file, folder)
        with _unnoticed(says=progress):
            _train(made, folder, file, reports=path is not None)
            return _loaded(folder, data)


def _write(data: Any, experiment: str | None, folder: Path) -> tuple[str, Path]:
    """The option that reads the data, and the file in which they are."""
    from torch import Tensor

    from made_exp.datasets.table.frames import polars_frame
    from made_exp.datasets.tables import unmasked

    if isinstance(data, Tensor):
        data = data.detach().cpu().numpy()
    with as_config_errors():
        if isinstance(data, np.ndarray) and experiment != "table":
            file = folder / "data.npz"
            data = unmasked(data)
            np.savez(file, train=data, test=data[:0])
            return "npz", file
        file = folder / "data.parquet"
        frame, source = polars_frame(data)
        _refuse_objects(frame, source)
        try:
            frame.write_parquet(file)
        except Exception as error:  # other types that no file holds
            raise ConfigError(f"{source} cannot be stored: {one_line(error)}") from error
    return "table", file


def _refuse_objects(frame: "DataFrame", source: str) -> None:
    """Raise ConfigError for the first column of Python's objects, which no file holds."""
    for column in frame:
        if not column.dtype.is_object():
            continue
        kind = type(next((value for value in column if value is not None), None)).__name__
        raise ConfigError(
            f"{source}: column '{column.name}' holds values of type {kind}; numbers, texts, "
            "booleans, dates, times and durations can be modelled"
        )


def _keep_data(settings: Settings, file: Path, folder: Path) -> None:
    """Copy the data into the folder of the run, which must not hold one already."""
    from made_exp.files import atomic_write_bytes

    with as_config_errors():
        run = RunDirectory(folder)
        run.check(settings)
        run.create()
        kept = (folder / file.name).absolute()
        if kept.exists():
            raise ConfigError(f"path: '{kept}' exists; take another folder")
        atomic_write_bytes(kept, file.read_bytes())
    settings.dataset.path = str(kept)  # type: ignore[attr-defined]


def _train(settings: Settings, folder: Path, file: Path, *, reports: bool) -> None:
    from made_exp.experiments.experiment import run

    try:
        run(settings, folder, reports=reports)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:
            raise KeyboardInterrupt from None
        raise
    except ValueError as error:
        raise ConfigError(str(error).replace(str(file), "the data")) from error


def _loaded(folder: Path, data: Any) -> "Density":
    from torch import Tensor

    from made_exp.experiments.finished import load_run

    return load_run(folder, frames=None if isinstance(data, Tensor) else data)


@contextmanager
def _unnoticed(*, says: bool) -> Iterator[None]:
    """Generators go on from where they were; but for `says` only the user's handlers hear."""
    logger, level = logging.getLogger("made_exp"), logging.getLogger("made_exp").level
    handler = logging.StreamHandler() if says else logging.NullHandler()
    logger.addHandler(handler)
    if says:
        logger.setLevel(logging.INFO)
    state = random.getstate()  # which imports change
    try:
        import torch

        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        logger.removeHandler(handler)
        logger.setLevel(level)
