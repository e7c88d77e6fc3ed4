"""The base of every group of settings."""

from dataclasses import dataclass, fields
from enum import Enum

from omegaconf import MISSING


@dataclass
class OptionSettings:
    """Settings of one option of a group; `name` is the option, as typed in `group=name`."""

    name: str = MISSING

    def __post_init__(self) -> None:
        # Plain strings below this door: checkpoints and JSON files hold only plain values.
        for field in fields(self):
            if isinstance(field.type, type) and issubclass(field.type, Enum):
                value, allowed = getattr(self, field.name), [str(one) for one in field.type]
                if value not in allowed:
                    raise ValueError(f"{field.name}: '{value}' is not one of {', '.join(allowed)}")
                setattr(self, field.name, str(value))
        self._check()

    def _check(self) -> None:
        """Raise ValueError when a value is out of its range."""


@dataclass
class ModelSettings(OptionSettings):
    """Any option of the group `model`."""


@dataclass
class DatasetSettings(OptionSettings):
    """Any option of the group `dataset`."""


@dataclass
class OptimizerSettings(OptionSettings):
    """Any option of the group `optimizer`."""


@dataclass
class SchedulerSettings(OptionSettings):
    """Any option of the group `scheduler`."""


@dataclass
class OrderingSettings(OptionSettings):
    """Any option of the group `ordering`."""
