"""Everything that can be found wrong before Hydra makes a folder."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from made_exp.cli.command_line import CommandLine, refuse_missing_plugin
from made_exp.cli.compose import compose_config, fixed_overrides, sweep_overrides, worth_checking
from made_exp.cli.resolvers import conf_dir, slug
from made_exp.cli.sweeps import RESULTS_FILE
from made_exp.cli.validate import settings_from
from made_exp.errors import ConfigError, as_config_errors
from made_exp.machine import JOBS_AT_ONCE, is_distributed, is_main_process, num_cpus
from made_exp.runs.folder import RunDirectory, files_of_others
from made_exp.settings.experiment import OPTIONS, Settings

_ELSEWHERE = ("submitit_slurm", "SlurmLauncher", "RayLauncher", "RayTrainLauncher")
_OF_SWEEPS = (RESULTS_FILE, "multirun.yaml", "optimization_results.yaml")
QUIET = ("hydra.output_subdir=null", "hydra/job_logging=none")
"""Overrides of a process that does not write."""


def preflight(command: CommandLine) -> CommandLine:
    """Check all that `command` asks for; return what is to be given to Hydra.

    Raises:
        ConfigError: Something is wrong; nothing has been written.
    """
    _refuse_added_groups(command)
    for group in ("hydra/launcher", "hydra/sweeper"):
        refuse_missing_plugin(group, command.value_of(group) or "basic")
    command = _prepare_distributed(command)
    _warn(command)
    if command.multirun:
        _check_sweep(command)
    else:
        _check_run(command)
    return command


def described(command: CommandLine) -> Settings | None:
    """The settings, where `command` asks for nothing but what its data hold.

    Raises:
        ConfigError: It asks so of a sweep.
    """
    if command.value_of("describe") is None:
        return None
    if command.multirun:
        raise ConfigError("describe=true shows the data of one run: leave out -m")
    settings = settings_from(compose_config(command, command.overrides))
    return settings if settings.describe else None


def _refuse_added_groups(command: CommandLine) -> None:
    for override in command.parsed:
        group = override.key_or_group
        if group in (*OPTIONS, "experiment", "search") and override.is_add():
            option = override.get_value_element_as_str()
            raise ConfigError(f"'+{group}={option}': write {group}={option}, without '+'")


def _prepare_distributed(command: CommandLine) -> CommandLine:
    if not is_distributed():
        return command
    if command.multirun:
        raise ConfigError(
            "-m inside torchrun or srun: run the sweep without it, or one run with it (a run of its"
            " own for each task of srun: srun --ntasks=1)"
        )
    if not os.environ.get("MADE_RUN_ID") and command.value_of("hydra.run.dir") is None:
        raise ConfigError(
            "torchrun or srun without MADE_RUN_ID: every process would make a folder of its own;"
            " write MADE_RUN_ID=$(date +%Y%m%d-%H%M%S) torchrun ... -m made_exp.train ..."
        )
    return command if is_main_process() else command.with_overrides(*QUIET)


def _warn(command: CommandLine) -> None:
    if not is_main_process():
        return
    only_sweeps = ("hydra/launcher", "hydra/sweeper", "search", "hydra.sweep.dir")
    for key in () if command.multirun else only_sweeps:
        value = command.value_of(key)
        if value not in (None, "basic", "null"):
            _say(f"warning: {key}={value.removeprefix('made_')} is used only with -m")
    if command.multirun and command.value_of("hydra.run.dir") is not None:
        _say("warning: hydra.run.dir is used only without -m; with -m write hydra.sweep.dir=...")
    if command.config_dir and Path(command.config_dir).is_dir():
        for path in Path(command.config_dir).rglob("*.yaml"):
            own = path.relative_to(command.config_dir)
            if (conf_dir() / own).exists():
                _say(f"warning: {path} is not used: {own.with_suffix('')} is built in; rename it")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _check_run(command: CommandLine) -> None:
    cfg = compose_config(command, command.overrides)
    if cfg.hydra.mode == RunMode.MULTIRUN:
        raise ConfigError("hydra.mode=MULTIRUN: a sweep is asked for with -m")
    settings = settings_from(cfg)
    if OmegaConf.select(cfg, "hydra.sweeper.params") and command.value_of("search") is None:
        _say("warning: hydra.sweeper.params of the experiment are used only with -m")
    given = command.value_of("hydra.run.dir")
    if given is not None and not given.strip("'\" "):
        raise ConfigError("hydra.run.dir: a folder is wanted, got nothing")
    if settings.resume and given is None and not os.environ.get("MADE_RUN_ID"):
        raise ConfigError("resume=true needs hydra.run.dir=DIR (with -m: hydra.sweep.dir=DIR)")
    if is_main_process():
        _refuse_unwritable(Path(str(cfg.hydra.run.dir)), "hydra.run.dir")
    if is_main_process() and (given or os.environ.get("MADE_RUN_ID")):
        check_folder(Path(str(cfg.hydra.run.dir)), settings, "hydra.run.dir")


def _refuse_unwritable(folder: Path, key: str) -> None:
    """Raise ConfigError where nothing can be written below what there is of `folder`."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if there.is_dir() and not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{key}: '{there}' cannot be written")


def check_folder(folder: Path, settings: Settings, key: str) -> None:
    """Raise ConfigError if `folder` holds a run that `settings` may not overwrite or continue."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{key}: '{folder}' is not a folder")
    if others := files_of_others(folder):
        raise ConfigError(
            f"{key}: '{folder}' holds no run, but files that one would write ({others[0]}); take"
            " another folder, or move them"
        )
    with as_config_errors():
        RunDirectory(folder).check(settings)


def _check_sweep(command: CommandLine) -> None:
    base = compose_config(command, fixed_overrides(command))
    jobs = sweep_overrides(command, base)
    if not jobs:
        raise ConfigError("the sweep has no jobs: one of its lists or ranges is empty")
    here = not any(name in base.hydra.launcher._target_ for name in _ELSEWHERE)
    sweep_dir = command.value_of("hydra.sweep.dir")
    folder = Path(str(base.hydra.sweep.dir)) if sweep_dir else None
    searches = "BasicSweeper" not in base.hydra.sweeper._target_
    if base.resume and folder is None:
        raise ConfigError("resume=true needs hydra.sweep.dir=DIR")
    if folder and any(folder.glob("*/status.json")) and (searches or not base.resume):
        remedy = "resume=true continues it"
        if searches:
            remedy = "take another; hydra.sweeper.study_name=NAME goes on with a study"
        raise ConfigError(f"hydra.sweep.dir: '{folder}' already holds a sweep; {remedy}")
    _refuse_unwritable(Path(str(base.hydra.sweep.dir)), "hydra.sweep.dir")
    listed = [name for name in _OF_SWEEPS if folder and (folder / name).exists()]
    if folder and listed and not base.resume and not any(folder.glob("[0-9]*_*")):
        raise ConfigError(
            f"hydra.sweep.dir: '{folder}' holds no sweep, but files that one would write"
            f" ({listed[0]}); take another folder, or move them"
        )
    numbers = {tuple(job): number for number, job in enumerate(jobs)}
    for job in worth_checking(jobs):
        settings = _check_job(command, job, here=here, alone=len(jobs) == 1)
        if folder:
            name = f"{numbers[tuple(job)]:03d}_{slug(job)}"
            check_folder(folder / name, settings, "hydra.sweep.dir")
    _share_machine(base, len(jobs))


def _check_job(command: CommandLine, job: Sequence[str], *, here: bool, alone: bool) -> Settings:
    try:
        return settings_from(compose_config(command, list(job)), here=here)
    except ConfigError as error:
        where = "" if alone else f" (in the job {' '.join(job)})"
        raise ConfigError(f"{error}{where}") from error


def _share_machine(base: DictConfig, num_jobs: int) -> None:
    launcher = base.hydra.launcher
    at_once = 1
    if launcher._target_.endswith("JoblibLauncher"):
        limit = int(launcher.n_jobs)
        at_once = min(num_jobs, limit if limit > 0 else num_cpus())
        if OmegaConf.select(base, "hydra.sweeper.n_trials") is not None:
            at_once = min(limit if limit > 0 else num_cpus(), int(base.hydra.sweeper.n_jobs))
    elif launcher._target_.endswith("LocalLauncher"):
        at_once = num_jobs
    os.environ[JOBS_AT_ONCE] = str(at_once)
    os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")  # Optuna's, on every search
