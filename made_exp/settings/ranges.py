"""Range checks shared by the settings; each raises ValueError with setting, rule and value."""

import math
from collections.abc import Sequence
from typing import Any


def at_least(settings: Any, low: float, *names: str) -> None:
    """Raise ValueError unless each of the settings called `names` is None or >= `low`."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and value >= low):
            raise ValueError(f"{name} must be >= {low}, got {value}")


def above(settings: Any, low: float, *names: str) -> None:
    """Raise ValueError unless each of the settings called `names` is None or > `low`."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and value > low):
            raise ValueError(f"{name} must be > {low}, got {value}")


def fraction(settings: Any, *names: str, one_included: bool = False) -> None:
    """Raise ValueError unless each of the settings called `names` lies in [0, 1) (or [0, 1])."""
    for name in names:
        value = getattr(settings, name)
        if not (0 <= value < 1 or (one_included and value == 1)):
            allowed = "between 0 and 1" if one_included else "at least 0 and below 1"
            raise ValueError(f"{name} must be {allowed}, got {value}")


def all_at_least(settings: Any, low: int, name: str) -> None:
    """Raise ValueError unless every entry of the list setting `name` is >= `low`."""
    values: Sequence[int] = getattr(settings, name)
    if any(value < low for value in values):
        raise ValueError(f"{name} must hold numbers >= {low}, got {list(values)}")
