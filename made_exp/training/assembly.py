"""From plain settings to a trainer."""

from collections.abc import Callable, Mapping
from typing import Any

from made_exp.datasets.base import Dataset
from made_exp.model.evaluation import Evaluation
from made_exp.model.made import MADE
from made_exp.runs.folder import RunDirectory
from made_exp.settings.experiment import Settings
from made_exp.training.averaging import WeightAverage
from made_exp.training.batches import Batches
from made_exp.training.distributed import World
from made_exp.training.keeper import CheckpointKeeper
from made_exp.training.loop import Trainer
from made_exp.training.losses import EpochLosses
from made_exp.training.optimizers import make_optimizer
from made_exp.training.schedulers import make_scheduler
from made_exp.training.sparsity import make_sparsity
from made_exp.training.state import Learner
from made_exp.training.steps import make_step, wants_graph


def make_trainer(
    model: MADE,
    dataset: Dataset,
    settings: Settings,
    run: RunDirectory,
    validate: Callable[[], Evaluation],
    *,
    description: Mapping[str, Any] | None = None,
    world: World | None = None,
    cuda_graph: bool = True,
) -> Trainer:
    """Assemble a trainer.

    Args:
        model: On the device it is to be trained on.
        dataset: Its train split is trained on.
        settings: Its groups `optimizer`, `scheduler` and `trainer` and its `seed` are used.
        run: Where checkpoints go.
        validate: Evaluates the model on the validation split.
        description: Plain values that every checkpoint carries.
        world: The processes that share this training.
        cuda_graph: Whether a GPU replays the step from a recorded graph where it can.

    Raises:
        ValueError: If a setting does not fit the data.
    """
    world = world or World()
    if world.size > 1 and len(model.members) > 1:
        raise ValueError("ordering=ensemble trains one member a step: run it in a single process")
    batches = Batches(
        dataset.train,
        settings.trainer.batch_size,
        seed=settings.seed,
        device=model.device,
        context=dataset.train_context,
        binarize=dataset.dynamic_binarization,
        rank=world.rank,
        world_size=world.size,
    )
    lr, total_steps = settings.optimizer.lr, settings.trainer.total_steps(len(batches))
    graph = cuda_graph and wants_graph(model, settings.optimizer.name, world)
    optimizer = make_optimizer(settings.optimizer, model, capturable=graph)
    scheduler = make_scheduler(settings.scheduler, lr=lr, total_steps=total_steps)
    decay = settings.trainer.weight_averaging
    learner = Learner(
        model,
        optimizer,
        scheduler,
        EpochLosses(len(batches), batches.device),
        WeightAverage(model, decay) if decay else None,
        make_sparsity(model, settings.trainer, len(batches)),
    )
    return Trainer(
        learner,
        batches,
        make_step(model, optimizer, batches, settings.trainer, world, graph=graph),
        validate,
        settings.trainer,
        lr=lr,
        keeper=CheckpointKeeper(learner, run, description, writes=world.is_main),
        world=world,
    )
