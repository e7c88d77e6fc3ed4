"""Options of the group `model`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from made_exp.errors import did_you_mean
from made_exp.settings.base import OptionSettings, setting
from made_exp.variables.variable import (
    ALLOWED_ENCODINGS,
    CONDITIONALS,
    Variable,
    has_many_numbers,
)

_ACTIVATIONS = ("relu", "elu", "tanh", "sigmoid", "softplus", "leaky_relu", "silu")
BASELINES = ("independent", "chow_liu", "copula", "gaussian_mixture")
# Weights of direct connections that are there without being asked for: of 5792 binary variables.
MAX_DIRECT = 2**25
_ENCODINGS = dict.fromkeys(name for names in ALLOWED_ENCODINGS.values() for name in names)


@dataclass
class ModelSettings(OptionSettings):
    """Any option of the group `model`."""

    def network(self) -> "NetworkSettings":
        """The masked network that the model is."""
        raise NotImplementedError


@dataclass
class NetworkSettings(ModelSettings):
    """What every masked network has.

    Attributes:
        residual: Whether it is made of residual blocks, whose hidden layers share their degrees.
    """

    residual: ClassVar[bool] = False

    activation: str = setting("relu", "of the hidden units", choices=_ACTIVATIONS)
    direct_connections: bool | None = setting(
        None,
        "masked connections from inputs straight to outputs; null = unless wide or many numbers",
    )
    dropout: float = setting(0.1, "probability to drop a hidden unit", at_least=0, below=1)
    conditional: str = setting(
        "auto",
        "distribution of a variable given the earlier ones; auto = by its kind",
        choices=("auto", *CONDITIONALS),
    )
    num_components: int | None = setting(
        None, "parts of a mixture; null = 4, 2 where many columns are numbers", at_least=1
    )
    conditioning_weights: bool = setting(
        False, "tell each unit which inputs it sees; helps when masks are resampled"
    )
    hidden_degrees: str = setting(
        "spread",
        "how hidden units get their degrees; by_variable suits resampled orders",
        choices=("spread", "uniform", "random", "by_variable"),
    )
    encoding: str = setting(
        "auto",
        "how a variable enters the network; auto = by its kind",
        choices=("auto", *_ENCODINGS),
    )
    length_classes: int | None = setting(
        0,
        "latent classes by the number of ones in a binary row; null = 8 or 16 of rare words",
        at_least=0,
    )
    implications: bool = setting(
        False, "start at what binary columns imply of each other in all rows: one-hot codes"
    )
    smooth_logits: bool = setting(False, "neighbouring ordered values share strength")
    baselines: list[str] = setting(
        [],
        f"simple models in the mixture, by weights fitted to valid: {', '.join(BASELINES)}",
    )

    def _check(self) -> None:
        for name in self.baselines:
            if name not in BASELINES:
                hint = did_you_mean(name, BASELINES)
                raise ValueError(f"baselines: '{name}' is not one of {', '.join(BASELINES)}{hint}")
        if len(set(self.baselines)) < len(self.baselines):
            raise ValueError(f"baselines must hold each name once, got {self.baselines}")

    @property
    def layer_sizes(self) -> list[int]:
        """Units of each hidden layer."""
        raise NotImplementedError

    def suited_to(self, variables: Sequence[Variable]) -> Self:
        """As it is, for many numbers without direct connections that were not asked for.

        They would be half of a step. With few rows they overfit, unless columns are linear in
        each other.
        """
        if self.direct_connections is None and has_many_numbers(variables):
            return replace(self, direct_connections=False)
        return self

    def connects_directly(self, num_features: int, num_params: int) -> bool:
        """Whether so many network inputs reach so many outputs directly."""
        if self.direct_connections is None:
            return num_features * num_params <= MAX_DIRECT
        return self.direct_connections

    def network(self) -> Self:
        """See `ModelSettings.network`."""
        return self


@dataclass
class MadeSettings(NetworkSettings):
    """MADE: a masked multi-layer perceptron (Germain et al. 2015, section 4)."""

    name: str = "made"
    hidden_sizes: list[int] = setting(
        [500, 500], "units of each hidden layer; [] = no hidden layer", at_least=1
    )

    @property
    def layer_sizes(self) -> list[int]:
        """See `NetworkSettings.layer_sizes`."""
        return self.hidden_sizes


@dataclass
class ResMadeSettings(NetworkSettings):
    """MADE of residual blocks, each two masked layers (Durkan and Nash 2019, section 3)."""

    residual: ClassVar[bool] = True

    name: str = "resmade"
    hidden_size: int = setting(500, "units of every hidden layer", at_least=1)
    num_blocks: int = setting(2, "residual blocks", at_least=1)

    @property
    def layer_sizes(self) -> list[int]:
        """See `NetworkSettings.layer_sizes`."""
        return [self.hidden_size] * (1 + 2 * self.num_blocks)


@dataclass
class HistogramSettings(ModelSettings):
    """A free table of probabilities for one discrete variable."""

    name: str = "histogram"

    def network(self) -> NetworkSettings:
        """See `ModelSettings.network`."""
        return MadeSettings(hidden_sizes=[], conditional="categorical")


@dataclass
class LogisticMixtureSettings(ModelSettings):
    """A discretized mixture of logistics for one discrete variable."""

    name: str = "logistic_mixture"
    num_components: int = setting(4, "logistics of the mixture", at_least=1)

    def network(self) -> NetworkSettings:
        """See `ModelSettings.network`."""
        return MadeSettings(
            hidden_sizes=[], conditional="logistic_mixture", num_components=self.num_components
        )
