"""The model of a finished run in one file."""

from dataclasses import asdict
from pathlib import Path

from made_exp.errors import ConfigError
from made_exp.experiments.finished import FinishedRun
from made_exp.runs.portable import save_portable
from made_exp.runtime import versions
from made_exp.settings.commands import ExportSettings


def export_run(settings: ExportSettings) -> Path:
    """Write the best model of a run into a file, as its ending says; where it is.

    Raises:
        ConfigError: If there is no such folder, or the file is the one that is read.
        CheckpointError: If the run holds no model that can be used.
    """
    target, run = Path(settings.path), FinishedRun(settings.run, "cpu")
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"path: the folder of '{settings.path}' does not exist")
    if target.exists() and target.samefile(run.path):
        raise ConfigError(f"path: '{settings.path}' is read from; give the file another name")
    told = {"config": asdict(run.settings), "data": run.data, "versions": versions()}
    save_portable(target, run.model.state_dict(), told)
    return target
