"""What Hydra and OmegaConf say, in one line of our own words with the nearest right word."""

import dataclasses
import re

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from made_exp.errors import did_you_mean
from made_exp.settings.experiment import OPTIONS, Settings, option_fields

_TYPES = {"Float": "a float", "Integer": "an integer", "Path": "a path"}
_OTHER_ROOT_KEYS = ("experiment", "search", "hydra")
_EXTRAS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "optuna",
    "hydra/sweeper/sampler": "optuna",
}
"""Config that comes with an extra of the package -> the extra."""


def explain(error: BaseException) -> str:
    """The message for what `error`, raised while composing, complains about."""
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    cause = error.__cause__ or error.__context__
    where = re.match(r"In '([^']+)': .* while composing config", str(error))
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException):
        prefix = f"in {where[1]}: " if where else ""
        return prefix + _wrong_value(cause)
    if isinstance(error, OmegaConfBaseException):
        return _wrong_value(error)
    return _without_noise(str(error))


def extra_hint(missing: str) -> str:
    """The pip line for the extra that brings the config `missing`, or ''."""
    for config, extra in _EXTRAS.items():
        if missing == config or missing.startswith(f"{config}/"):
            return f". It comes with an extra: pip install 'made-exp[{extra}]'"
    return ""


def _missing_option(error: MissingConfigException) -> str:
    missing = str(error.missing_cfg_file or "")
    group, _, option = missing.rpartition("/")
    if not group:
        return _without_noise(str(error))
    options = [name for name in error.options or [] if not name.startswith("made_")]
    if not options:
        options = list(OPTIONS.get(group, {}))
    have = f" (have: {', '.join(options)})" if options else ""
    hint = extra_hint(missing) or did_you_mean(option, options)
    return f"no option '{option}' in group '{group}'{have}{hint}"


def _wrong_value(error: OmegaConfBaseException) -> str:
    key, text = str(error.full_key or error.key or ""), str(error.msg or error)
    value = error.value
    first = text.splitlines()[0] if text else type(error).__name__
    if re.match(r"Key '.*' (is )?not in ", first):
        return _unknown_key(error, key)
    if found := re.search(r"could not be converted to (\w+)", first):
        return f"{key}: '{value}' is not {_TYPES.get(found[1], found[1])}"
    if "is not a valid bool" in first:
        return f"{key}: '{value}' is not true or false"
    if "is not a ListConfig" in first:
        return f"{key}: {value} is not a list; write {key}=[{value}]"
    if "is not Optional" in first or "not Optional" in first:
        return f"{key} must not be null"
    return f"{key}: {first}" if key else first


def _unknown_key(error: OmegaConfBaseException, path: str) -> str:
    schema = error.object_type
    group, _, field = path.rpartition(".")
    if schema is Settings:
        root = path.split(".")[0]
        names = [entry.name for entry in dataclasses.fields(Settings)] + list(_OTHER_ROOT_KEYS)
        return f"unknown key '{root}'{did_you_mean(root, names)}"
    if group in OPTIONS:
        return _not_of_option(group, field, error)
    known = []
    if schema is not None and dataclasses.is_dataclass(schema):
        known = [entry.name for entry in dataclasses.fields(schema)]
    return f"unknown key '{path}'{did_you_mean(field, known)}"


def _not_of_option(group: str, field: str, error: OmegaConfBaseException) -> str:
    option = _option_of(group, error)
    known = option_fields(group, option) if option else []
    others = [name for name in OPTIONS[group] if field in option_fields(group, name)]
    where = f". It exists in: {', '.join(others)}" if others else did_you_mean(field, known)
    chosen = f"{group}={option}" if option else group
    settings = ", ".join(known) or "it has none"
    return f"'{field}' is not a setting of {chosen} ({settings}){where}"


def _option_of(group: str, error: OmegaConfBaseException) -> str | None:
    try:
        name = str(error.parent_node._get_node("name")._value())
    except AttributeError:
        return None
    return name if name in OPTIONS[group] else None


def _without_noise(text: str) -> str:
    # The search path, the advice to use '+' and OmegaConf's own coordinates help nobody here.
    kept = []
    for line in text.splitlines():
        if line.startswith("Config search path"):
            break
        noise = re.match(
            r"\s*(To append to your config|full_key:|object_type=|reference_type=)", line
        )
        if line.strip() and not noise:
            kept.append(line.rstrip())
    return "\n".join(kept) or "the config cannot be composed"
