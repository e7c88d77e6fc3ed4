"""Names of folders: unique, sortable, free of `=` and `,`. Registered when imported."""

import hashlib
import os
import re
import secrets
from datetime import datetime

from omegaconf import DictConfig, OmegaConf

import made_exp.cli.store  # noqa: F401  (a job's config needs both)
from made_exp.cli.conf_folder import conf_hash

_LONGEST_SLUG = 60
_NO_NAME = ("resume", "notes")


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


def _job_slug(*, _root_: DictConfig) -> str:
    return slug(list(_root_.hydra.overrides.task))


def register() -> None:
    """Make the resolvers known to OmegaConf."""
    # Cached values travel with the pickled config: all workers of a sweep see one folder.
    OmegaConf.register_new_resolver("run_id", run_id, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("conf_hash", conf_hash, use_cache=True, replace=True)
    OmegaConf.register_new_resolver(
        "launch_id", lambda: secrets.token_hex(8), use_cache=True, replace=True
    )
    OmegaConf.register_new_resolver("pad", lambda number: f"{int(number):03d}", replace=True)
    OmegaConf.register_new_resolver("job_slug", _job_slug, replace=True)


register()
