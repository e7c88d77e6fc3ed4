"""All settings of an experiment, typed, and the table of options of every group."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from omegaconf import MISSING, OmegaConf

from made_exp.settings.base import (
    DatasetSettings,
    ModelSettings,
    OptimizerSettings,
    OptionSettings,
    OrderingSettings,
    SchedulerSettings,
)
from made_exp.settings.dataset import (
    CsvSettings,
    HintonSettings,
    Image2dSettings,
    MnistSettings,
    NpzSettings,
    PlainSettings,
    ShapesSettings,
    SmileySettings,
)
from made_exp.settings.model import (
    HistogramSettings,
    LogisticMixtureSettings,
    MadeSettings,
    ResMadeSettings,
)
from made_exp.settings.ordering import (
    AgnosticSettings,
    CustomOrderSettings,
    EnsembleSettings,
    FixedOrderSettings,
    RandomOrderSettings,
)
from made_exp.settings.ranges import at_least
from made_exp.settings.training import (
    AdadeltaSettings,
    AdagradSettings,
    AdamSettings,
    AdamWSettings,
    ConstantSettings,
    CosineSettings,
    PlateauSettings,
    SgdSettings,
    TrainerSettings,
)

_PLAIN_DATASETS = (
    "gaussian_1d bimodal_1d binarized_mnist adult connect4 dna mushrooms nips ocr_letters rcv1 web"
)
_FIXED_ORDERS = "natural reversed column_major snake spiral centre_out"

OPTIONS: dict[str, dict[str, type[OptionSettings]]] = {
    "model": {
        "made": MadeSettings,
        "resmade": ResMadeSettings,
        "histogram": HistogramSettings,
        "logistic_mixture": LogisticMixtureSettings,
    },
    "dataset": {
        "shapes": ShapesSettings,
        "mnist": MnistSettings,
        "fashion_mnist": MnistSettings,
        "smiley": SmileySettings,
        "hinton": HintonSettings,
        "image_2d": Image2dSettings,
        "npz": NpzSettings,
        "csv": CsvSettings,
        **dict.fromkeys(_PLAIN_DATASETS.split(), PlainSettings),
    },
    "optimizer": {
        "adam": AdamSettings,
        "adamw": AdamWSettings,
        "sgd": SgdSettings,
        "adagrad": AdagradSettings,
        "adadelta": AdadeltaSettings,
    },
    "scheduler": {
        "constant": ConstantSettings,
        "cosine": CosineSettings,
        "plateau": PlateauSettings,
    },
    "ordering": {
        **dict.fromkeys(_FIXED_ORDERS.split(), FixedOrderSettings),
        "random": RandomOrderSettings,
        "custom": CustomOrderSettings,
        "agnostic": AgnosticSettings,
        "ensemble": EnsembleSettings,
    },
    "trainer": {"default": TrainerSettings, "debug": TrainerSettings},
}
"""Group -> option -> the class of its settings."""


@dataclass
class Settings:
    """Everything that decides an experiment.

    Attributes:
        seed: Seed of everything random, >= 0.
        resume: Continue the run or sweep in the given folder; finished jobs are skipped.
        notes: Free remarks, kept with the run: `notes.why=test`.
    """

    model: ModelSettings = MISSING
    dataset: DatasetSettings = MISSING
    optimizer: OptimizerSettings = MISSING
    scheduler: SchedulerSettings = MISSING
    ordering: OrderingSettings = MISSING
    trainer: TrainerSettings = MISSING
    seed: int = 0
    resume: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        at_least(self, 0, "seed")
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2**63, got {self.seed}")


def option_fields(group: str, option: str) -> list[str]:
    """Names of the settings of `group=option`, without `name`."""
    return [entry.name for entry in fields(OPTIONS[group][option]) if entry.name != "name"]


def to_dict(settings: Settings) -> dict[str, Any]:
    """`settings` as nested dictionaries of plain values (strings, numbers, lists, None)."""
    return asdict(settings)


def from_dict(content: dict[str, Any]) -> Settings:
    """The inverse of `to_dict`: typed, range-checked settings.

    Raises:
        ValueError: An option, key or value does not fit.
    """
    tree = OmegaConf.structured(Settings)
    groups = {}
    for group, options in OPTIONS.items():
        name = content[group]["name"]
        if name not in options:
            raise ValueError(f"{group}.name must be one of {', '.join(options)}, got '{name}'")
        groups[group] = OmegaConf.structured(options[name])
    merged = OmegaConf.merge(tree, groups, content)
    settings = OmegaConf.to_object(merged)
    assert isinstance(settings, Settings)
    return settings
