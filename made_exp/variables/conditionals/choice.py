"""Which conditional a variable gets."""

from made_exp.variables.conditionals.base import Conditional, check_num_components
from made_exp.variables.conditionals.bernoulli import Bernoulli
from made_exp.variables.conditionals.categorical import Categorical
from made_exp.variables.conditionals.gaussian_mixture import GaussianMixture
from made_exp.variables.conditionals.logistic_mixture import DiscretizedLogisticMixture
from made_exp.variables.variable import ALLOWED_CONDITIONALS, Kind, Variable

ORDERED_KINDS = (Kind.ORDINAL, Kind.INTEGER)


def default_conditional(
    variable: Variable, num_components: int = 4, smooth_logits: bool = False
) -> Conditional:
    """The conditional that suits the kind of a variable; see `conditional_for`."""
    return conditional_for("auto", variable, num_components, smooth_logits)


def conditional_for(
    name: str, variable: Variable, num_components: int = 4, smooth_logits: bool = False
) -> Conditional:
    """The conditional called `name` for one variable.

    Args:
        name: bernoulli, categorical, logistic_mixture, gaussian_mixture, or auto: the first that
            `ALLOWED_CONDITIONALS` lists for the kind of the variable.
        variable: What it is to model.
        num_components: Components of a mixture, at least 1.
        smooth_logits: Whether a categorical conditional of ordered values has smooth logits.

    Raises:
        ValueError: If the conditional is unknown or cannot model the variable, or if
            num_components is below 1.
    """
    check_num_components(num_components)
    allowed = ALLOWED_CONDITIONALS[variable.kind]
    if name not in ("auto", *allowed):
        raise ValueError(
            f"conditional of {variable.kind} variable '{variable.name}' must be "
            f"{' or '.join(('auto', *allowed))}, got '{name}'"
        )
    name = allowed[0] if name == "auto" else name
    if name == "gaussian_mixture":
        return GaussianMixture(num_components, variable.shift, variable.scale)
    assert variable.num_values is not None
    if name == "bernoulli":
        return Bernoulli()
    if name == "logistic_mixture":
        return DiscretizedLogisticMixture(variable.num_values, num_components)
    smooth = smooth_logits and variable.kind in ORDERED_KINDS
    return Categorical(variable.num_values, smooth=smooth)
