"""made-exp: masked autoencoders for distribution estimation, with exact likelihoods.

Reading order: variables, masks, kernels, model, datasets, training, runs, experiments, cli.
"""

__version__ = "1.0.0"
__all__ = ["fit", "load_run"]


def __getattr__(name: str) -> object:
    """`fit` and `load_run`, imported when first used: the package itself imports no torch."""
    if name == "fit":
        from made_exp.cli.fit import fit

        return fit
    if name == "load_run":
        from made_exp.experiments.finished import load_run

        return load_run
    raise AttributeError(f"module 'made_exp' has no attribute '{name}'")


def __dir__() -> list[str]:
    """What a user may ask for, also before it is imported."""
    return sorted({*globals(), *__all__})
