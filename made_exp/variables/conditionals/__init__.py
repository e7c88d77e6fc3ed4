"""Distributions of one variable given K numbers that a network computed from earlier variables.

`base` says what a conditional is; each is in a file of its name and a line of `CONDITIONALS`.
"""

from importlib import import_module

from made_exp.variables.conditionals.base import Conditional
from made_exp.variables.variable import ALLOWED_CONDITIONALS, CONDITIONALS, Variable


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
        ValueError: If the conditional is unknown or cannot model the variable.
    """
    allowed = ALLOWED_CONDITIONALS[variable.kind]
    if name not in ("auto", *allowed):
        raise ValueError(
            f"conditional of {variable.kind} variable '{variable.name}' must be "
            f"{' or '.join(('auto', *allowed))}, got '{name}'"
        )
    name = allowed[0] if name == "auto" else name
    module = import_module(f"{__name__}.{name}")
    kind: type[Conditional] = getattr(module, CONDITIONALS[name].class_name)
    return kind.for_variable(variable, num_components, smooth_logits)
