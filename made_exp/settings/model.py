"""Options of the group `model`."""

from dataclasses import dataclass, field
from enum import StrEnum

from made_exp.settings.base import ModelSettings
from made_exp.settings.ranges import all_at_least, at_least, fraction


class Activation(StrEnum):
    """Non-linearity of the hidden units."""

    relu = "relu"
    elu = "elu"
    tanh = "tanh"
    sigmoid = "sigmoid"
    softplus = "softplus"
    leaky_relu = "leaky_relu"
    silu = "silu"


class ConditionalName(StrEnum):
    """Distribution of one variable given the earlier ones; auto = by the kind of variable."""

    auto = "auto"
    bernoulli = "bernoulli"
    categorical = "categorical"
    logistic_mixture = "logistic_mixture"
    gaussian_mixture = "gaussian_mixture"


class HiddenDegrees(StrEnum):
    """How degrees are given to hidden units."""

    spread = "spread"
    uniform = "uniform"
    random = "random"


class EncodingName(StrEnum):
    """How a variable enters the network; auto = by the kind of variable."""

    auto = "auto"
    one_hot = "one_hot"
    smooth = "smooth"
    embedding = "embedding"


@dataclass
class NetworkSettings(ModelSettings):
    """What every masked network has.

    Attributes:
        activation: Non-linearity of the hidden units.
        direct_connections: Masked connections from the inputs straight to the outputs.
        dropout: Probability that a hidden unit is dropped in training, in [0, 1).
        conditional: Distribution of one variable given the earlier ones.
        num_components: Components of a mixture conditional, >= 1.
        conditioning_weights: A second masked matrix applied to ones, so that a unit knows which
            inputs it sees (useful when masks are resampled).
        hidden_degrees: How degrees are given to hidden units.
        encoding: How a variable enters the network.
        embedding_size: Features of a learned embedding, >= 1.
        smooth_logits: Logits of ordered values share strength between neighbours.
    """

    activation: Activation = Activation.relu
    direct_connections: bool = True
    dropout: float = 0.1
    conditional: ConditionalName = ConditionalName.auto
    num_components: int = 4
    conditioning_weights: bool = False
    hidden_degrees: HiddenDegrees = HiddenDegrees.spread
    encoding: EncodingName = EncodingName.auto
    embedding_size: int = 8
    smooth_logits: bool = False

    def _check(self) -> None:
        fraction(self, "dropout")
        at_least(self, 1, "num_components", "embedding_size")


@dataclass
class MadeSettings(NetworkSettings):
    """MADE: a masked multi-layer perceptron (Germain et al. 2015, section 4).

    Attributes:
        hidden_sizes: Units of each hidden layer; [] = outputs see the inputs directly.
    """

    name: str = "made"
    hidden_sizes: list[int] = field(default_factory=lambda: [500, 500])

    def _check(self) -> None:
        super()._check()
        all_at_least(self, 1, "hidden_sizes")


@dataclass
class ResMadeSettings(NetworkSettings):
    """MADE of residual blocks, each two masked layers (Durkan and Nash 2019, section 3).

    Attributes:
        hidden_size: Units of every hidden layer, >= 1.
        num_blocks: Residual blocks, >= 1.
    """

    name: str = "resmade"
    hidden_size: int = 500
    num_blocks: int = 2

    def _check(self) -> None:
        super()._check()
        at_least(self, 1, "hidden_size", "num_blocks")


@dataclass
class HistogramSettings(ModelSettings):
    """A free table of probabilities for one discrete variable."""

    name: str = "histogram"


@dataclass
class LogisticMixtureSettings(ModelSettings):
    """A discretized mixture of logistics for one discrete variable.

    Attributes:
        num_components: Components of the mixture, >= 1.
    """

    name: str = "logistic_mixture"
    num_components: int = 4

    def _check(self) -> None:
        at_least(self, 1, "num_components")
