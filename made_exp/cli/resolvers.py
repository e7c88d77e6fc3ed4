"""What Hydra composes from: YAML files, options, names of folders; registered when imported."""

import hashlib
import os
import re
import secrets
from datetime import datetime
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from made_exp.settings.experiment import OPTIONS, Settings

_LONGEST_SLUG = 60
_MEMBERS_OF_A_MINUTE, _LEAST_MEMBERS, _MOST_MEMBERS = 7, 4, 24
_NO_NAME = ("resume", "notes")


def conf_dir() -> Path:
    """The folder that holds config.yaml.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/config.yaml in {package} or beside it; install made-exp anew")


def conf_hash() -> str:
    """SHA-1 over the names and contents of all YAML files of `conf_dir`."""
    digest = hashlib.sha1()
    folder = conf_dir()
    for path in sorted(folder.rglob("*.yaml")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def run_id() -> str:
    """`YYYYMMDD-HHMMSS-<6 hex digits>`, or MADE_RUN_ID where several processes share a run."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return os.environ.get("MADE_RUN_ID") or f"{stamp}-{secrets.token_hex(3)}"


def slug(overrides: list[str]) -> str:
    """A readable folder name for `overrides`: `optimizer.lr=0.1,seed=1` -> `lr-0.1_seed-1`.

    Args:
        overrides: Overrides of the task, each `key=value`.

    Returns:
        At most 60 characters of [A-Za-z0-9._+-]; where something was left out or replaced, the
        last 6 are a hash of the overrides, so that different overrides have different names.
    """
    named = [override for override in overrides if not _is_unnamed(override)]
    exact = "_".join(_part(override) for override in named)
    short = re.sub(r"\d+\.\d{5,}", lambda found: f"{float(found[0]):.4g}", exact)
    clean = re.sub(r"[^A-Za-z0-9._+-]+", "-", short).strip("-.")
    if clean == exact and len(clean) <= _LONGEST_SLUG:
        return clean or "default"
    tail = hashlib.sha1("\0".join(named).encode()).hexdigest()[:6]
    return f"{clean[: _LONGEST_SLUG - 7].rstrip('-._')}-{tail}".lstrip("-")


def _part(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key.lstrip('+~').split('@')[0].split('.')[-1]}-{value}" if value else key.lstrip("+~")


def _is_unnamed(override: str) -> bool:
    key = override.partition("=")[0].lstrip("+~")
    return key in _NO_NAME or key.startswith(("hydra.", "hydra/", "notes."))


def members_within(max_minutes: float | None) -> int:
    """Members of an ensemble: 24, or as many as a budget of minutes can train well."""
    if not isinstance(max_minutes, int | float):  # what it should be is said elsewhere
        return _MOST_MEMBERS
    # Of twice the time one half goes into more members, the other into longer training of each.
    served = round(_MEMBERS_OF_A_MINUTE * max(max_minutes, 0) ** 0.5)
    return min(max(served, _LEAST_MEMBERS), _MOST_MEMBERS)


def residual_within(max_minutes: float | None) -> float:
    """Share of deep members with a residual block, which takes the steps of a long budget."""
    return float(members_within(max_minutes) == _MOST_MEMBERS)


def _register_resolvers() -> None:
    # Cached values travel with the pickled config: all workers of a sweep see one folder.
    once = {"run_id": run_id, "conf_hash": conf_hash, "launch_id": lambda: secrets.token_hex(8)}
    for name, resolver in once.items():
        OmegaConf.register_new_resolver(name, resolver, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("pad", lambda number: f"{int(number):03d}", replace=True)
    for within in (members_within, residual_within):
        OmegaConf.register_new_resolver(within.__name__, within, replace=True)
    OmegaConf.register_new_resolver(
        "job_slug", lambda *, _root_: slug(list(_root_.hydra.overrides.task)), replace=True
    )


def _register_options() -> None:
    # Below schema/, from where its YAML file takes it; without a file it is an option all the same.
    store, folder = ConfigStore.instance(), conf_dir()
    store.store(group="schema", name="settings", node=Settings)
    for group, options in OPTIONS.items():
        for option, schema in options.items():
            node = schema if schema.name == option else schema(name=option)
            store.store(group=f"schema/{group}", name=option, node=node)
            if not (folder / group / f"{option}.yaml").exists():
                store.store(group=group, name=option, node=node)


_register_resolvers()
_register_options()
