"""What the processes of a training decide together, all of them at the same step.

Processes that average gradients go step by step, and ask each other now and then. Processes that
train members of their own drift apart freely: one that wishes something, or is at an evaluation,
calls the others; each comes after the step that it is in, and all go on to the step of the one
that is furthest, where they do what was wished.
"""

from dataclasses import dataclass
from typing import final

from made_exp.training.world import World

STEPS_BETWEEN_QUESTIONS = 20


@dataclass(frozen=True)
class Wishes:
    """What a process wishes, and what all then do.

    Attributes:
        stop: Save and end: a signal came.
        save: Write a checkpoint.
        is_over: Train no more: the time is up.
    """

    stop: bool = False
    save: bool = False
    is_over: bool = False

    @property
    def any(self) -> bool:
        """Whether there is a wish."""
        return self.stop or self.save or self.is_over

    def __or__(self, other: "Wishes") -> "Wishes":
        """The wishes of both."""
        return Wishes(
            self.stop or other.stop, self.save or other.save, self.is_over or other.is_over
        )


NONE = Wishes()


@final
class Agreement:
    """The decisions of a training.

    Args:
        world: The processes.
        drifts: Whether each trains at its own pace.
    """

    def __init__(self, world: World, *, drifts: bool) -> None:
        self.world, self.drifts = world, drifts
        self._met_at, self._agreed = -1, NONE

    def after(self, step: int, wishes: Wishes) -> Wishes:
        """What all do now, after `step` steps of this process."""
        if self.world.size == 1:
            return wishes
        if not self.drifts:
            return NONE if step % STEPS_BETWEEN_QUESTIONS else self._union(wishes)
        if step > self._met_at and (wishes.any or self.world.is_called()):
            self._meet(step, wishes)
        return self._due(step)

    def before_evaluation(self, step: int, wishes: Wishes) -> Wishes:
        """As `after`, where all come to the same step anyway."""
        if self.world.size == 1:
            return wishes
        if not self.drifts:
            return self._union(wishes)
        if self._met_at != step:
            self._meet(step, wishes)
        return self._due(step)

    def _union(self, wishes: Wishes) -> Wishes:
        union = NONE
        for one in self.world.meet(wishes):
            union |= one
        return union

    def _meet(self, step: int, wishes: Wishes) -> None:
        for there, wished in self.world.meet((step, wishes)):
            self._met_at, self._agreed = max(self._met_at, there), self._agreed | wished

    def _due(self, step: int) -> Wishes:
        if step != self._met_at:
            return NONE
        agreed, self._agreed = self._agreed, NONE
        return agreed
