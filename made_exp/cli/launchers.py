"""Launchers of sweeps in which a process that the system ends is one failed job and no more.

As they come, Hydra's launchers give up the whole sweep when they lose the process of one job.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from made_exp.cli import sweeps
from made_exp.cli.answers import LostJob, lost, lost_by, slim
from made_exp.cli.ray_train import RayTrainLauncher

Jobs = Sequence[Sequence[str]]
Launch = Callable[[Any, Jobs, int], Sequence[JobReturn]]
_CONTEXT = multiprocessing.get_context("forkserver")
_OWN = "made_exp.RayTrainLauncher"


def guard_launchers() -> None:
    """Let the launchers that are installed go on when the process of a job is lost.

    Our own is made known to Hydra, which takes launchers from its package of plugins alone.
    """
    known = Plugins.instance().class_name_to_class
    known[f"hydra_plugins.{_OWN}"] = RayTrainLauncher
    for name, guarded in _GUARDED.items():
        launcher: Any = known.get(f"hydra_plugins.{name}")
        if launcher is not None and not hasattr(launcher, "unguarded"):
            launcher.unguarded = launcher.launch
            launcher.launch = _telling(guarded)


def _telling(guarded: Launch) -> Launch:
    """`guarded`, with an entry in the results of the sweep for each job that was lost."""

    def launch(self: Launcher, job_overrides: Jobs, initial_job_idx: int) -> Sequence[JobReturn]:
        returns = guarded(self, job_overrides, initial_job_idx)
        for index, (overrides, answer) in enumerate(zip(job_overrides, returns, strict=True)):
            if answer.status == JobStatus.FAILED and isinstance(answer._return_value, LostJob):
                number = initial_job_idx + index
                error = str(answer._return_value)
                sweeps.append_lost(_sweep_dir(self), number, overrides, error)
        return returns

    return launch


def _sweep_dir(launcher: Any) -> Path:
    return Path(str(launcher.config.hydra.sweep.dir))


def _as_it_is(launcher: Any, job_overrides: Jobs, first: int) -> Sequence[JobReturn]:
    answers: Sequence[JobReturn] = launcher.unguarded(job_overrides, first)
    return answers


def _by_processes(launcher: Any, job_overrides: Jobs, first: int) -> Sequence[JobReturn]:
    """Joblib's launcher with a process for each job, in place of workers that share a fate."""
    import cloudpickle
    from hydra.core.singleton import Singleton
    from hydra.core.utils import configure_log
    from hydra_plugins.hydra_joblib_launcher._core import process_joblib_cfg
    from joblib import Parallel, delayed

    configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)
    _sweep_dir(launcher).mkdir(parents=True, exist_ok=True)
    process_joblib_cfg(launcher.joblib)
    _CONTEXT.set_forkserver_preload(["made_exp.experiments.experiment"])
    shared = (launcher.hydra_context, launcher.config, launcher.task_function)
    jobs = [
        (overrides, cloudpickle.dumps((first + i, overrides, *shared, Singleton.get_state())))
        for i, overrides in enumerate(job_overrides)
    ]
    settings = {**launcher.joblib, "backend": "threading"}  # threads that wait for processes
    return list(Parallel(**settings)(delayed(_in_a_process)(*job) for job in jobs))


def _in_a_process(overrides: Sequence[str], job: bytes) -> JobReturn:
    receiving, sending = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_answer, args=(job, dict(os.environ), sending))
    process.start()
    sending.close()
    with receiving, contextlib.suppress(EOFError):
        answer: JobReturn = receiving.recv()
        process.join()
        return answer
    process.join()
    return lost(overrides, _end_of(process.exitcode))


def _answer(job: bytes, environment: dict[str, str], sending: Connection) -> None:
    """What the process of a job does: the job, and its answer."""
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_the_sweep, daemon=True).start()
    import cloudpickle
    from hydra_plugins.hydra_joblib_launcher._core import execute_job

    number, overrides, context, config, task, state = cloudpickle.loads(job)
    answer = execute_job(number, overrides, context, config, task, state)
    sending.send(slim(answer, overrides))


def _end_with_the_sweep() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a process of a job"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)  # saves, as on every SIGTERM


def _end_of(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name} (out of memory?)"
    return f"ended without an answer, with exit code {code}"


def _by_submitit(launcher: Any, job_overrides: Jobs, first: int) -> Sequence[JobReturn]:
    """Submitit's launchers, which then wait for all jobs."""
    from submitit.core.core import Job

    def results(job: Any) -> list[Any]:
        try:
            return unguarded(job)
        except Exception as error:  # whatever became of it, it is one job
            return [lost_by(error)]

    unguarded = Job.results
    with replaced(Job, "results", results):
        return launcher.unguarded(job_overrides, first)


def _by_ray(launcher: Any, job_overrides: Jobs, first: int) -> Sequence[JobReturn]:
    """Ray's launcher, which then waits for all jobs."""
    import ray
    from hydra_plugins.hydra_ray_launcher import _core

    def get(job: Any) -> Any:
        try:
            return ray.get(job)
        except ray.exceptions.RayError as error:
            return lost_by(error)

    with replaced(_core, "ray", SimpleNamespace(get=get)):
        return launcher.unguarded(job_overrides, first)


@contextlib.contextmanager
def replaced(where: Any, name: str, value: Any) -> Iterator[None]:
    """Let `where` have another `value` of that `name` for a while."""
    before = getattr(where, name)
    setattr(where, name, value)
    try:
        yield
    finally:
        setattr(where, name, before)


_GUARDED: dict[str, Launch] = {
    _OWN: _as_it_is,
    "hydra_joblib_launcher.joblib_launcher.JoblibLauncher": _by_processes,
    "hydra_submitit_launcher.submitit_launcher.LocalLauncher": _by_submitit,
    "hydra_submitit_launcher.submitit_launcher.SlurmLauncher": _by_submitit,
    "hydra_ray_launcher.ray_launcher.RayLauncher": _by_ray,
}
