"""What Hydra calls in the process that starts a sweep."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

import made_exp.cli.resolvers  # noqa: F401  (workers import this module first)
from made_exp.cli.sweeps import RESULTS_FILE


@dataclass
class StartedSweep:
    """The sweep of this process.

    Attributes:
        folder: Its folder, absolute.
        offset: Bytes of its results file that were there before.
    """

    folder: Path
    offset: int


started: list[StartedSweep] = []
"""The sweep that this process started, if any; read by the wrapper when Hydra returns."""


class SweepStart(Callback):
    """Fixes what every job of a sweep must share, before the first job starts."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Freeze the hash of conf/, remember the folder, make room for Optuna's database."""
        HydraConfig.instance().set_config(config)
        for name in config.hydra.job.env_set:
            str(config.hydra.job.env_set[name])  # Resolved here once, cached for all jobs.
        folder = Path(str(config.hydra.sweep.dir)).absolute()
        results = folder / RESULTS_FILE
        started[:] = [StartedSweep(folder, results.stat().st_size if results.exists() else 0)]
        storage = str(config.hydra.sweeper.get("storage", None) or "")
        if storage.startswith("sqlite:///") and storage != "sqlite:///:memory:":
            database = Path(storage.removeprefix("sqlite:///").split("?")[0])
            os.makedirs(database.absolute().parent, exist_ok=True)
