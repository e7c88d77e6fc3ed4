"""Learning-rate schedules: a factor of the base rate as a function of the step."""

import math
from abc import ABC, abstractmethod

from typing_extensions import override

from made_exp.settings.training import (
    ConstantSettings,
    CosineSettings,
    PlateauSettings,
    SchedulerSettings,
)


class Scheduler(ABC):
    """What the base learning rate is multiplied by at each step."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """Factor (>= 0) of optimizer step `step` (0, 1, ...)."""

    def observe(self, valid_nll: float) -> None:  # noqa: B027
        """Take note of an evaluation (nats)."""

    def state_dict(self) -> dict[str, float]:
        """What cannot be computed from the step, as plain numbers."""
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:  # noqa: B027
        """Take up a state that `state_dict` gave."""


class Cosine(Scheduler):
    """A linear rise to the base rate, then half a cosine down to a fraction of it at the last step.

    Args:
        warmup_steps: Steps of the rise.
        final_fraction: In 0..1; with 1 the rate stays.
        total_steps: Steps of the whole training.
    """

    def __init__(self, warmup_steps: int, final_fraction: float, total_steps: int) -> None:
        self.warmup_steps, self.final_fraction = warmup_steps, final_fraction
        self.total_steps = total_steps

    @override
    def factor(self, step: int) -> float:
        warmup, final = self.warmup_steps, self.final_fraction
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(self.total_steps - warmup, 1)
        wave = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
        return final + (1 - final) * wave


class Plateau(Scheduler):
    """The base rate, cut after evaluations without improvement.

    Args:
        settings: By how much, after how many, and the smallest rate.
        lr: The base rate.
    """

    def __init__(self, settings: PlateauSettings, lr: float) -> None:
        self.settings, self.min_factor = settings, settings.min_lr / lr
        self.current, self.best, self.bad = 1.0, math.inf, 0

    @override
    def factor(self, step: int) -> float:
        return self.current

    @override
    def observe(self, valid_nll: float) -> None:
        if valid_nll < self.best:
            self.best, self.bad = valid_nll, 0
            return
        self.bad += 1
        if self.bad > self.settings.patience:
            self.current, self.bad = max(self.current * self.settings.factor, self.min_factor), 0

    @override
    def state_dict(self) -> dict[str, float]:
        return {"current": self.current, "best": self.best, "bad": self.bad}

    @override
    def load_state_dict(self, state: dict[str, float]) -> None:
        self.current, self.best, self.bad = state["current"], state["best"], int(state["bad"])


def make_scheduler(settings: SchedulerSettings, lr: float, total_steps: int) -> Scheduler:
    """Build a scheduler for a base rate `lr` and a training of `total_steps`."""
    match settings:
        case ConstantSettings():
            return Cosine(settings.warmup_steps, 1.0, total_steps)
        case CosineSettings():
            return Cosine(settings.warmup_steps, settings.final_fraction, total_steps)
        case PlateauSettings():
            return Plateau(settings, lr)
    raise AssertionError(f"scheduler={settings.name} is not built")
