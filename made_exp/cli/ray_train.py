"""Ray Train as a launcher: each job is one run over several processes of a cluster.

Where a process or a machine of the cluster is lost, Ray starts all of them again, and the run goes
on from its last checkpoint: the folder of the sweep is one that all machines see.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, final

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from typing_extensions import override

from made_exp.cli.answers import lost_by, slim
from made_exp.cli.preflight import QUIET
from made_exp.errors import LostProcessError

_log = logging.getLogger(__name__)
_OF_RAY = ".ray"  # what Ray writes into the folder of the sweep


@final
class RayTrainLauncher(Launcher):
    """Runs the jobs one after the other, each by all workers.

    Args:
        init: Of `ray.init`.
        workers: Processes of a run, spread over the machines.
        resources: Of each, by the names that Ray has for them.
        max_failures: How often a run goes on after workers were lost; -1 without end.
    """

    def __init__(
        self, init: DictConfig, workers: int, resources: DictConfig, max_failures: int
    ) -> None:
        self.init, self.workers, self.resources = init, workers, resources
        self.max_failures = max_failures

    @override
    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    @override
    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
        import ray

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        folder = Path(str(self.config.hydra.sweep.dir)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if not ray.is_initialized():
            ray.init(**_plain(self.init))
        jobs = enumerate(job_overrides, initial_job_idx)
        return [self._answer(number, overrides, folder / _OF_RAY) for number, overrides in jobs]

    def _answer(self, number: int, overrides: Sequence[str], folder: Path) -> JobReturn:
        import cloudpickle
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        shared = (self.hydra_context, self.config, self.task_function, Singleton.get_state())
        variables = {name: text for name, text in os.environ.items() if name.startswith("MADE_")}
        resources = _plain(self.resources)
        on_gpu = bool(resources.get("GPU"))
        trainer: Any = TorchTrainer(
            cast(Any, _work),  # it may answer
            train_loop_config={
                "job": cloudpickle.dumps((number, list(overrides), *shared)),
                "place": os.getcwd(),
                "variables": variables,
            },
            torch_config=TorchConfig("cpu:gloo,cuda:nccl" if on_gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=self.workers,
                use_gpu=on_gpu,
                resources_per_worker=resources,
                placement_strategy="SPREAD",
            ),
            run_config=RunConfig(
                name=f"{number:03d}",
                storage_path=str(folder),
                failure_config=FailureConfig(max_failures=self.max_failures),
            ),
        )
        _log.info("\t#%d by %d workers: %s", number, self.workers, " ".join(overrides))
        try:
            answer: JobReturn = trainer.fit().return_value
        except Exception as error:  # whatever became of it, it is one job
            return lost_by(error, overrides)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return answer


def _plain(config: DictConfig) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(config, resolve=True)
    return values


def _work(settings: dict[str, Any]) -> JobReturn:
    """What each worker does: its part of the run.

    Raises:
        LostProcessError: Another worker was lost; Ray starts all of them again.
    """
    import cloudpickle
    from ray.train import get_context

    os.chdir(settings["place"])
    os.environ.update(settings["variables"])
    number, overrides, context, config, task, state = cloudpickle.loads(settings["job"])
    setup_globals()
    Singleton.set_state(state)
    quiet = QUIET if get_context().get_world_rank() else ()
    job = context.config_loader.load_sweep_config(config, [*overrides, *quiet])
    with open_dict(job):
        job.hydra.job.id, job.hydra.job.num = f"job_id_for_{number}", number
    HydraConfig.instance().set_config(job)
    answer = run_job(task, job, "hydra.sweep.dir", "hydra.sweep.subdir", hydra_context=context)
    if isinstance(answer._return_value, LostProcessError):
        raise answer._return_value
    return slim(answer, overrides)
