"""Masked linear layers: one definition, several ways to compute it."""

from made_exp.kernels.backends import BACKENDS, check_backend, choose_backend
from made_exp.kernels.masked_linear import masked_linear

__all__ = ["BACKENDS", "check_backend", "choose_backend", "masked_linear"]
