"""Hydra's launchers and sweepers that are extras of the package: joblib, Slurm, Ray, Optuna."""

import importlib.util

from made_exp.errors import ConfigError

# Group -> option -> the module that brings it, and the extra that brings the module. Options are
# typed by these names and chosen as presets of ours, made_OPTION.
_PLUGINS = {
    "hydra/launcher": {
        "joblib": ("hydra_joblib_launcher", "joblib"),
        "submitit_local": ("hydra_submitit_launcher", "slurm"),
        "submitit_slurm": ("hydra_submitit_launcher", "slurm"),
        "ray": ("hydra_ray_launcher", "ray"),
    },
    "hydra/sweeper": {"optuna": ("hydra_optuna_sweeper", "optuna")},
}


def as_preset(override: str) -> str:
    """`override`, with the preset in place of the plugin's own option."""
    group, _, option = override.partition("=")
    return f"{group}=made_{option}" if option in _PLUGINS.get(group, ()) else override


def refuse_missing_plugin(group: str, preset: str) -> None:
    """Raise ConfigError if `preset` of `group` needs an extra that is not installed."""
    plugins, option = _PLUGINS[group], preset.removeprefix("made_")
    if option not in plugins or _is_installed(plugins[option][0]):
        return
    have = ["basic", *(name for name, (module, _) in plugins.items() if _is_installed(module))]
    raise ConfigError(
        f"{group}={option} is not installed (have: {', '.join(have)});"
        f" pip install 'made-exp[{plugins[option][1]}]'"
    )


def extra_hint(group: str, option: str) -> str:
    """The pip line for the extra that brings `option` of `group`, or ''."""
    if group == "hydra/sweeper/sampler":
        group, option = "hydra/sweeper", "optuna"
    _, extra = _PLUGINS.get(group, {}).get(option, ("", ""))
    return f". It comes with an extra: pip install 'made-exp[{extra}]'" if extra else ""


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(f"hydra_plugins.{module}") is not None
    except ModuleNotFoundError:  # There are no plugins at all.
        return False
