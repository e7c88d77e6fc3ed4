"""Options of the groups `optimizer`, `scheduler` and `trainer`."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from made_exp.settings.base import OptimizerSettings, OptionSettings, SchedulerSettings
from made_exp.settings.ranges import above, at_least, fraction

_EVALUATIONS = 100


def _check_betas(betas: list[float]) -> None:
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must be two numbers at least 0 and below 1, got {list(betas)}")


@dataclass
class AdamSettings(OptimizerSettings):
    """Adam; `lr` > 0, `weight_decay` >= 0 (added to the gradient), `betas` in [0, 1)."""

    name: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])

    def _check(self) -> None:
        above(self, 0, "lr")
        at_least(self, 0, "weight_decay")
        _check_betas(self.betas)


@dataclass
class AdamWSettings(OptimizerSettings):
    """Adam with decoupled weight decay; `lr` > 0, `weight_decay` >= 0, `betas` in [0, 1)."""

    name: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-2
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])

    def _check(self) -> None:
        above(self, 0, "lr")
        at_least(self, 0, "weight_decay")
        _check_betas(self.betas)


@dataclass
class SgdSettings(OptimizerSettings):
    """Gradient descent; `lr` > 0, `momentum` in [0, 1), `nesterov` needs momentum."""

    name: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def _check(self) -> None:
        above(self, 0, "lr")
        at_least(self, 0, "weight_decay")
        fraction(self, "momentum")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=true needs momentum > 0, got 0.0")


@dataclass
class AdagradSettings(OptimizerSettings):
    """Adagrad, as in the MADE paper; `lr` > 0, `weight_decay` >= 0."""

    name: str = "adagrad"
    lr: float = 1e-2
    weight_decay: float = 0.0

    def _check(self) -> None:
        above(self, 0, "lr")
        at_least(self, 0, "weight_decay")


@dataclass
class AdadeltaSettings(OptimizerSettings):
    """Adadelta, as in the MADE paper; `lr` > 0, `rho` in [0, 1), `eps` > 0."""

    name: str = "adadelta"
    lr: float = 1.0
    rho: float = 0.95
    eps: float = 1e-6
    weight_decay: float = 0.0

    def _check(self) -> None:
        above(self, 0, "lr", "eps")
        at_least(self, 0, "weight_decay")
        fraction(self, "rho")


@dataclass
class ConstantSettings(SchedulerSettings):
    """The same learning rate throughout, after `warmup_steps` >= 0 of linear rise."""

    name: str = "constant"
    warmup_steps: int = 0

    def _check(self) -> None:
        at_least(self, 0, "warmup_steps")


@dataclass
class CosineSettings(SchedulerSettings):
    """A cosine from the learning rate to `final_fraction` (in [0, 1]) of it, after a warm-up."""

    name: str = "cosine"
    warmup_steps: int = 0
    final_fraction: float = 0.0

    def _check(self) -> None:
        at_least(self, 0, "warmup_steps")
        fraction(self, "final_fraction", one_included=True)


@dataclass
class PlateauSettings(SchedulerSettings):
    """Multiply by `factor` after `patience` evaluations without progress, down to `min_lr`."""

    name: str = "plateau"
    factor: float = 0.5
    patience: int = 5
    min_lr: float = 1e-6

    def _check(self) -> None:
        above(self, 0, "factor")
        fraction(self, "factor")
        at_least(self, 0, "patience", "min_lr")


class Precision(StrEnum):
    """Arithmetic of the matrix products."""

    fp32 = "fp32"
    tf32 = "tf32"
    bf16 = "bf16"


class Kernel(StrEnum):
    """Implementation of the masked product."""

    auto = "auto"
    dense = "dense"
    staircase = "staircase"
    triton = "triton"


class ProgressDisplay(StrEnum):
    """What is shown while training; auto = a display on a terminal, plain lines elsewhere."""

    auto = "auto"
    plain = "plain"
    off = "off"


@dataclass
class TrainerSettings(OptionSettings):
    """How long, on what and how carefully to train; every field is explained in conf/trainer."""

    name: str = "default"
    epochs: int = 60
    min_steps: int | None = None
    max_steps: int | None = None
    batch_size: int = 100
    patience: int | None = 20
    eval_every: int | None = 1
    eval_batch_size: int = 1000
    device: str = "auto"
    precision: Precision = Precision.fp32
    kernel: Kernel = Kernel.auto
    grad_clip: float | None = None
    weight_averaging: float = 0.999
    sparsity: float = 0.0
    sparsity_spread: float = 1.0
    max_minutes: float | None = None
    checkpoint_every_seconds: float = 300.0
    samples_every: int = 10
    num_samples: int = 100
    animation: bool = False
    num_threads: int | None = None
    progress: ProgressDisplay = ProgressDisplay.auto
    tensorboard: bool = True
    check_numbers: bool = True

    def total_epochs(self, num_batches: int) -> int:
        """Epochs after which training ends at the latest, for `num_batches` an epoch."""
        return max(self.epochs, -(-(self.min_steps or 0) // num_batches))

    def total_steps(self, num_batches: int) -> int:
        """Optimizer steps after which training ends at the latest, for `num_batches` an epoch."""
        steps = self.total_epochs(num_batches) * num_batches
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def epochs_between(self, num_batches: int) -> int:
        """Epochs between evaluations; without `eval_every`, for about a hundred in all."""
        if self.eval_every is not None:
            return self.eval_every
        return max(1, self.total_steps(num_batches) // (num_batches * _EVALUATIONS))

    def _check(self) -> None:
        at_least(self, 0, "epochs", "samples_every", "checkpoint_every_seconds", "sparsity")
        at_least(
            self,
            1,
            "sparsity_spread",
            "min_steps",
            "max_steps",
            "batch_size",
            "patience",
            "eval_every",
            "eval_batch_size",
        )
        at_least(self, 1, "num_samples", "num_threads")
        above(self, 0, "grad_clip", "max_minutes")
        fraction(self, "weight_averaging")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(
                f"device must be auto, cpu, cuda, cuda:0, cuda:1, ..., got '{self.device}'"
            )
