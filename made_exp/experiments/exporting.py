"""The model of a finished run in one file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from made_exp.errors import ConfigError, as_config_errors
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.programs import check_format, program_of
from made_exp.files import atomic_write_bytes
from made_exp.runs.portable import SUFFIX, save_portable
from made_exp.runtime import versions
from made_exp.settings.commands import ExportSettings


def export_run(settings: ExportSettings) -> Path:
    """Write the best model of a run into a file, as its ending says; where it is.

    Raises:
        ConfigError: If there is no such folder, the file is the one that is read, or a program is
            asked of a model that is not of binary and categorical values alone.
        CheckpointError: If the run holds no model that can be used.
    """
    target = Path(settings.path)
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"path: the folder of '{settings.path}' does not exist")
    check_format(target.suffix)
    run = FinishedRun(settings.run, "cpu")
    if target.exists() and target.samefile(run.path):
        raise ConfigError(f"path: '{settings.path}' is read from; give the file another name")
    if target.suffix == SUFFIX:
        told = {"config": asdict(run.settings), "data": run.data, "versions": versions()}
        save_portable(target, run.model.state_dict(), told)
        return target
    with as_config_errors():
        content = program_of(run.model, target.suffix, _columns(run), settings.num_orderings)
    atomic_write_bytes(target, content)
    return target


def _columns(run: FinishedRun) -> dict[str, Any]:
    """What the numbers that a program takes stand for: names of columns, values and classes."""
    columns = [
        {"name": v.name, "num_values": v.num_values, "values": v.categories}
        for v in run.model.groups.variables
    ]
    return {"data": run.data["name"], "columns": columns, "classes": run.data["class_names"]}
