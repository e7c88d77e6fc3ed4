"""From plain settings to a trainer."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from made_exp.datasets.base import Dataset
from made_exp.model.ensembles import EnsembleNetwork
from made_exp.model.evaluation import Evaluation
from made_exp.model.made import MADE
from made_exp.runs.folder import RunDirectory
from made_exp.training.averaging import WeightAverage
from made_exp.training.batches import Batches
from made_exp.training.distributed import World
from made_exp.training.keeper import CheckpointKeeper
from made_exp.training.loop import Trainer
from made_exp.training.losses import EpochLosses
from made_exp.training.optimizers import make_optimizer
from made_exp.training.schedulers import make_scheduler
from made_exp.training.settings import TrainingSettings, total_steps
from made_exp.training.sparsity import make_sparsity
from made_exp.training.state import Learner
from made_exp.training.steps import make_step, wants_graph


def make_trainer(
    model: MADE,
    dataset: Dataset,
    config: Mapping[str, Any],
    run: RunDirectory,
    validate: Callable[[], Evaluation],
    *,
    description: Mapping[str, Any] | None = None,
    world: World | None = None,
) -> Trainer:
    """Assemble a trainer.

    Args:
        model: On the device it is to be trained on.
        dataset: Its train split is trained on.
        config: Groups `optimizer`, `scheduler` and `trainer` and the `seed`, as plain values.
        run: Where checkpoints go.
        validate: Evaluates the model on the validation split.
        description: Plain values that every checkpoint carries.
        world: The processes that share this training.

    Raises:
        ValueError: If a setting is out of its range or does not fit the data.
    """
    world = world or World()
    if world.size > 1 and isinstance(model.network, EnsembleNetwork):
        raise ValueError("ordering=ensemble trains one member a step: run it in a single process")
    known = {field.name for field in fields(TrainingSettings)}
    values = {name: value for name, value in config["trainer"].items() if name in known}
    settings = TrainingSettings(seed=config["seed"], **values)
    batches = Batches(
        dataset.train,
        settings.batch_size,
        seed=settings.seed,
        device=model.device,
        context=dataset.train_context,
        binarize=dataset.dynamic_binarization,
        rank=world.rank,
        world_size=world.size,
    )
    optimizer_options, scheduler_options = dict(config["optimizer"]), dict(config["scheduler"])
    name, lr = optimizer_options.pop("name"), optimizer_options.pop("lr")
    graph = wants_graph(model, name, settings, world)
    optimizer = make_optimizer(name, model, lr=lr, capturable=graph, **optimizer_options)
    scheduler = make_scheduler(
        scheduler_options.pop("name"),
        lr=lr,
        total_steps=total_steps(settings, len(batches)),
        **scheduler_options,
    )
    decay = settings.weight_averaging
    learner = Learner(
        model,
        optimizer,
        scheduler,
        EpochLosses(len(batches), batches.device),
        WeightAverage(model, decay) if decay else None,
        make_sparsity(model, settings, len(batches)),
    )
    return Trainer(
        learner,
        batches,
        make_step(model, optimizer, batches, settings, world, graph=graph),
        validate,
        settings,
        lr=lr,
        keeper=CheckpointKeeper(learner, run, description, writes=world.is_main),
        world=world,
    )
