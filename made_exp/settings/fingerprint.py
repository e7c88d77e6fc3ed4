"""Which settings make two runs the same run, and which may change when one is continued."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from made_exp.settings.experiment import Settings

DISPLAY = {
    "describe",
    "resume",
    "checks",
    "notes",
    "dataset.streaming",
    "trainer.name",
    "trainer.device",
    "trainer.num_threads",
    "trainer.processes",
    "trainer.progress",
    "trainer.tensorboard",
    "trainer.checkpoint_every_seconds",
    "trainer.samples_every",
    "trainer.num_samples",
    "trainer.animation",
    "trainer.check_numbers",
}
"""Settings that do not decide the outcome."""

_ROUNDING = {"trainer.device", "trainer.kernel", "trainer.eval_batch_size"}
"""Settings that change numbers by rounding only."""

_LENGTH = {"trainer.epochs", "trainer.max_steps", "trainer.max_minutes", "trainer.patience"}
MAY_CHANGE = DISPLAY | _ROUNDING | _LENGTH
"""Settings that may differ between a run and its continuation."""


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name != "notes":
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def fingerprint(settings: Settings) -> str:
    """SHA-1 over all settings that decide the outcome; equal for runs that would be equal."""
    flat = {key: value for key, value in flatten(asdict(settings)).items() if key not in DISPLAY}
    return hashlib.sha1(json.dumps(flat, sort_keys=True).encode()).hexdigest()


def changed_keys(saved: dict[str, Any], settings: Settings) -> list[str]:
    """Settings that forbid continuing the run saved as `saved`: `key: old -> new`, sorted."""
    return [line for key, line in _differences(saved, settings) if key not in MAY_CHANGE]


def rounding_keys(saved: dict[str, Any], settings: Settings) -> list[str]:
    """Settings after whose change the run saved as `saved` goes on, its numbers equal to rounding.

    A line each as `changed_keys` gives them.
    """
    return [line for key, line in _differences(saved, settings) if key in _ROUNDING]


def _differences(saved: dict[str, Any], settings: Settings) -> Iterator[tuple[str, str]]:
    old, new = flatten(saved), flatten(asdict(settings))
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, "absent"), new.get(key, "absent")
        if before != after:
            yield key, f"{key}: {before} -> {after}"
