"""One job, as Hydra calls it here or in a worker: check, skip or run, and answer for failures."""

import contextlib
import gc
import importlib
import json
import logging
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from made_exp.cli import sweeps
from made_exp.cli.command_line import command_for
from made_exp.cli.resolvers import conf_hash
from made_exp.cli.validate import settings_from
from made_exp.errors import ConfigError, JobFailure, RunError, is_users_mistake, one_line
from made_exp.files import atomic_write_bytes, atomic_write_json, atomic_write_text
from made_exp.machine import code_state, is_main_process
from made_exp.runs.folder import RunDirectory, finished_sibling
from made_exp.runs.holding import LOCK, OWNER
from made_exp.settings.experiment import Settings
from made_exp.settings.fingerprint import fingerprint

log = logging.getLogger("made_exp.job")
_LONGEST_DIFF = 1_000_000
_PROVENANCE = ("config.resolved.yaml", "command.json", "git.json", "diff.patch")
"""What a run needs to be understood later: resolved settings, command, code."""


@dataclass(frozen=True)
class Job:
    """Where a job is and what it was asked.

    Attributes:
        run_dir: Its folder, absolute.
        overrides: Overrides of the task.
        number: Its number in the sweep; None for a single run.
        frozen_hash: Hash of conf/ when the sweep started.
        launch: What tells this start of the command from every other.
        config_dir: Where options of the user's own are, absolute; None where there are none.
    """

    run_dir: Path
    overrides: list[str]
    number: int | None
    frozen_hash: str
    launch: str
    config_dir: str | None = None

    @property
    def in_sweep(self) -> bool:
        """Whether the job is one of a sweep."""
        return self.number is not None


def run_job(cfg: DictConfig) -> float | None:
    """Run the experiment that `cfg` describes; the objective is its validation NLL in nats.

    Raises:
        JobFailure: A single run failed; it carries the error past Hydra.
        Exception: A job of a sweep failed; the sweeper counts it and goes on.
    """
    logging.raiseExceptions = False  # train.log on a full disk is no reason for tracebacks
    job = _this_job()
    if job.in_sweep and not is_main_process():
        logging.getLogger().handlers.clear()  # submitit has several tasks for a job, one writes
    start = time.monotonic()
    is_new = not RunDirectory(job.run_dir).status.exists()
    try:
        objective, status = _answer(cfg, job)
    except Exception as error:
        _record(job, "failed", None, start, error)
        # The terminal shows one line at the end; the log of the job has the whole story.
        log.debug("failed: %s", one_line(error), exc_info=error)
        if job.in_sweep:
            raise
        if is_new and is_main_process() and is_users_mistake(error):
            _remove_traces(job.run_dir)
        raise JobFailure(error) from error
    _record(job, status, objective, start)
    return objective


def _this_job() -> Job:
    hydra = HydraConfig.get()
    number = int(hydra.job.num) if hydra.mode == RunMode.MULTIRUN else None
    sources = hydra.runtime.config_sources
    own = [os.path.abspath(s.path) for s in sources if s.provider == "command-line"]
    return Job(
        run_dir=Path(hydra.runtime.output_dir),
        overrides=list(hydra.overrides.task),
        number=number,
        frozen_hash=str(hydra.job.env_set["MADE_CONF_HASH"]),
        launch=str(hydra.job.env_set["MADE_LAUNCH_ID"]),
        config_dir=own[0] if own else None,
    )


def _answer(cfg: DictConfig, job: Job) -> tuple[float | None, str]:
    if job.in_sweep and job.frozen_hash != conf_hash():
        raise ConfigError("conf/ changed since this sweep started; start the sweep again")
    settings = settings_from(cfg)
    if job.in_sweep and launch_of(job.run_dir) == job.launch:
        settings.resume = True  # A queue has started the job again after preempting it.
    if settings.resume:
        objective = _finished(job, settings)
        if objective is not None:
            return objective, "skipped"
    if is_main_process():
        _save_provenance(job, settings)
    import_experiment()
    from made_exp.experiments.experiment import run

    return run(settings, run_dir=job.run_dir, overrides=job.overrides), "completed"


def import_experiment() -> None:
    """Import torch and what needs it, once, without search for garbage then or later in it.

    Imports leave none, and the search takes 0.7 of the 3.8 seconds of a first job. In later jobs
    nothing is set aside: what the jobs before left behind is to be found.
    """
    if "made_exp.experiments.experiment" in sys.modules:
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        importlib.import_module("made_exp.experiments.experiment")
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def _finished(job: Job, settings: Settings) -> float | None:
    identity = fingerprint(settings)
    objective = RunDirectory(job.run_dir).finished_objective(identity)
    if objective is None and job.in_sweep:
        sibling = finished_sibling(job.run_dir, identity)
        if sibling is not None:
            objective = sibling.finished_objective(identity)
            _remove_traces(job.run_dir)
    if objective is not None:
        log.info("already finished, skipped: %s", job.run_dir)
    return objective


def _save_provenance(job: Job, settings: Settings) -> None:
    """Write the settings, the command and the state of the code into the folder of the job."""
    text = OmegaConf.to_yaml(OmegaConf.create(asdict(settings)))
    atomic_write_text(job.run_dir / "config.resolved.yaml", text)
    command = {
        "command": command_for(job.overrides, job.config_dir),
        "argv": sys.argv,
        "folder": os.getcwd(),
        "host": platform.node(),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "seed": settings.seed,
        "launch": job.launch,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    atomic_write_json(job.run_dir / "command.json", command)
    commit, diff = code_state()
    state = {"commit": commit, "dirty": bool(diff) if commit else None}
    atomic_write_json(job.run_dir / "git.json", state)
    if diff:
        atomic_write_bytes(job.run_dir / "diff.patch", diff[:_LONGEST_DIFF])


def launch_of(run_dir: Path) -> str | None:
    """The launch that last ran in `run_dir`; None where there was none."""
    try:
        return json.loads((run_dir / "command.json").read_text())["launch"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(
    job: Job, status: str, objective: float | None, start: float, error: Exception | None = None
) -> None:
    if not job.in_sweep or not is_main_process():
        return
    entry = {
        "number": job.number,
        "folder": job.run_dir.name,
        "overrides": job.overrides,
        "config_dir": job.config_dir,
        "status": status,
        "objective": objective,
        "error": one_line(error) if error else None,
        "error_type": type(error).__name__ if error else None,
        "seconds": round(time.monotonic() - start, 3),
    }
    with contextlib.suppress(OSError):
        sweeps.append(job.run_dir.parent, entry)


def _remove_traces(run_dir: Path) -> None:
    """Remove what was written before the mistake was found, and the folders if that was all."""
    run = RunDirectory(run_dir)
    hydra = run_dir / ".hydra"
    names = (run.config.name, run.status.name, "train.log", *_PROVENANCE, LOCK, OWNER)
    with contextlib.suppress(OSError, RunError), run.locked():
        for folder in (run.checkpoints, run.samples):
            if folder.exists():
                folder.rmdir()  # Fails where there is something in it.
        if run.metrics.exists() or any(run_dir.glob("events.out.tfevents.*")):
            return  # It has begun.
        for path in (*hydra.glob("*.yaml"), *(run_dir / name for name in names)):
            path.unlink(missing_ok=True)
        for folder in (hydra, run_dir):
            folder.rmdir()  # Fails where somebody keeps files in it.
        for parent in run_dir.absolute().parents:
            if parent in sweeps.missing_folders:
                parent.rmdir()  # Fails where another run has come.
