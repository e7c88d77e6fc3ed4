"""What is asked of a sampler."""

from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked of a sampler: an example for each row of `uniforms`.

    Attributes:
        uniforms: (B, U) in [0, 1), variable-major; what follows is not for networks.
        context: (B, num_classes) one-hot, or None.
        temperature: Divides the logits of discrete conditionals; > 0.
        given: (B, D) codes that the observed variables are clamped to, NaN for the others; or
            None.
    """

    uniforms: Tensor
    context: Tensor | None = None
    temperature: float = 1.0
    given: Tensor | None = None

    def rows(self, rows: Tensor) -> Self:
        """The request for the examples at `rows`."""
        context = None if self.context is None else self.context[rows]
        given = None if self.given is None else self.given[rows]
        return replace(self, uniforms=self.uniforms[rows], context=context, given=given)
