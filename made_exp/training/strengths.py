"""How strongly the members of an ensemble are pulled towards zero."""

# Learning rates a step. Adam moves a weight by at most about one: a pull near it leaves none alive.
MAX_PULL = 0.36
MAX_MEMBER_PULL = 0.6


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
