"""What a conditional is: a one-dimensional distribution as a function of K raw numbers.

Each is in a file of its name and a line of `CONDITIONALS`, or is brought by another package.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import ClassVar, Self

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.numbers import Numbers
from made_exp.variables.restricted import Restricted, RestrictedValues, values_inside
from made_exp.variables.subset import Subset
from made_exp.variables.variable import ALLOWED_CONDITIONALS, CONDITIONALS, Variable

# From the gradient of log-probabilities to that of the params.
Pullback = Callable[[Tensor], Tensor]


class Conditional(ABC):
    """Distribution of one variable given K raw numbers; has no state of its own.

    Every method is vectorised over leading dimensions. Conditionals of the same settings are
    equal and hash alike, so that variables can be grouped by them.

    Values must be observed ones: NaN (not observed) is to be replaced before `log_prob` and its
    result discarded there. Raw numbers should be float32 or wider.
    """

    num_uniforms: ClassVar[int]

    @property
    def codes_are_numbers(self) -> bool:
        """Whether codes are z or whole numbers, and atoms, as `Numbers` has them."""
        return False

    def of_group(self, numbers: Numbers | None) -> Self:
        """The same for all variables of a group at once, whose values lie where `numbers` says."""
        return self

    @classmethod
    @abstractmethod
    def for_variable(cls, variable: Variable, num_components: int, smooth_logits: bool) -> Self:
        """The conditional of a variable of a kind that it suits; see `conditional_for`."""

    @property
    @abstractmethod
    def num_params(self) -> int:
        """K, how many raw numbers describe the distribution."""

    @abstractmethod
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Log mass (discrete) or log density of z (real) of codes, in nats.

        Args:
            params: (..., K) any finite numbers.
            x: (...) codes, any dtype; broadcasts against the leading dimensions of params.

        Returns:
            (...), in the dtype of params.
        """

    def log_probs(self, params: Tensor, x: Tensor) -> Tensor:
        """`log_prob` of n variables in a row: params (B, n K), x (B, n); (B, n), nats."""
        return self.log_prob(params.view(*x.shape, self.num_params), x)

    def log_prob_turned(self, params: Tensor, x: Tensor) -> Tensor:
        """`log_prob` of params (K, ...) that stand first; x broadcasts; (...), nats.

        Outside of training: what it does along the last dimension, of examples, is fast.
        """
        return self.log_prob(params.movedim(0, -1), x.expand(params.shape[1:]))

    def log_probs_vjp(self, params: Tensor, x: Tensor) -> tuple[Tensor, Pullback]:
        """`log_probs` outside autograd, and the pullback of its gradient (B, n) to the params."""
        return vjp(self.log_probs, params, x)

    @abstractmethod
    def sample(self, params: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """Inverse cumulative function: a draw that is determined by its uniform numbers.

        Args:
            params: (..., K).
            uniforms: (..., U) in [0, 1), U = num_uniforms.
            temperature: > 0; divides logits and multiplies scales, 1 is the distribution itself.

        Returns:
            (...) codes, in the dtype of params or a wider one.
        """

    @abstractmethod
    def restricted(self, subsets: Sequence[Subset], device: torch.device) -> Restricted:
        """The distribution inside subsets of the values of a single variable."""

    @abstractmethod
    def initial_params(self, x: Tensor) -> Tensor:
        """Raw numbers that start the conditional at the marginal distribution of the data.

        Args:
            x: (N,) codes of the training values; NaN is skipped.

        Returns:
            (K,) in the dtype of x if that is floating, else in the default dtype.
        """


class DiscreteConditional(Conditional):
    """A conditional over the codes 0..num_values-1."""

    num_values: int
    may_be_missing: bool

    @override
    def restricted(self, subsets: Sequence[Subset], device: torch.device) -> Restricted:
        inside = values_inside(subsets, self.num_values, self.may_be_missing, device)
        return RestrictedValues(self.probs, inside)

    def probs(self, params: Tensor) -> Tensor:
        """Probabilities (..., num_values) of all values, for params (..., K)."""
        values = torch.arange(self.num_values, device=params.device)
        return self.log_prob(params[..., None, :], values).exp()


def conditional_for(
    name: str, variable: Variable, num_components: int, smooth_logits: bool = False
) -> Conditional:
    """The conditional called `name` for one variable.

    Args:
        name: One of `CONDITIONALS`, or auto: the default of the kind of the variable.
        variable: What it is to model.
        num_components: Components of a mixture, at least 1.
        smooth_logits: Whether a categorical conditional of ordered values has smooth logits.

    Raises:
        ValueError: If the conditional is unknown or cannot model the variable, or another package
            that should bring it does not.
    """
    allowed = ALLOWED_CONDITIONALS[variable.kind]
    if name not in ("auto", *allowed):
        raise ValueError(
            f"conditional of {variable.kind} variable '{variable.name}' must be "
            f"{' or '.join(('auto', *allowed))}, got '{name}'"
        )
    name = allowed[0] if name == "auto" else name
    if name == "bernoulli" and variable.may_be_missing:
        name = "categorical"
    found = _class_of(name).for_variable(variable, num_components, smooth_logits)
    return import_module(f"{__package__}.given").Given(found) if variable.is_given else found


def _class_of(name: str) -> type[Conditional]:
    entry = CONDITIONALS[name]
    module = entry.module or f"{__package__}.{name}"
    kind = getattr(import_module(module), entry.class_name, None)
    if not (isinstance(kind, type) and issubclass(kind, Conditional)):
        raise ValueError(
            f"conditional '{name}': {module}:{entry.class_name} must be a class of Conditional,"
            f" got {kind!r}"
        )
    return kind


def vjp(
    log_probs: Callable[[Tensor, Tensor], Tensor], params: Tensor, x: Tensor
) -> tuple[Tensor, Pullback]:
    """log_probs(params, x) and the pullback of its gradient to the params, by autograd."""
    leaf = params.detach().requires_grad_()
    with torch.enable_grad():
        found = log_probs(leaf, x)
    return found.detach(), lambda grad: torch.autograd.grad(found, leaf, grad)[0]


def observed_values(x: Tensor) -> Tensor:
    """The values of x (N,) that are not NaN, as floating numbers (M,)."""
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    return x[~x.isnan()]


def smoothed_frequencies(x: Tensor, num_values: int) -> Tensor:
    """Relative frequencies (num_values,) of the values of x (N,), half a count added to each."""
    x = observed_values(x)
    counts = torch.bincount(x.long(), minlength=num_values).to(x.dtype) + 0.5
    return counts / counts.sum()


def spread_locations(x: Tensor, num_components: int) -> Tensor:
    """Starting means of a mixture: halfway between quantiles of the data and an even spread.

    Quantiles alone would coincide where many values are equal, and components that start equal
    stay equal. The values x (N,) are not NaN and not all equal; the means are (C,), rising.
    """
    levels = (torch.arange(num_components, device=x.device, dtype=x.dtype) + 0.5) / num_components
    # torch.quantile takes at most 2^24 numbers.
    ordered = x.sort().values
    quantiles = ordered[(levels * len(x)).long().clamp(max=len(x) - 1)]
    low, high = ordered[int(0.005 * len(x))], ordered[int(0.995 * len(x))]
    low, high = (low, high) if high > low else (ordered[0], ordered[-1])
    return (quantiles + low + levels * (high - low)) / 2
