"""How far training has come: everything that is not weights or optimizer state."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class TrainState:
    """Progress of a training, as plain numbers.

    Attributes:
        epoch: Completed epochs.
        position: Batches done of the epoch after them.
        step: Optimizer steps done.
        evaluations: Evaluations done; the first comes before any step.
        evaluated_step: Step of the last evaluation; -1 before the first.
        best_nll: Lowest validation NLL so far, in nats.
        best_epoch: Epoch it was reached at.
        since_best: Evaluations since then.
        last_nll: Validation NLL of the last evaluation.
        seconds: Time spent in training, evaluations included, interruptions not.
        step_seconds: Time spent in optimizer steps alone.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    evaluations: int = 0
    evaluated_step: int = -1
    best_nll: float = math.inf
    best_epoch: int = 0
    since_best: int = 0
    last_nll: float = math.inf
    seconds: float = 0.0
    step_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)
