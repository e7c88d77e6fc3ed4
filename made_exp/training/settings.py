"""What the training loop needs to know, validated on construction."""

from dataclasses import dataclass

from made_exp.runtime import PRECISIONS

EVALUATIONS = 100


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How long, in what steps and in what precision to train.

    Attributes:
        epochs: Passes over the training data.
        min_steps: Optimizer steps for which there are more epochs if need be; None for `epochs`.
        max_steps: Optimizer steps after which training ends; None for no limit.
        max_minutes: Minutes of training (interruptions not counted) after which it ends.
        batch_size: Examples a step, of all processes together.
        patience: Evaluations without improvement after which training ends; None: never.
        eval_every: Epochs between evaluations; None for about a hundred in the whole training.
        precision: fp32, tf32 or bf16.
        grad_clip: Largest norm of the gradient; None for no limit.
        weight_averaging: Decay of the moving average of the weights; 0 for none.
        sparsity: L1 penalty, in learning rates by which an epoch pulls a weight to zero; 0: none.
        sparsity_spread: Largest ratio by which the sparsity of an ensemble's members differs from
            `sparsity`.
        checkpoint_every_seconds: Longest time between two checkpoints.
        samples_every: Evaluations between two sample pictures; 0 for none.
        check_numbers: Whether a loss that is not finite stops training.
        cuda_graph: Whether a GPU replays the step from a recorded graph where it can.
        seed: Seed of the batches, binarization and dropout.
    """

    epochs: int = 100
    min_steps: int | None = None
    max_steps: int | None = None
    max_minutes: float | None = None
    batch_size: int = 100
    patience: int | None = 20
    eval_every: int | None = 1
    precision: str = "fp32"
    grad_clip: float | None = None
    weight_averaging: float = 0.0
    sparsity: float = 0.0
    sparsity_spread: float = 1.0
    checkpoint_every_seconds: float = 300.0
    samples_every: int = 10
    check_numbers: bool = True
    cuda_graph: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"epochs must be >= 0, got {self.epochs}")
        for name in ("min_steps", "max_steps", "batch_size", "patience", "eval_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        for name in ("max_minutes", "grad_clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be > 0, got {value}")
        if not self.sparsity >= 0:
            raise ValueError(f"sparsity must be >= 0, got {self.sparsity}")
        if not self.sparsity_spread >= 1:
            raise ValueError(f"sparsity_spread must be >= 1, got {self.sparsity_spread}")
        if not 0 <= self.weight_averaging < 1:
            raise ValueError(f"weight_averaging must be in [0, 1), got {self.weight_averaging}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision '{self.precision}' is not one of {', '.join(PRECISIONS)}")


def total_epochs(settings: TrainingSettings, num_batches: int) -> int:
    """Epochs after which training ends at the latest, for `num_batches` an epoch."""
    return max(settings.epochs, -(-(settings.min_steps or 0) // num_batches))


def total_steps(settings: TrainingSettings, num_batches: int) -> int:
    """Optimizer steps after which training ends at the latest, for `num_batches` an epoch."""
    steps = total_epochs(settings, num_batches) * num_batches
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


def epochs_between(settings: TrainingSettings, num_batches: int) -> int:
    """Epochs between evaluations that make about a hundred of them in the whole training."""
    return max(1, total_steps(settings, num_batches) // (num_batches * EVALUATIONS))
