"""The models that are compared: ours by kernel, the plain masked MLP, and peers from PyPI.

Each is a function of (task) that returns one whole training step: gather a batch, negative
log-likelihood of binary data, gradient, optimizer. Peers and the plain MLP use Adam with torch's
defaults, as most people write it; ours is the step that `made-train` runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from made_exp.kernels.backends import triton_is_usable
from made_exp.kernels.bfloat16 import has_bfloat16_products
from made_exp.model.build import build_made
from made_exp.model.made import MADE
from made_exp.model.member_schedules import make_schedules
from made_exp.settings.model import MadeSettings
from made_exp.settings.ordering import AgnosticSettings, EnsembleSettings, OrderingSettings
from made_exp.settings.training import AdamSettings, TrainerSettings
from made_exp.training.assembly import step_kind
from made_exp.training.batches import Batches
from made_exp.training.cuda_graph import GraphedStep
from made_exp.training.learner import TrainedMember
from made_exp.training.optimizers import make_optimizer
from made_exp.variables.variable import Kind, Variable

PLAIN = "plain masked MLP"
OURS_BFLOAT16 = "ours, bf16"
NUM_EXAMPLES = 2000
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Task:
    """One size to measure.

    Attributes:
        num_dims: Number of binary variables D.
        hidden_sizes: Units of each hidden layer.
        batch_size: Examples a step.
        device: Where it runs.
        precision: fp32, tf32 or bf16; peers and the plain MLP follow through autocast.
    """

    num_dims: int
    hidden_sizes: tuple[int, ...]
    batch_size: int
    device: torch.device
    precision: str = "fp32"

    def data(self) -> Tensor:
        """(N, D) uint8 random bits, the same for every candidate."""
        generator = torch.Generator().manual_seed(0)
        bits = torch.rand(NUM_EXAMPLES, self.num_dims, generator=generator) < 0.5
        return bits.to(torch.uint8).to(self.device)

    def batches(self) -> list[Tensor]:
        """Index vectors (B,) that the steps go round."""
        generator = torch.Generator().manual_seed(1)
        order = torch.randint(NUM_EXAMPLES, (16, self.batch_size), generator=generator)
        return list(order.to(self.device))


Builder = Callable[[Task], Callable[[], object]]


def builders(task: Task) -> dict[str, Builder]:
    """Every candidate that this device has, by name; the first is what ratios refer to."""
    kernels = ["dense", "staircase"]
    if triton_is_usable(task.device) and task.device.type == "cuda":
        kernels.append("triton")
    found: dict[str, Builder] = {PLAIN: plain_step, "plain, fused Adam": plain_fused_step}
    found["ours"] = _ours()
    for kernel in kernels:
        found[f"ours, {kernel}"] = _ours(kernel=kernel)
    found["ours, resampled masks"] = _ours(resampled=True)
    if task.device.type == "cpu" and task.precision == "fp32" and has_bfloat16_products():
        found[OURS_BFLOAT16] = _ours(precision="bf16")
    if task.device.type == "cuda":
        for kernel in kernels:
            found[f"ours, {kernel}, CUDA graph"] = _ours(kernel=kernel, graph=True)
        found["ours, CUDA graph"] = _ours(graph=True)
        found["ours, resampled masks, CUDA graph"] = _ours(resampled=True, graph=True)
        found["ours, a step of 8 members"] = _ours(members=8)
        found["ours, a step of 8 members, CUDA graphs"] = _ours(members=8, graph=True)
        found["plain, torch.compile"] = plain_compiled_step
    return found | {"zuko": zuko_step, "nflows": nflows_step, "pyro": pyro_step}


def degree_vectors(num_dims: int, hidden_sizes: Sequence[int]) -> list[Tensor]:
    """Degrees of inputs, hidden layers and outputs of the natural ordering."""
    hidden = [torch.arange(size) * (num_dims - 1) // size + 1 for size in hidden_sizes]
    return [torch.arange(num_dims) + 1, *hidden, torch.arange(num_dims)]


class PlainMaskedLinear(nn.Linear):
    """A masked layer as most people write it: weight times mask in every pass."""

    def __init__(self, in_degrees: Tensor, out_degrees: Tensor) -> None:
        super().__init__(len(in_degrees), len(out_degrees))
        self.register_buffer("mask", (out_degrees[:, None] >= in_degrees).float())

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, I) to (B, O)."""
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


def plain_network(task: Task) -> nn.Module:
    """The plain masked MLP of the task, D inputs to D logits."""
    degrees = degree_vectors(task.num_dims, task.hidden_sizes)
    layers: list[nn.Module] = []
    for below, above in pairwise(degrees):
        layers += [PlainMaskedLinear(below, above), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def plain_step(task: Task) -> Callable[[], object]:
    """The plain masked MLP with Adam as it comes."""
    return _network_step(plain_network(task), task)


def plain_fused_step(task: Task) -> Callable[[], object]:
    """The plain masked MLP with the optimizer that ours uses."""
    return _network_step(plain_network(task), task, fused=True)


def plain_compiled_step(task: Task) -> Callable[[], object]:
    """Dense masked layers under torch.compile, with the optimizer that ours uses."""
    return _network_step(plain_network(task), task, fused=True, compiled=True)


def zuko_step(task: Task) -> Callable[[], object]:
    """The MaskedMLP of zuko."""
    from zuko.nn import MaskedMLP

    earlier = torch.ones(task.num_dims, task.num_dims, dtype=torch.bool).tril(-1)
    return _network_step(MaskedMLP(earlier, hidden_features=task.hidden_sizes), task)


def nflows_step(task: Task) -> Callable[[], object]:
    """The MADE of nflows, whose hidden layers all have one size."""
    from nflows.transforms.made import MADE as NflowsMADE

    if len(set(task.hidden_sizes)) > 1:
        raise ValueError("nflows has hidden layers of one size only")
    network = NflowsMADE(
        task.num_dims,
        task.hidden_sizes[0],
        num_blocks=len(task.hidden_sizes) - 1,
        use_residual_blocks=False,
    )
    return _network_step(network, task)


def pyro_step(task: Task) -> Callable[[], object]:
    """The AutoRegressiveNN of Pyro."""
    from pyro.nn import AutoRegressiveNN

    network = AutoRegressiveNN(
        task.num_dims,
        list(task.hidden_sizes),
        param_dims=[1],
        permutation=torch.arange(task.num_dims),
    )
    return _network_step(network, task)


def our_model(
    task: Task, *, kernel: str = "auto", resampled: bool = False, members: int = 1
) -> MADE:
    """A MADE of this package with Bernoulli conditionals, of one member or of several."""
    variables = [Variable(f"x{d}", Kind.BINARY, 2) for d in range(task.num_dims)]
    network = MadeSettings(
        hidden_sizes=list(task.hidden_sizes), dropout=0.0, direct_connections=False
    )
    orders = AgnosticSettings() if resampled else OrderingSettings("natural")
    if members > 1:
        orders = EnsembleSettings(num_orderings=members)
    schedules = make_schedules(orders, network, task.num_dims)
    generator = torch.Generator().manual_seed(0)
    model = build_made(
        variables,
        schedules,
        network,
        kernel=kernel,
        device=task.device,
        dtype=torch.bfloat16 if task.precision == "bf16" else torch.float32,
        generator=generator,
    )
    return model.to(task.device)


def _ours(
    kernel: str = "auto",
    resampled: bool = False,
    members: int = 1,
    graph: bool = False,
    precision: str | None = None,
) -> Builder:
    def build(task: Task) -> Callable[[], object]:
        task = replace(task, precision=precision or task.precision)
        model = our_model(task, kernel=kernel, resampled=resampled, members=members)
        for index in range(model.max_orderings):  # made once, used in every epoch
            model.component(index)
        adam = AdamSettings(lr=LEARNING_RATE)
        trained = [
            TrainedMember(network, make_optimizer(adam, network, capturable=graph))
            for network in model.members
        ]
        batches = Batches(task.data(), task.batch_size, seed=0, device=task.device)
        settings = TrainerSettings(precision=task.precision)
        kind = GraphedStep if graph else step_kind(model, batches, settings)
        step = kind(model, trained, batches, settings)
        indices, count = task.batches(), 0

        def run() -> object:
            nonlocal count
            count += 1
            with step.beside(model.member_at(count)):
                return step(indices[count % len(indices)], count, LEARNING_RATE)

        for _ in range(4 * members if graph else 0):  # recorded before anything is timed
            run()
        return run

    return build


def _network_step(
    network: nn.Module, task: Task, *, fused: bool = False, compiled: bool = False
) -> Callable[[], object]:
    network.to(task.device)
    options: dict[str, Any] = {"fused": True} if fused else {}
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, **options)
    data, indices, count = task.data(), task.batches(), 0
    forward = torch.compile(network) if compiled else network

    def run() -> object:
        nonlocal count
        count += 1
        x = data[indices[count % len(indices)]].float()
        optimizer.zero_grad()
        with torch.autocast(task.device.type, torch.bfloat16, enabled=task.precision == "bf16"):
            logits = forward(x)
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits.reshape(x.shape).float(), x, reduction="sum"
        )
        (loss / len(x)).backward()
        optimizer.step()
        return loss

    return run
