"""`teacher=RUN`: the data of a finished run, whose mixture another network is to learn."""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from made_exp.cli.command_line import CommandLine
from made_exp.cli.names import as_hydra_has_it
from made_exp.errors import ConfigError, did_you_mean
from made_exp.runs.folder import RunDirectory, RunState
from made_exp.settings.dataset import TableSettings
from made_exp.settings.experiment import OPTIONS, Settings


def taught(command: CommandLine) -> CommandLine:
    """`command`; where it names a teacher, with the data of that run unless others are typed.

    Raises:
        ConfigError: If the teacher is no finished run, or there are several.
    """
    typed = [o for o in command.parsed if o.key_or_group == "teacher"]
    if any(override.is_sweep_override() for override in typed):
        raise ConfigError("teacher: one run is wanted, got several; sweep over other settings")
    value = command.value_of("teacher")
    if value in (None, "null"):
        return command
    run = finished_run(value.strip("'\""))
    pairs = zip(command.overrides, command.parsed, strict=True)
    texts = [text for text, override in pairs if override not in typed]
    texts.append(f"teacher={json.dumps(str(run.path), ensure_ascii=False)}")
    if command.value_of("dataset") is None:
        texts += _overrides((run.saved_config() or {})["dataset"])
    return command.of(texts)


def finished_run(value: str) -> RunDirectory:
    """The folder `value`, absolute, of a run that can teach.

    Raises:
        ConfigError: If it is none.
    """
    if not value:
        raise ConfigError("teacher: the folder of a finished run is wanted: teacher=RUN")
    run = RunDirectory(Path(value).expanduser().absolute())
    if run.read_status()["state"] is RunState.COMPLETED and run.saved_config() is not None:
        return run
    others = [path.parent.name for path in run.path.parent.glob("*/results.json")]
    hint = did_you_mean(run.path.name, others)
    raise ConfigError(f"teacher: '{value}' is no folder of a finished run{hint}")


def check_teacher(settings: Settings) -> None:
    """Make the path of the teacher absolute, if there is one.

    Raises:
        ConfigError: If it cannot teach.
    """
    if settings.teacher is None:
        return
    settings.teacher = str(finished_run(settings.teacher).path)
    if isinstance(settings.dataset, TableSettings) and settings.dataset.trains_on_all:
        raise ConfigError(
            f"teacher: {settings.teacher} was trained on all rows (dataset.valid_fraction=0), so "
            "that none can tell how well it is learned; take a run that kept some"
        )


def _overrides(saved: dict[str, Any]) -> list[str]:
    """The settings `saved` of a dataset as they are typed, without those that are defaults."""
    name = saved["name"]
    texts = [f"dataset={name}"]
    for field in fields(OPTIONS["dataset"][name]):
        factory = field.default_factory
        default = field.default if factory is MISSING else factory()
        value = saved.get(field.name, default)
        if field.name != "name" and value != default:
            text = json.dumps(value, ensure_ascii=False)
            texts.append(as_hydra_has_it(f"dataset.{field.name}={text}"))
    return texts
