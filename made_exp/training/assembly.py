"""From settings to a trainer, with the form of the step that is fastest for them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.datasets.parts import ROWS
from made_exp.kernels.bfloat16 import has_bfloat16_products
from made_exp.model.evaluation import Evaluation
from made_exp.model.made import MADE
from made_exp.model.network_vjp import is_plain
from made_exp.runs.folder import RunDirectory
from made_exp.settings.experiment import Settings
from made_exp.settings.training import TrainerSettings
from made_exp.training.batches import Batches
from made_exp.training.cuda_graph import GraphedStep
from made_exp.training.keeper import CheckpointKeeper
from made_exp.training.learner import Learner, TrainedMember
from made_exp.training.loop import Trainer
from made_exp.training.optimizers import make_optimizer
from made_exp.training.regularisation import L1Penalty, WeightAverage
from made_exp.training.schedulers import make_scheduler
from made_exp.training.sharing import Shares
from made_exp.training.step import DirectStep, TrainStep
from made_exp.training.strengths import member_pulls
from made_exp.training.world import ALONE, World
from made_exp.variables.missing import any_left_out

# Examples (N, D) of an epoch, in data space, and their class labels (N,) or None.
Draw = Callable[[int], tuple[Tensor, Tensor | None]]


def make_trainer(
    model: MADE,
    dataset: Dataset,
    settings: Settings,
    run: RunDirectory,
    fit_and_validate: Callable[[Shares], Evaluation | None],
    description: Mapping[str, Any],
    world: World,
    num_scored: int = 0,
    draw: Draw | None = None,
) -> Trainer:
    """Assemble a trainer.

    Args:
        model: On the device it is to be trained on.
        dataset: Its train split is trained on, unless rows are drawn.
        settings: Its groups `optimizer`, `scheduler` and `trainer` and its `seed` are used.
        run: Where checkpoints go.
        fit_and_validate: Fits the mixture and scores the validation split, see `Trainer`.
        description: Plain values that every checkpoint carries.
        world: The processes that share this training: the members of a model, each its own,
            or, where there is one, each batch.
        num_scored: See `Trainer`.
        draw: Gives the examples of each epoch, always as many, where they are not those of train.

    Raises:
        ValueError: If a setting does not fit the data.
    """
    shares_members = world.size > 1 and len(model.members) > 1
    batches = _batches(model, dataset, settings, ALONE if shares_members else world, draw)
    graph = wants_graph(model, batches, settings.optimizer.name)
    total_steps = settings.trainer.total_steps(len(batches))
    members = _trained_members(model, settings, len(batches.data), capturable=graph)
    scheduler = make_scheduler(settings.scheduler, settings.optimizer.lr, total_steps)
    losses = torch.zeros(len(batches), dtype=torch.float64, device=batches.device)
    learner = Learner(model, members, scheduler, losses)
    kind = GraphedStep if graph else step_kind(model, batches, settings.trainer)
    step = kind(model, members, batches, settings.trainer)
    keeper = CheckpointKeeper(learner, run, description, writes=world.is_main)
    trainer = Trainer(learner, batches, step, fit_and_validate, settings, keeper, num_scored)
    if shares_members:
        trainer.share(world)
    return trainer


def _batches(
    model: MADE, dataset: Dataset, settings: Settings, world: World, draw: Draw | None
) -> Batches:
    """The training data: their codes, or where they are on disk what makes codes of a batch."""
    groups, train, stays = model.groups, dataset.train, dataset.is_mapped and draw is None

    def encoded(epoch: int) -> tuple[Tensor, Tensor | None, float]:
        x, labels = draw(epoch) if draw else (train, dataset.train_context)
        slopes = [groups.log_slopes(part.to(model.device)) for part in x.split(ROWS)]
        codes = x if stays else groups.encode(x.to(model.device))
        return codes, labels, float(torch.cat(slopes).mean())

    data, context, log_slope = encoded(0)
    batches = Batches(
        data,
        settings.trainer.rows_a_step(len(data)),
        seed=settings.seed,
        device=model.device,
        context=context,
        binarize=dataset.dynamic_binarization and draw is None,
        world=world,
        log_slope=log_slope,
        redraw=encoded if draw else None,
        encode=groups.encode if stays else None,
        has_missing=any_left_out(train, dataset.variables) if stays else None,
    )
    if draw:  # of rows with gaps the first epoch may have none
        batches.has_missing |= any_left_out(train, dataset.variables)
    return batches


def _trained_members(
    model: MADE, settings: Settings, num_rows: int, *, capturable: bool
) -> tuple[TrainedMember, ...]:
    """Each member of the model with what trains it."""
    trainer, decay = settings.trainer, settings.trainer.weight_averaging
    # A step of a larger batch pulls no more: gradients are means, with less noise to hold against.
    num_batches = max(1, num_rows // trainer.batch_size)
    spread = trainer.sparsity_spread
    pulls = member_pulls(trainer.sparsity, num_batches, len(model.members), spread)
    return tuple(
        TrainedMember(
            network,
            make_optimizer(settings.optimizer, network, capturable=capturable),
            WeightAverage(network.parameters(), decay) if decay else None,
            L1Penalty(network.weights(), pull, network.centres()) if pull else None,
        )
        for network, pull in zip(model.members, pulls, strict=True)
    )


def wants_graph(model: MADE, batches: Batches, optimizer: str) -> bool:
    """Whether CUDA graphs can replay the steps: one GPU, and no wait for the host."""
    # To give each example its own ordering, the host is asked.
    resamples = any(member.schedule.is_resampled for member in model.members)
    waits = resamples and batches.has_missing
    return (
        model.device.type == "cuda"
        and batches.world.size == 1
        and optimizer in ("adam", "adamw", "sgd")
        and not waits
        and batches.are_on_device
    )


def step_kind(model: MADE, batches: Batches, settings: TrainerSettings) -> type[TrainStep]:
    """The fastest form without a CUDA graph: on the CPU without autograd, where that is possible.

    `DirectStep` serves one process and a plain network, where no value is missing.
    """
    is_direct = (
        model.device.type == "cpu"
        and batches.world.size == 1
        and (settings.precision != "bf16" or has_bfloat16_products())
        and all(is_plain(member) for member in model.members)
        and not batches.has_missing
    )
    return DirectStep if is_direct else TrainStep
