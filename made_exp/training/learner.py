"""What training changes: the members of a model, each with its optimizer, average and penalty.

Checkpoints hold weights and optimizer state by parameter name, in the layout of the state_dict. A
layer may store its weight in another form (packed, sorted), and optimizer state follows that form;
both are turned around here, so that a checkpoint does not depend on the kernel or the device.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from made_exp.model.layers import MaskedLinear
from made_exp.model.made import MADE
from made_exp.model.networks import MaskedNetwork
from made_exp.training.regularisation import L1Penalty, WeightAverage
from made_exp.training.schedulers import Scheduler
from made_exp.training.sharing import Shares, all_mine, share_out
from made_exp.training.state import TrainState
from made_exp.training.world import World

SavedState = dict[str, dict[str, Tensor]]
_RECENT = 20


@dataclass(frozen=True, eq=False)
class TrainedMember:
    """One member of a model, and what trains it alone.

    Attributes:
        network: Its network.
        optimizer: Of the network's parameters.
        average: Moving average of these, or None.
        penalty: Pull of its weights towards zero, or None.
    """

    network: MaskedNetwork
    optimizer: Optimizer
    average: WeightAverage | None = None
    penalty: L1Penalty | None = None

    def share_at(self, turn: int) -> float:
        """The share in [0, 1] that the weights after its step `turn` have of their average."""
        return 0.0 if self.average is None else self.average.share_at(turn)

    def finish_step(self, lr: float | Tensor, share: float | Tensor) -> None:
        """Do what follows the optimizer's step of learning rate `lr`; see `share_at`.

        Numbers on the CPU, or () on the device of the network, which a CUDA graph can read.
        """
        if self.penalty is not None:
            self.penalty.shrink(lr)
        if self.average is not None:
            self.average.update(share)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it, besides the weights that are evaluated."""
        own = dict(self.network.named_parameters())
        unaveraged = None if self.average is None else saved_layout(self.network, own)
        return {
            "unaveraged": unaveraged,
            "optimizer": optimizer_state(self.network, self.optimizer),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave; the network has the weights that are evaluated."""
        if self.average is not None:
            self.average.restart()
            self.network.load_state_dict(state["unaveraged"])
        load_optimizer_state(self.network, self.optimizer, state["optimizer"])


@dataclass
class Learner:
    """What training changes and a checkpoint holds.

    Step s (0, 1, ...) trains member `MADE.member_at(s)`, and reads nothing of the others. Its
    batch, binarization, dropout and masks are functions of (seed, s), its learning rate one of s
    (and of the evaluations before). So the members may be trained in any order, or each in a
    process of its own, and end with the same weights to the bit.

    Attributes:
        model: The model, on its device.
        members: Its members, in their order.
        scheduler: Factor of the learning rate at each step.
        losses: (batches,) float64, of the present epoch; kept on the device, not to wait for it.
        state: Progress.
        shares: Which members this process trains; of the others it has what they were at its
            start, or at the last `gather_weights`.
    """

    model: MADE
    members: tuple[TrainedMember, ...]
    scheduler: Scheduler
    losses: Tensor
    state: TrainState = field(default_factory=TrainState)
    shares: Shares = field(init=False)

    def __post_init__(self) -> None:
        self.shares = all_mine(len(self.members))

    def share(self, world: World) -> None:
        """Train from here on those members alone that are this process's among `world`."""
        costs = [sum(p.numel() for p in member.network.parameters()) for member in self.members]
        self.shares = share_out(world, costs)

    @property
    def own(self) -> list[TrainedMember]:
        """The members that this process trains."""
        return [self.members[number] for number in self.shares.own]

    def number_at(self, step: int) -> int:
        """Number of the member that `step` (0, 1, ...) trains."""
        return self.model.member_at(step)

    def member_at(self, step: int) -> TrainedMember:
        """The member that `step` (0, 1, ...) trains."""
        return self.members[self.number_at(step)]

    @contextmanager
    def evaluated_weights(self) -> Iterator[None]:
        """While entered, the model has the weights that are evaluated: averaged, if at all."""
        with ExitStack() as stack:
            for member in self.own:
                if member.average is not None:
                    stack.enter_context(member.average.applied())
            yield

    def start_from(self, number: int, weights: Mapping[str, Tensor]) -> None:
        """Go on with a member from its state_dict, which is also what is averaged from here on."""
        member = self.members[number]
        member.network.load_state_dict(weights)
        if member.average is not None:
            member.average.restart()

    def gather_weights(self) -> None:
        """Give the main process's model the weights that all members have now."""
        if not self.shares.is_shared:
            return
        networks = [member.network for member in self.members]
        for member, weights in enumerate(
            self.shares.collect(lambda member: networks[member].state_dict()) or ()
        ):
            if not self.shares.owns(member):
                networks[member].load_state_dict(weights)

    def gather_losses(self) -> Tensor | None:
        """The losses of the present epoch, or of the one just ended; None if not the main process.

        (batches done,) float64 on the CPU.
        """
        parts = self.shares.world.gather(self.losses.cpu())
        if parts is None:
            return None
        done = self.state.position or len(self.losses)
        first = self.state.step - done
        owners = self.shares.owners
        of_step = [owners[self.number_at(first + place)] for place in range(done)]
        return torch.stack(parts)[torch.tensor(of_step, dtype=torch.long), torch.arange(done)]

    def mean_loss(self) -> Tensor:
        """Mean () of the losses of `gather_losses`, of members that do not rest; NaN elsewhere."""
        losses = self.gather_losses()
        return torch.tensor(torch.nan) if losses is None else _mean_of_trained(losses)

    def recent_loss(self) -> float:
        """Mean of the last losses, of members that do not rest."""
        last = self.state.position
        return float(_mean_of_trained(self.losses[max(0, last - _RECENT) : last]))

    def first_bad_loss(self, start: int) -> tuple[int, float] | None:
        """Position and value of the first loss from `start` on that is not finite, if any is."""
        values = self.losses[start : self.state.position].cpu()
        bad = torch.nonzero(~torch.isfinite(values)).flatten()
        return (start + int(bad[0]), float(values[bad[0]])) if len(bad) else None

    def first_bad_parameter(self) -> str | None:
        """Name of a parameter that is not finite, or None."""
        for number in self.shares.own:
            network = self.members[number].network
            # Their sum is not finite if one of them is not; it may overflow, so it is not enough.
            sums = [parameter.detach().sum() for parameter in network.parameters()]
            if bool(torch.isfinite(torch.stack(sums)).all()):
                continue
            for name, parameter in network.named_parameters():
                if not bool(torch.isfinite(parameter).all()):
                    return f"networks.{number}.{name}"
        return None


def saved_layout(model: nn.Module, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors like parameters or buffers, by name, on the CPU as the state_dict has them."""
    layers = _layers(model)
    return {
        name: (layers[name].dense_layout(value) if name in layers else value).detach().cpu()
        for name, value in values.items()
    }


@torch.no_grad()
def optimizer_state(model: nn.Module, optimizer: Optimizer) -> SavedState:
    """The tensors that `optimizer` keeps of each parameter of `model`, by the parameter's name."""
    layers = _layers(model)
    saved: SavedState = {}
    for name, parameter in model.named_parameters():
        saved[name] = {}
        for key, value in optimizer.state.get(parameter, {}).items():
            if torch.is_tensor(value):
                is_weight = name in layers and value.shape == parameter.shape
                dense = layers[name].dense_layout(value) if is_weight else value
                saved[name][key] = dense.cpu()
    return saved


@torch.no_grad()
def load_optimizer_state(model: nn.Module, optimizer: Optimizer, saved: SavedState) -> None:
    """Take up what `optimizer_state` gave, also of a model with another kernel."""
    layers, groups = _layers(model), optimizer.param_groups
    counts_on_device = any(group.get("capturable") or group.get("fused") for group in groups)
    for name, parameter in model.named_parameters():
        for key, value in saved[name].items():
            if key != "step" or counts_on_device:
                value = value.to(parameter.device)
            if name in layers and value.ndim == 2:
                value = layers[name].stored_layout(value)
            optimizer.state[parameter][key] = value.clone()


def _layers(model: nn.Module) -> dict[str, MaskedLinear]:
    """The masked layers by the names of their weights."""
    return {
        f"{name}.weight": layer
        for name, layer in model.named_modules()
        if isinstance(layer, MaskedLinear)
    }


def _mean_of_trained(losses: Tensor) -> Tensor:
    """Mean () of losses (n,) but for those of members that rest, which are 0; 0 where all are."""
    return losses.sum() / (losses != 0).sum().clamp(min=1)
