"""Which encoding a variable has, by its kind."""

from made_exp.variables.encodings import Encoding, Identity, OneHot, Smooth
from made_exp.variables.number_encodings import Levels, Numeric
from made_exp.variables.numbers import Numbers
from made_exp.variables.variable import ALLOWED_ENCODINGS, Kind, Variable

# Size of the one-hot features beside smooth ones.
FAINT = 0.3
# Number of cosines of an integer variable by default.
INTEGER_FUNCTIONS = 16


def encoding_for(name: str, variable: Variable, numbers: Numbers | None = None) -> Encoding:
    """The encoding called `name` of a group of variables.

    By default binary values enter as they are, categorical ones one-hot, real ones standardised,
    with ramps where they have knots. Ordinal values get smooth features beside a faint one-hot
    code: smooth ones alone are better where the density is smooth and much worse where it is not.
    Integers, which can have many values and come in many variables, get ramps or a few waves.

    Args:
        name: one_hot, smooth, or auto: by the kind of the variable. Real values are standardised,
            whatever the name.
        variable: The first of the group; the others are alike (`encoding_key`).
        numbers: Of the group, where the codes are numbers.

    Raises:
        ValueError: If the encoding is unknown or does not suit the variable.
    """
    allowed = ALLOWED_ENCODINGS[variable.kind]
    if not variable.is_real and name not in ("auto", *allowed):
        raise ValueError(
            f"encoding of {variable.kind} variable '{variable.name}' must be auto or "
            f"{' or '.join(allowed)}, got '{name}'"
        )
    if numbers is None:
        return _of_levels(name, variable)
    if is_numeric(name, variable):
        return Numeric(numbers, num_waves(variable))
    return Levels(numbers, _of_levels(name, variable))


def encoding_key(name: str, variable: Variable, is_number: bool) -> tuple[object, ...]:
    """What must be equal in variables of a group, besides their conditionals."""
    if is_number and is_numeric(name, variable):
        return (variable.is_real, len(variable.knots), num_waves(variable))
    return (variable.kind, variable.num_values)


def is_numeric(name: str, variable: Variable) -> bool:
    """Whether a variable that is coded as a number also enters as one."""
    return variable.is_real or (name == "auto" and variable.kind is Kind.INTEGER)


def num_waves(variable: Variable) -> int:
    """Waves of a number: those without knots are told apart by them."""
    if variable.num_values is None or variable.knots:
        return 0
    return min(variable.num_values - 1, INTEGER_FUNCTIONS)


def _of_levels(name: str, variable: Variable) -> Encoding:
    """The encoding of codes that are levels, with the missing value as the last one."""
    num_values, may_be_missing = variable.num_values, variable.may_be_missing
    assert num_values is not None
    if name == "one_hot" or (name == "auto" and variable.kind is Kind.CATEGORICAL):
        return OneHot(num_values + may_be_missing, len(variable.pooled), may_be_missing)
    if name == "smooth":
        return Smooth(num_values, may_be_missing=may_be_missing)
    if variable.kind is Kind.ORDINAL:
        return Smooth(num_values, one_hot_scale=FAINT, may_be_missing=may_be_missing)
    if variable.kind is Kind.INTEGER:
        return Smooth(num_values, num_waves(variable), may_be_missing=may_be_missing)
    return OneHot(3, may_be_missing=True) if may_be_missing else Identity()
