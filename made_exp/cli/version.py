"""What --version of each command says."""

import hydra

from made_exp import __version__


def version_text() -> str:
    """The version of made-exp, and of Hydra, whose flags made-train has."""
    return f"made-exp {__version__} (hydra {hydra.__version__})"
