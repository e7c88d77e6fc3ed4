"""Options of the groups `optimizer`, `scheduler` and `trainer`."""

import re
from dataclasses import dataclass
from typing import ClassVar

from made_exp.settings.base import OptionSettings, check_device, setting

_EVALUATIONS = 100


@dataclass
class OptimizerSettings(OptionSettings):
    """Any option of the group `optimizer`; what is not `lr` or `weight_decay` goes to torch.

    Attributes:
        torch_class: Its name in torch.optim.
    """

    torch_class: ClassVar[str]

    lr: float = setting(1e-3, "learning rate", above=0)
    weight_decay: float = setting(0.0, "of all but the biases", at_least=0)


@dataclass
class AdamSettings(OptimizerSettings):
    """Adam."""

    torch_class: ClassVar[str] = "Adam"

    name: str = "adam"
    betas: list[float] = setting([0.9, 0.999], "decay of the means of gradients and squares")

    def _check(self) -> None:
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(
                f"betas must be two numbers at least 0 and below 1, got {list(self.betas)}"
            )


@dataclass
class AdamWSettings(AdamSettings):
    """Adam with decoupled weight decay."""

    torch_class: ClassVar[str] = "AdamW"

    name: str = "adamw"
    weight_decay: float = setting(1e-2, "of all but the biases", at_least=0)


@dataclass
class SgdSettings(OptimizerSettings):
    """Gradient descent with momentum."""

    torch_class: ClassVar[str] = "SGD"

    name: str = "sgd"
    lr: float = setting(0.1, "learning rate", above=0)
    momentum: float = setting(0.9, "decay of the running gradient", at_least=0, below=1)
    nesterov: bool = setting(False, "look ahead; needs momentum")

    def _check(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=true needs momentum > 0, got 0.0")


@dataclass
class AdagradSettings(OptimizerSettings):
    """Adagrad, as in the MADE paper."""

    torch_class: ClassVar[str] = "Adagrad"

    name: str = "adagrad"
    lr: float = setting(1e-2, "learning rate", above=0)


@dataclass
class AdadeltaSettings(OptimizerSettings):
    """Adadelta, as in the MADE paper."""

    torch_class: ClassVar[str] = "Adadelta"

    name: str = "adadelta"
    lr: float = setting(1.0, "learning rate", above=0)
    rho: float = setting(0.95, "decay of the means of squares", at_least=0, below=1)
    eps: float = setting(1e-6, "added to the means of squares", above=0)


@dataclass
class SchedulerSettings(OptionSettings):
    """Any option of the group `scheduler`."""


@dataclass
class WarmupSettings(SchedulerSettings):
    """A schedule with a linear rise at its start."""

    warmup_steps: int = setting(0, "steps of linear rise at the start", at_least=0)


@dataclass
class ConstantSettings(WarmupSettings):
    """The same learning rate throughout."""

    name: str = "constant"


@dataclass
class CosineSettings(WarmupSettings):
    """A cosine from the learning rate to `final_fraction` of it."""

    name: str = "cosine"
    final_fraction: float = setting(0.0, "of the learning rate, at the end", at_least=0, at_most=1)


@dataclass
class AnnealSettings(WarmupSettings):
    """The learning rate for as long as valid gains by it, then a cosine to zero from its best."""

    name: str = "anneal"
    patience: int = setting(6, "evaluations without progress before annealing", at_least=1)
    fraction: float = setting(
        0.3, "steps of annealing, of those that the best took; ends a budget too", above=0
    )
    least_gain: float = setting(
        0.0,
        "standard errors of valid that twice the steps must gain, or annealing begins; try 0.1",
        at_least=0,
    )


@dataclass
class PlateauSettings(SchedulerSettings):
    """Smaller steps when the validation NLL stops falling."""

    name: str = "plateau"
    factor: float = setting(0.5, "the learning rate is multiplied by this", above=0, below=1)
    patience: int = setting(5, "after so many evaluations without progress", at_least=0)
    min_lr: float = setting(1e-6, "smallest learning rate", at_least=0)


@dataclass
class TrainerSettings(OptionSettings):
    """How long, on what and how carefully to train."""

    name: str = "default"
    epochs: int = setting(60, "at most", at_least=0)
    min_steps: int | None = setting(
        None, "add epochs until there are so many steps: for small tables", at_least=1
    )
    max_steps: int | None = setting(None, "stop after so many steps", at_least=1)
    batch_size: int = setting(100, "examples a step", at_least=1)
    longest_epoch: int | None = setting(
        None,
        "steps of an epoch at most, for which batches of long tables are larger; try 600",
        at_least=1,
    )
    draws: int = setting(10_000, "rows of an epoch, with a teacher", at_least=1)
    real_share: float = setting(
        0.5, "of these are rows of train, not drawn from the teacher", at_least=0, at_most=1
    )
    patience: int | None = setting(
        20, "evaluations without progress before stopping; null = never", at_least=1
    )
    eval_every: int | None = setting(
        1, "epochs between evaluations on valid; null = as many as are of use", at_least=1
    )
    eval_batch_size: int = setting(1000, "examples at a time in evaluations", at_least=1)
    valid_examples: int | None = setting(
        None, "examples of valid that are scored while training; null = all", at_least=1
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:0, ...")
    precision: str = setting(
        "fp32",
        "arithmetic of matrix products; auto = bf16 on CPUs that gain by it",
        choices=("fp32", "tf32", "bf16", "auto"),
    )
    kernel: str = setting(
        "auto",
        "how masked products are computed",
        choices=("auto", "dense", "staircase", "triton"),
    )
    grad_clip: float | None = setting(None, "largest norm of the gradient", above=0)
    weight_averaging: float = setting(
        0.999, "decay of the average of the weights that is evaluated; 0 = off", at_least=0, below=1
    )
    sparsity: float = setting(
        0.0,
        "L1 penalty: learning rates by which an epoch pulls a weight to 0, in steps of batch_size; "
        "try 4",
        at_least=0,
    )
    sparsity_spread: float = setting(
        1.0, "an ensemble's members have sparsity / spread to sparsity * spread", at_least=1
    )
    match_lengths: bool = setting(
        False,
        "shift all log-odds at the end, so that draws of binary rows have as many ones as train",
    )
    max_minutes: float | None = setting(
        None, "budget of time, in which a falling schedule comes to its end", above=0
    )
    checkpoint_every_seconds: float = setting(
        300.0, "longest time between two checkpoints", at_least=0
    )
    samples_every: int = setting(
        10, "evaluations between sample pictures; 0 = only at the end", at_least=0
    )
    num_samples: int = setting(100, "samples in a picture", at_least=1)
    animation: bool = setting(False, "a GIF of the sample pictures")
    num_threads: int | None = setting(
        None,
        "CPU threads; null = all, divided among jobs; one a process of an ensemble",
        at_least=1,
    )
    processes: str = setting(
        "auto", "processes that train the members of an ensemble; auto = one a CPU, or a number"
    )
    progress: str = setting(
        "auto",
        "auto = a display on a terminal, plain lines elsewhere",
        choices=("auto", "plain", "off"),
    )
    tensorboard: bool = setting(True, "write TensorBoard events")
    check_numbers: bool = setting(True, "stop when a loss is not finite")

    def rows_a_step(self, num_rows: int) -> int:
        """Examples a step of a table of so many: `batch_size`, or a multiple in long epochs."""
        if self.longest_epoch is None:
            return self.batch_size
        return self.batch_size * max(1, -(-num_rows // (self.batch_size * self.longest_epoch)))

    def total_epochs(self, num_batches: int) -> int:
        """Epochs after which training ends at the latest, for `num_batches` an epoch."""
        return max(self.epochs, -(-(self.min_steps or 0) // num_batches))

    def total_steps(self, num_batches: int) -> int:
        """Optimizer steps after which training ends at the latest, for `num_batches` an epoch."""
        steps = self.total_epochs(num_batches) * num_batches
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def ending(self, step: int, num_batches: int) -> str:
        """What ends training at a step, where it is the last; else nothing."""
        if step < self.total_steps(num_batches):
            return ""
        is_short = self.max_steps is not None and step >= self.max_steps
        name = "max_steps" if is_short else "epochs"
        return f", the last by trainer.{name}={getattr(self, name)}"

    def epochs_between(self, num_batches: int, *, adapts: bool = False) -> int | None:
        """Epochs between evaluations; without `eval_every`, for about a hundred in all.

        None where the schedule `adapts` to the table, so that the length is not known.
        """
        if self.eval_every is not None or adapts:
            return self.eval_every
        return max(1, self.total_steps(num_batches) // (num_batches * _EVALUATIONS))

    @property
    def num_processes(self) -> int | None:
        """The number that `processes` gives; None where it is auto."""
        return None if self.processes == "auto" else int(self.processes)

    def _check(self) -> None:
        check_device(self.device)
        self.processes = str(self.processes)  # a number from Python
        if not re.fullmatch("auto|0*[1-9][0-9]*", self.processes):
            raise ValueError(
                f"processes must be auto or a whole number >= 1, got '{self.processes}'"
            )
