"""Distributions of one variable given K numbers that a network computed from earlier variables.

`base` says what a conditional is, one file holds each of them, `choice` picks one for a variable.
"""

from made_exp.variables.conditionals.base import Conditional, DiscreteConditional
from made_exp.variables.conditionals.bernoulli import Bernoulli
from made_exp.variables.conditionals.categorical import Categorical
from made_exp.variables.conditionals.choice import conditional_for, default_conditional
from made_exp.variables.conditionals.gaussian_mixture import GaussianMixture
from made_exp.variables.conditionals.logistic_mixture import DiscretizedLogisticMixture

__all__ = [
    "Bernoulli",
    "Categorical",
    "Conditional",
    "DiscreteConditional",
    "DiscretizedLogisticMixture",
    "GaussianMixture",
    "conditional_for",
    "default_conditional",
]
