"""The time that a training takes, and the share of its budget of time that is gone."""

import time
from typing import final

from made_exp.training.agreement import STEPS_BETWEEN_QUESTIONS, Agreement
from made_exp.training.state import TrainState

EVALUATION_SHARE = 0.1
"""Of the training, what evaluations take at most where nothing says when they come."""
# The first comes after so many steps; to score an example costs a quarter of training on it.
_FIRST_EVALUATION, _EVALUATION_COST = 25, 0.25
# What is gone at most until all processes have agreed that the time is up.
_NEARLY_UP = 1 - 1e-9


def first_evaluation(num_scored: int, batch_size: int) -> float:
    """Steps of so many examples after which the first evaluation comes, where nothing says when.

    Args:
        num_scored: Examples that it scores, counted for each density anew.
        batch_size: Examples of a step.
    """
    return max(_FIRST_EVALUATION, _EVALUATION_COST * num_scored / batch_size / EVALUATION_SHARE)


@final
class Clock:
    """Keeps the times of a `TrainState`.

    Args:
        state: Its `seconds` and `elapsed` are kept.
        max_minutes: Budget of time, or None.

    Attributes:
        is_up: Whether all have agreed that the time is up.
        affordable_steps: Steps that must follow an evaluation before a budget allows another.
    """

    def __init__(self, state: TrainState, max_minutes: float | None) -> None:
        self.state, self.max_minutes = state, max_minutes
        self.is_up, self.affordable_steps = False, 0.0
        self._last, self._evaluation_seconds = time.monotonic(), 0.0

    def start(self) -> None:
        """Count from now on."""
        self._last = time.monotonic()

    def tick(self) -> None:
        """Bring `seconds` up to now."""
        now = time.monotonic()
        self.state.seconds += now - self._last
        self._last = now

    @property
    def seems_up(self) -> bool:
        """Whether the time is up, for this process."""
        return self.state.elapsed >= _NEARLY_UP

    def look(self, agreement: Agreement) -> None:
        """Find `elapsed`.

        Processes that go step by step all hold the same; others agree before it is 1.
        """
        if self.max_minutes is None:
            return
        world, drifts = agreement.world, agreement.drifts
        if world.size > 1 and not drifts and self.state.step % STEPS_BETWEEN_QUESTIONS:
            return
        self.tick()
        # The last evaluation belongs to the budget.
        seconds = self.state.seconds + self._evaluation_seconds
        elapsed = min(seconds / (60 * self.max_minutes), 1.0)
        if not drifts:
            self.state.elapsed = float(world.from_main(elapsed))
        else:
            self.state.elapsed = 1.0 if self.is_up else min(elapsed, _NEARLY_UP)

    def tell_evaluation(self, started: float) -> tuple[float, ...]:
        """What `hear_evaluation` needs, of an evaluation that began at `started` and ends now."""
        state = self.state
        pace = state.step / state.step_seconds if state.step_seconds else 0.0
        return state.seconds, state.elapsed, time.monotonic() - started, pace

    def hear_evaluation(self, times: tuple[float, ...]) -> None:
        """Take up the times of the main process after an evaluation."""
        self.state.seconds, self.state.elapsed, self._evaluation_seconds, pace = times
        if self.max_minutes is not None:
            self.affordable_steps = pace * self._evaluation_seconds / EVALUATION_SHARE
