"""Learning-rate schedules: a factor of the base rate as a function of the step.

Where a training has a budget of time, schedules also follow the share of it that has passed, so
that the rate reaches its end when the time does.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

from typing_extensions import override

from made_exp.settings.training import (
    AnnealSettings,
    ConstantSettings,
    CosineSettings,
    PlateauSettings,
    SchedulerSettings,
)

_SLACK = 0.05
LEAST_ANNEALING, LONGEST_RISE = 100, 0.2
"""Of `Anneal`: steps over which it falls at least, where the best moment came at once, and the
share of a budget in which it has risen."""


class Scheduler(ABC):
    """What the base learning rate is multiplied by at each step."""

    @abstractmethod
    def factor(self, step: int, elapsed: float = 0.0) -> float:
        """Factor (>= 0) of optimizer step `step` (0, 1, ...), with `elapsed` of the time gone.

        `elapsed` is in 0..1; 0 where there is no budget of time.
        """

    def observe(
        self, valid_nll: float, step: int, elapsed: float = 0.0, stderr: float = 0.0
    ) -> bool:
        """Take note of an evaluation (nats, and its standard error) after `step` steps.

        Returns:
            Whether training is to go on from the weights of the best evaluation.
        """
        return False

    def is_over(self, step: int, elapsed: float = 0.0) -> bool:
        """Whether the schedule has come to its end, after `step` steps."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """What cannot be computed from the step, as plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take up a state that `state_dict` gave."""


class Cosine(Scheduler):
    """A linear rise to the base rate, then half a cosine down to a fraction of it at the last step.

    A budget of time bends it only where it binds: while no larger share of the time is gone than
    of the steps, and a twentieth of what is left, the rate is a function of the step.

    Args:
        warmup_steps: Steps of the rise.
        final_fraction: In 0..1; with 1 the rate stays.
        total_steps: Steps of the whole training.
    """

    def __init__(self, warmup_steps: int, final_fraction: float, total_steps: int) -> None:
        self.warmup_steps, self.final_fraction = warmup_steps, final_fraction
        self.total_steps = total_steps

    @override
    def factor(self, step: int, elapsed: float = 0.0) -> float:
        warmup, final = self.warmup_steps, self.final_fraction
        if step < warmup:
            return _rise(step, warmup)
        late = self.total_steps * (elapsed - _SLACK * (1 - elapsed))  # the step that it is time for
        progress = (max(step, late) - warmup) / max(self.total_steps - warmup, 1)
        return final + (1 - final) * _wave(progress)


class Anneal(Scheduler):
    """The base rate for as long as the table needs it, then half a cosine down to zero.

    The linear rise takes at most a fifth of a budget of time or steps. The rate stays until the
    validation NLL has not fallen for `patience` evaluations, or fell by less than `least_gain`
    standard errors while the steps doubled, or until a budget leaves just enough; training then
    goes back to the best evaluation and anneals over `fraction` of the steps that it took, or what
    is left.

    Args:
        settings: Patience, least gain, fraction and steps of linear rise.
        total_steps: Steps of the whole training at most.
    """

    def __init__(self, settings: AnnealSettings, total_steps: int) -> None:
        self.settings, self.total_steps = settings, total_steps
        self._latest = 1 / (1 + settings.fraction)  # share of a budget before annealing
        self.best, self.best_step, self.bad = math.inf, 0, 0
        self.history: list[tuple[int, float]] = []  # the best NLL after so many steps
        self.start, self.start_elapsed, self.length = -1, 0.0, 0

    @override
    def factor(self, step: int, elapsed: float = 0.0) -> float:
        warmup, share = self.settings.warmup_steps, self._share(step, elapsed)
        if step < warmup and share < LONGEST_RISE:
            return max(_rise(step, warmup), share / LONGEST_RISE)
        return _wave(self._progress(step, elapsed))

    @override
    def observe(
        self, valid_nll: float, step: int, elapsed: float = 0.0, stderr: float = 0.0
    ) -> bool:
        if self.start >= 0:
            return False
        self.bad = 0 if valid_nll < self.best else self.bad + 1
        if valid_nll < self.best:
            self.best, self.best_step = valid_nll, step
        self.history.append((step, self.best))
        is_late = self._share(step, elapsed) >= self._latest
        has_stopped = self.bad >= self.settings.patience or self._gains_little(step, stderr)
        if not has_stopped and not is_late:
            return False
        self.start, self.start_elapsed = step, elapsed
        self.length = max(round(self.settings.fraction * self.best_step), LEAST_ANNEALING)
        return self.bad > 0

    @override
    def is_over(self, step: int, elapsed: float = 0.0) -> bool:
        return self._progress(step, elapsed) >= 1

    @override
    def state_dict(self) -> dict[str, Any]:
        names = ("best", "best_step", "bad", "history", "start", "start_elapsed", "length")
        return {name: getattr(self, name) for name in names}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def _gains_little(self, step: int, stderr: float) -> bool:
        """Whether the second half of the steps, all at the full rate, was not worth its time."""
        before = [nll for at, nll in self.history if self.settings.warmup_steps < at <= step / 2]
        return bool(before) and before[-1] - self.best < self.settings.least_gain * stderr

    def _share(self, step: int, elapsed: float) -> float:
        """Share of a budget of time or steps that is gone."""
        return max(elapsed, step / self.total_steps)

    def _progress(self, step: int, elapsed: float) -> float:
        """Share of the annealing that is done, 0 before it begins."""
        share = self._share(step, elapsed)
        if self.start < 0:
            return max(share - self._latest, 0.0) / (1 - self._latest)
        begun = self._share(self.start, self.start_elapsed)
        done = max((step - self.start) / self.length, (share - begun) / max(1 - begun, 1e-9))
        return max(done, 0.0)


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
    def factor(self, step: int, elapsed: float = 0.0) -> float:
        return self.current

    @override
    def observe(
        self, valid_nll: float, step: int, elapsed: float = 0.0, stderr: float = 0.0
    ) -> bool:
        if valid_nll < self.best:
            self.best, self.bad = valid_nll, 0
            return False
        self.bad += 1
        if self.bad > self.settings.patience:
            self.current, self.bad = max(self.current * self.settings.factor, self.min_factor), 0
        return False

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"current": self.current, "best": self.best, "bad": self.bad}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
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
        case AnnealSettings():
            return Anneal(settings, total_steps)
    raise AssertionError(f"scheduler={settings.name} is not built")


def _rise(step: int, warmup_steps: int) -> float:
    return (step + 1) / (warmup_steps + 1)


def _wave(progress: float) -> float:
    """Half a cosine, from 1 at progress 0 to 0 from progress 1 on."""
    return (1 + math.cos(math.pi * min(progress, 1.0))) / 2
