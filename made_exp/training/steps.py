"""Which form of the training step runs: plain, without autograd, or from a CUDA graph."""

from collections.abc import Sequence

from torch.optim import Optimizer

from made_exp.model.made import MADE
from made_exp.model.network_vjp import is_plain
from made_exp.settings.training import TrainerSettings
from made_exp.training.batches import Batches
from made_exp.training.cuda_graph import GraphedStep
from made_exp.training.direct_step import DirectStep
from made_exp.training.distributed import World
from made_exp.training.step import TrainStep


def wants_graph(model: MADE, optimizer: str, batches: Batches, world: World) -> bool:
    """Whether a CUDA graph can replay the steps: one GPU, one member, and no wait for the host."""
    is_resampled = model.max_orderings != 1
    # To sort units in the step, or to give each example its own ordering, the host is asked.
    waits = batches.has_missing or model.members[0].network.backend == "staircase"
    return (
        model.device.type == "cuda"
        and world.size == 1
        and optimizer in ("adam", "adamw", "sgd")
        and len(model.members) == 1
        and not (is_resampled and waits)
    )


def step_kind(
    model: MADE,
    batches: Batches,
    *,
    precision: str = "fp32",
    world_size: int = 1,
    graph: bool = False,
) -> type[TrainStep]:
    """The fastest form for these: without autograd on the CPU, with `graph` from a CUDA graph.

    `DirectStep` serves one process and a plain network, where no value is missing.
    """
    if graph:
        return GraphedStep
    is_direct = (
        model.device.type == "cpu"
        and world_size == 1
        and precision != "bf16"
        and all(is_plain(member.network) for member in model.members)
        and not batches.has_missing
    )
    return DirectStep if is_direct else TrainStep


def make_step(
    model: MADE,
    optimizers: Sequence[Optimizer],
    batches: Batches,
    settings: TrainerSettings,
    world: World,
    *,
    graph: bool = False,
) -> TrainStep:
    """The step for these settings; with `graph`, one that is replayed from a CUDA graph."""
    kind = step_kind(
        model, batches, precision=settings.precision, world_size=world.size, graph=graph
    )
    return kind(
        model,
        optimizers,
        batches,
        precision=settings.precision,
        grad_clip=settings.grad_clip,
        seed=batches.seed,
        rank=world.rank,
        world_size=world.size,
    )
