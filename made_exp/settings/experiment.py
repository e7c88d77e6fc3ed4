"""All settings of an experiment, typed, and the table of options of every group."""

import dataclasses
from dataclasses import dataclass, fields
from typing import Any

from made_exp.datasets.registry import DATASETS, OUTSIDE
from made_exp.masks.fixed_orders import ORDERS, SCANS
from made_exp.settings.base import MISSING, CheckedSettings, OptionSettings, setting
from made_exp.settings.dataset import DatasetSettings, OutsideSettings
from made_exp.settings.model import ModelSettings, NetworkSettings
from made_exp.settings.ordering import EnsembleSettings, OrderingSettings
from made_exp.settings.training import OptimizerSettings, SchedulerSettings, TrainerSettings

OPTIONS: dict[str, dict[str, type[OptionSettings]]] = {
    "model": {**ModelSettings.options()},
    "dataset": {
        **dict.fromkeys(DATASETS, DatasetSettings),
        **dict.fromkeys(OUTSIDE, OutsideSettings),
        **DatasetSettings.options(),
    },
    "optimizer": {**OptimizerSettings.options()},
    "scheduler": {**SchedulerSettings.options()},
    "ordering": {
        **dict.fromkeys([*ORDERS, *SCANS], OrderingSettings),
        **OrderingSettings.options(),
    },
    "trainer": {"default": TrainerSettings, "debug": TrainerSettings},
}
"""Group -> option -> the class of its settings."""


@dataclass
class Settings(CheckedSettings):
    """Everything that decides an experiment."""

    model: ModelSettings = MISSING
    dataset: DatasetSettings = MISSING
    optimizer: OptimizerSettings = MISSING
    scheduler: SchedulerSettings = MISSING
    ordering: OrderingSettings = MISSING
    trainer: TrainerSettings = MISSING
    teacher: str | None = setting(
        None, "a finished run, from which the rows to train on are drawn; its data are taken"
    )
    seed: int = setting(0, "of everything random", at_least=0)
    resume: bool = setting(
        False, "go on with the run or sweep in the given folder; finished jobs are skipped"
    )
    describe: bool = setting(
        False, "only show what the columns of the data hold; nothing is trained or written"
    )
    checks: str = setting(
        "error",
        "when a run's check of its own numbers fails: no results, or results marked as unchecked",
        choices=("error", "warn"),
    )
    notes: dict[str, Any] = setting({}, "free remarks, kept with the run: notes.why=test")

    @property
    def num_members(self) -> int:
        """Networks of the model, each trained for itself; fewer where values are missing."""
        if not isinstance(self.model, NetworkSettings):
            return 1
        if isinstance(self.ordering, EnsembleSettings):
            return self.ordering.num_orderings
        return 1 + getattr(self.ordering, "fixed", 0)

    def _check(self) -> None:
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2**63, got {self.seed}")


# Settings of earlier versions, as runs have them that did not use them.
_RETIRED = [("scheduler", "member_patience", None)]


def option_fields(group: str, option: str) -> list[str]:
    """Names of the settings of `group=option`, without `name`."""
    return [entry.name for entry in fields(OPTIONS[group][option]) if entry.name != "name"]


def option_choices(group: str, name: str) -> list[str]:
    """The texts that the setting `name` of any option of `group` may have; [] where any is."""
    options = OPTIONS.get(group, {}).values()
    known = (entry for option in options for entry in fields(option) if entry.name == name)
    return [*dict.fromkeys(text for entry in known for text in entry.metadata["choices"] or ())]


def known_settings() -> dict[str, str]:
    """Where each setting is, by its last name: optimizer.lr by lr; where several have it, one."""
    known: dict[str, str] = {}
    for group, options in reversed(OPTIONS.items()):
        inside = sorted({name for option in options for name in option_fields(group, option)})
        known |= {name: f"{group}.{name}" for name in inside}
    return known | {entry.name: entry.name for entry in fields(Settings)}


def defaults_of(path: str) -> list[Any]:
    """What the setting `path`, such as optimizer.lr, is by default in the options that have it."""
    group, _, name = path.rpartition(".")
    schemas: list[type] = [*OPTIONS.get(group, {}).values()] if group else [Settings]
    known = (entry for schema in schemas for entry in fields(schema) if entry.name == name)
    return [
        entry.default if entry.default_factory is dataclasses.MISSING else entry.default_factory()
        for entry in known
    ]


def from_dict(content: dict[str, Any]) -> Settings:
    """The inverse of `dataclasses.asdict`: settings of the right class, range-checked.

    Raises:
        ValueError: An option, key or value does not fit.
    """
    groups: dict[str, Any] = {}
    for group, options in OPTIONS.items():
        given = {k: v for k, v in content[group].items() if (group, k, v) not in _RETIRED}
        name = given["name"]
        if name not in options:
            raise ValueError(f"{group}.name must be one of {', '.join(options)}, got '{name}'")
        unknown = given.keys() - {"name", *option_fields(group, name)}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: not a setting of {group}={name}")
        groups[group] = options[name](**given)
    return Settings(**{**content, **groups})
