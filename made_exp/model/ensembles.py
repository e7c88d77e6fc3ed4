"""Several masked networks, each with an ordering of its own: the members of a mixture.

Where orderings share their weights, one network must serve them all; here each has a network. The
model is the mixture of their densities, log p(x) = logsumexp_m(log p_m(x)) - log M.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from made_exp.masks.mask_set import MaskSet
from made_exp.masks.schedule import MaskSchedule
from made_exp.model.networks import MaskedNetwork


class EnsembleNetwork(nn.Module):
    """A masked network for each mask set of a schedule; what is asked goes to the one it names.

    Args:
        schedule: Mask sets with separate weights.
        make_member: Builds the network of a schedule with a single mask set.
    """

    def __init__(
        self, schedule: MaskSchedule, make_member: Callable[[MaskSchedule], MaskedNetwork]
    ) -> None:
        super().__init__()
        self.schedule = schedule
        members = [make_member(schedule.single(k)) for k in range(schedule.num_orderings)]
        self.members = nn.ModuleList(members)
        first = members[0]
        self.dropout, self.num_classes = first.dropout, first.num_classes

    @property
    def output_bias(self) -> Tensor:
        """Output biases (P,) of the first member, which show dtype and device of all."""
        return self.member().output_bias

    @property
    def direct(self) -> nn.Module | None:
        """Direct connections of the first member; the others have them if it has."""
        return self.member().direct

    def member(self, masks: MaskSet | None = None) -> MaskedNetwork:
        """The network that belongs to `masks`, a mask set of the schedule; None for the first."""
        member = self.members[0 if masks is None else masks.index]
        assert isinstance(member, MaskedNetwork)
        return member

    def forward(
        self, features: Tensor, masks: MaskSet | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Params (B, P) from features (B, F) by the member that `masks` names."""
        params: Tensor = self.member(masks)(features, None, context)
        return params

    @torch.no_grad()
    def initialise_bias(self, params: Tensor) -> None:
        """Start the output biases of every member at `params` (P,)."""
        for member in self.members:
            assert isinstance(member, MaskedNetwork)
            member.initialise_bias(params)
