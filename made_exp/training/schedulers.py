"""Learning-rate schedules: a factor of the base rate as a function of the step."""

import math
from abc import ABC, abstractmethod
from typing import Any

SCHEDULERS = ("constant", "cosine", "plateau")


class Scheduler(ABC):
    """What the base learning rate is multiplied by at each step."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """Factor (>= 0) of optimizer step `step` (0, 1, ...)."""

    def observe(self, valid_nll: float) -> None:  # noqa: B027
        """Take note of an evaluation (nats)."""

    def state_dict(self) -> dict[str, Any]:
        """What cannot be computed from the step, as plain numbers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take up a state that `state_dict` gave."""


class Constant(Scheduler):
    """The base rate, after a linear rise over `warmup_steps`."""

    def __init__(self, warmup_steps: int = 0) -> None:
        self.warmup_steps = _at_least("warmup_steps", warmup_steps, 0)

    def factor(self, step: int) -> float:
        """See `Scheduler.factor`."""
        return min(1.0, (step + 1) / (self.warmup_steps + 1))


class Cosine(Scheduler):
    """Half a cosine from the base rate down to `final_fraction` of it at the last step.

    Args:
        total_steps: Steps of the whole training.
        warmup_steps: Steps of the linear rise before.
        final_fraction: In [0, 1].
    """

    def __init__(
        self, total_steps: int, warmup_steps: int = 0, final_fraction: float = 0.0
    ) -> None:
        if not 0 <= final_fraction <= 1:
            raise ValueError(f"final_fraction must be in [0, 1], got {final_fraction}")
        self.total_steps = total_steps
        self.warmup_steps = _at_least("warmup_steps", warmup_steps, 0)
        self.final_fraction = final_fraction

    def factor(self, step: int) -> float:
        """See `Scheduler.factor`."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        progress = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        wave = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
        return self.final_fraction + (1 - self.final_fraction) * wave


class Plateau(Scheduler):
    """The base rate, cut by `reduction` after `patience` evaluations without improvement.

    Args:
        reduction: What the rate is multiplied by, in (0, 1).
        patience: Evaluations without improvement that are tolerated.
        min_factor: The factor never falls below it.
    """

    def __init__(self, reduction: float = 0.5, patience: int = 5, min_factor: float = 0.0) -> None:
        if not 0 < reduction < 1:
            raise ValueError(f"factor must be in (0, 1), got {reduction}")
        self.reduction = reduction
        self.patience = _at_least("patience", patience, 0)
        self.min_factor = min_factor
        self.current, self.best, self.bad = 1.0, math.inf, 0

    def factor(self, step: int) -> float:
        """See `Scheduler.factor`."""
        return self.current

    def observe(self, valid_nll: float) -> None:
        """See `Scheduler.observe`."""
        if valid_nll < self.best:
            self.best, self.bad = valid_nll, 0
            return
        self.bad += 1
        if self.bad > self.patience:
            self.current, self.bad = max(self.current * self.reduction, self.min_factor), 0

    def state_dict(self) -> dict[str, Any]:
        """See `Scheduler.state_dict`."""
        return {"current": self.current, "best": self.best, "bad": self.bad}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Scheduler.load_state_dict`."""
        self.current, self.best, self.bad = state["current"], state["best"], state["bad"]


def make_scheduler(name: str, *, lr: float, total_steps: int, **options: Any) -> Scheduler:
    """Build the scheduler called `name` for a base rate `lr`.

    Args:
        name: constant, cosine or plateau.
        lr: Base learning rate; `min_lr` of plateau is relative to it.
        total_steps: Steps of the whole training.
        **options: warmup_steps; final_fraction; factor, patience, min_lr.

    Raises:
        ValueError: If the name is unknown or an option is out of its range.
    """
    if name == "constant":
        return Constant(**options)
    if name == "cosine":
        return Cosine(total_steps, **options)
    if name == "plateau":
        min_lr = options.get("min_lr", 0.0)
        return Plateau(options.get("factor", 0.5), options.get("patience", 5), min_lr / lr)
    raise ValueError(f"scheduler '{name}' is not one of {', '.join(SCHEDULERS)}")


def _at_least(name: str, value: int, smallest: int) -> int:
    if value < smallest:
        raise ValueError(f"{name} must be >= {smallest}, got {value}")
    return value
