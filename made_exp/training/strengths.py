"""How strongly the members of an ensemble are pulled towards zero, and the trial that finds it.

Which strength is right depends on the table: on 2 000 rows of mushrooms a pull of .16 learning
rates a step, on 13 000 of accidents .07, a twentieth of which costs a network twenty nats there.
So a few members try out strengths from weak to strong, and all take what the mixture wants of them.
"""

import logging
import math
from collections.abc import Sequence

import torch

from made_exp.runtime import derive_seed
from made_exp.training.learner import Learner

_log = logging.getLogger(__name__)
# Learning rates a step. Adam moves a weight by at most about one: a pull near it leaves none alive.
MAX_PULL = 0.36
MAX_MEMBER_PULL = 0.6
# Fewer members try nothing out, nor do pulls that differ by less; so many members at least do.
_LEAST_MEMBERS, _LEAST_RANGE, _LEAST_TRIAL = 5, 16, 3
# What suits at the end is stronger than what suits now, since networks overfit the more the longer
# they train. Around it members differ by a factor; whom the mixture leaves out, with less than a
# share of an equal weight, begins again.
_GROWTH, WIDTH, _LEFT_OUT = 1.5, 1.6, 0.1
_RESTART_STREAM = 9


def member_pulls(
    strength: float, num_batches: int, num_members: int, spread: float = 1.0
) -> list[float]:
    """The pull of each member's `L1Penalty`, in learning rates a step.

    A single member has strength / batches, at most 0.36, so that an epoch has the same whatever
    its length: a prior has more to say where there are few data. The members of an ensemble may
    differ: the weakest pull is strength / batches / spread, at most 0.36, the strongest that times
    spread^2, at most 0.6, the others lie between them in equal ratios, the same for two members in
    a row. Which is right for the data the weights of the mixture then say.

    Args:
        strength: Learning rates by which a weight is pulled towards zero in an epoch; >= 0.
        num_batches: Steps of an epoch of batches of the size that is set, not of larger ones.
        num_members: Members of the model.
        spread: Largest ratio of a member's strength to `strength`; >= 1.
    """
    pull, pairs = strength / num_batches, (num_members - 1) // 2
    if not pairs or not pull:
        return [min(pull, MAX_PULL)] * num_members
    weakest = min(pull / spread, MAX_PULL)
    strongest = min(weakest * spread**2, MAX_MEMBER_PULL)
    return [weakest * (strongest / weakest) ** (m // 2 / pairs) for m in range(num_members)]


def num_in_trial(pulls: Sequence[float]) -> int:
    """How many members try out strengths for all: a third of those with pulls (M,) of their own.

    None where members are too few, or pulls too much alike for a choice: then they are at their
    bounds, rows are few, and weak penalties that are stopped early serve as well.
    """
    is_range = len(pulls) >= _LEAST_MEMBERS and max(pulls) >= _LEAST_RANGE * min(pulls) > 0
    return max(_LEAST_TRIAL, len(pulls) // 3) if is_range else 0


def trial_pulls(
    strength: float, num_batches: int, num_members: int, spread: float, num_trial: int
) -> list[float]:
    """As `member_pulls`, where the first `num_trial` members have one pull each, weak to strong.

    The others, which rest, have what a single member has.
    """
    tried = member_pulls(strength, num_batches, 2 * num_trial, spread)[::2]
    return tried + member_pulls(strength, num_batches, 1) * (num_members - num_trial)


def settled_pulls(
    pulls: Sequence[float], weights: Sequence[float], num_members: int
) -> tuple[list[float], list[int]]:
    """The pulls (M,) of all members after a trial, and the numbers of those that begin again.

        c = 1.5 exp sum_m w_m log pull_m

    Members of the trial keep their pulls where these are within a factor of 1.6 of c, and else take
    the nearest that is; the others lie in equal ratios between c / 1.6 and 1.6 c.

    Args:
        pulls: (T,) of the members of the trial, in learning rates a step.
        weights: (T,) what they have in the mixture, as fitted to valid.
        num_members: M >= T.
    """
    total = sum(weights)
    mean = sum(w * math.log(pull) for w, pull in zip(weights, pulls, strict=True)) / total
    middle = min(_GROWTH * math.exp(mean), MAX_MEMBER_PULL / WIDTH)
    least, most = middle / WIDTH, middle * WIDTH
    rest = num_members - len(pulls)
    others = [least * (most / least) ** ((m + 0.5) / rest) for m in range(rest)]
    again = [m for m, w in enumerate(weights) if w < _LEFT_OUT * total / len(pulls)]
    return [min(max(pull, least), most) for pull in pulls] + others, again


def settle(learner: Learner, shares: Sequence[float], seed: int) -> None:
    """End the trial: give all members their pulls, and let some begin again; see `settled_pulls`.

    Args:
        learner: Of this process; others do the same to theirs.
        shares: (M,) what members have in the mixture; read of those of the trial.
        seed: Of the run.
    """
    members, count = learner.members, learner.scheduler.num_trial
    penalties = [member.penalty for member in members if member.penalty is not None]
    assert len(penalties) == len(members)
    tried = [penalty.pull for penalty in penalties[:count]]
    pulls, again = settled_pulls(tried, shares[:count], len(members))
    for penalty, pull in zip(penalties, pulls, strict=True):
        penalty.change(pull)
    for number in set(again) & set(learner.shares.own):
        source = torch.Generator().manual_seed(derive_seed(seed, _RESTART_STREAM, number))
        members[number].restart(source)
    text = "the trial is over: weights are pulled by %.3g to %.3g learning rates a step"
    _log.info(text, min(pulls), max(pulls))
