"""What a run will need of memory, by the sizes of its model and data, said before it is spent."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.baselines.scores import MAX_PAIRED
from made_exp.datasets.parts import ROWS, num_fitted
from made_exp.experiments.table_rows import is_table, num_compared
from made_exp.kernels.backends import SMALL_WEIGHT
from made_exp.memory import MIB, WAY_OUT, available_memory, held_memory, in_words, used_memory
from made_exp.model.checks import NUM_SAMPLES
from made_exp.model.member_schedules import member_layers
from made_exp.settings.experiment import Settings
from made_exp.settings.model import MAX_DIRECT, NetworkSettings
from made_exp.settings.ordering import AgnosticSettings, EnsembleSettings
from made_exp.settings.training import TrainerSettings
from made_exp.variables.groups import VariableGroups

_log = logging.getLogger(__name__)
_CPU = torch.device("cpu")
_FLOAT, _DOUBLE = 4, 8
_PACKED = 0.6  # of the weights of a layer of fixed connectivity are stored
_SLOTS = {"adam": 2, "adamw": 2, "adagrad": 1, "adadelta": 2, "sgd": 1}
_LATER = 80 * MIB  # libraries that are imported, and buffers that are taken, later
_COUNTED, _SEEN = 2**23, 10  # cells counted together, and bytes of each more: it and its codes
_PICTURE = 60 * MIB  # of columns and pairs
_ON_GPU = ("parameters", "optimizer", "activations")


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run needs.

    Attributes:
        program: Python, libraries, and what was there when the estimate was made, data included;
            of data on disk no pages of files, which the system takes back where it needs them.
        parameters: Weights that are trained, with their averages and the best so far.
        optimizer: Its state and the gradients.
        activations: Of the largest of a training batch, an evaluation and a batch of samples.
        data: Codes of the examples, and what counting them for the simple densities takes.
        checks: Samples that are compared, and the weights written to a checkpoint.
        processes: What the processes beside the first one need together.
        reading: What it took to put a table on disk, where this process did so.
        gpu: Of these, the bytes that a GPU holds: parameters, optimizer and activations.
    """

    program: int
    parameters: int
    optimizer: int
    activations: int
    data: int
    checks: int
    processes: int = 0
    reading: int = 0
    gpu: int = 0

    @property
    def total(self) -> int:
        """Peak of all processes, what has been included. What a GPU holds is not in it."""
        return max(self.ahead, self.program + self.reading)

    @property
    def ahead(self) -> int:
        """Peak from here on: what stays, and the most of what comes one after the other."""
        stays = self.program + self.parameters + self.optimizer + self.processes
        # What activations had is seldom given back whole.
        return stays + self.activations + max(self.checks, self.data) - self.gpu

    def __str__(self) -> str:
        sizes = [(name, size) for name, size in vars(self).items() if size and name != "gpu"]
        here = [item for item in sizes if not (self.gpu and item[0] in _ON_GPU)]
        there = [item for item in sizes if item not in here]
        said = f"memory: about {in_words(self.total)} ({_listed(here)})"
        return said + (f"; of the GPU {in_words(self.gpu)} ({_listed(there)})" if there else "")

    def as_dict(self) -> dict[str, Any]:
        """What results.json holds: bytes."""
        return {"total": self.total, **vars(self)}


def _listed(sizes: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {in_words(size)}" for name, size in sizes)


def estimate_memory(
    settings: Settings, dataset: Dataset, num_processes: int, device: torch.device = _CPU
) -> MemoryEstimate:
    """The memory of a run.

    Args:
        settings: Of the run.
        dataset: Its data, which are in memory or mapped from disk.
        num_processes: How many train its members.
        device: Where the model lies.
    """
    network, trainer = settings.model.network().suited_to(dataset.variables), settings.trainer
    features, params = _widths(network, dataset)
    members = _hidden_sizes(settings, network) if dataset.num_dims > 1 else [()]
    layers = [layer for sizes in members for layer in _layers(network, features, params, sizes)]
    dense = sum(rows * columns for rows, columns in layers)
    stored = int(_FLOAT * sum(_stored(settings, *layer) for layer in layers))
    slots = _SLOTS.get(settings.optimizer.name, max(_SLOTS.values()))
    averages = bool(trainer.weight_averaging)
    width = features + 3 * params + 2 * max(map(sum, members))
    rows = min(trainer.rows_a_step(len(dataset.train)), len(dataset.train))
    # What is written: the weights, those before averaging and what the optimizer keeps of each.
    written = _FLOAT * dense * (1 + averages + slots)
    activations = _FLOAT * width * max(rows, _scored(trainer, dataset))
    parameters, optimizer = stored * (2 + averages), stored * (slots + 1)
    return MemoryEstimate(
        program=_LATER + (held_memory() if dataset.is_mapped else used_memory()),
        parameters=parameters,
        optimizer=optimizer,
        activations=activations,
        data=_data(dataset),
        checks=max(written, _samples(dataset, features + params)),
        processes=(num_processes - 1) * (activations + _LATER),
        reading=dataset.reading,
        gpu=0 if device.type == "cpu" else parameters + optimizer + activations,
    )


def check_memory(
    settings: Settings,
    dataset: Dataset,
    num_processes: int,
    device: torch.device = _CPU,
    *,
    says: bool = True,
) -> MemoryEstimate:
    """The estimate of a run, which is refused if the machine has not enough.

    Args:
        settings: See `estimate_memory`.
        dataset: See `estimate_memory`.
        num_processes: See `estimate_memory`.
        device: See `estimate_memory`; a GPU that has too little free is only warned of.
        says: Whether to log it, with a warning of a weight for each pair of variables.

    Raises:
        ValueError: With what needs most, and what to change.
    """
    estimate = estimate_memory(settings, dataset, num_processes, device)
    available, used = available_memory(), estimate.program - _LATER
    if available is not None and estimate.ahead - used > available:
        raise ValueError(
            f"{estimate}, but {in_words(available + used)} are available: "
            f"{_remedy(settings, dataset, estimate)}{WAY_OUT}"
        )
    if says:
        _log.info("%s", estimate)
        for warning in (warning_of_gpu(estimate, device), warning_of_width(settings, dataset)):
            if warning:
                _log.warning("%s", warning)
    return estimate


def warning_of_gpu(estimate: MemoryEstimate, device: torch.device) -> str | None:
    """What to say where a GPU has less memory free than a run needs of it; None elsewhere."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if estimate.gpu <= free:
        return None
    return f"{estimate}, but {device} has {in_words(free)} free"


def warning_of_width(settings: Settings, dataset: Dataset) -> str | None:
    """What to say of a weight for each pair of thousands of variables; None where there is none."""
    network = settings.model.network()
    if not network.direct_connections:
        return None
    features, params = _widths(network, dataset)
    if features * params <= MAX_DIRECT:
        return None
    return (
        f"model.direct_connections=true: {features} x {params} weights, "
        f"{in_words(_FLOAT * features * params)}, several times over; null or false leaves them out"
    )


def _widths(network: NetworkSettings, dataset: Dataset) -> tuple[int, int]:
    """Inputs F and outputs P of the network."""
    groups = VariableGroups(
        dataset.variables,
        conditional=network.conditional,
        num_components=network.num_components,
        encoding=network.encoding,
        smooth_logits=network.smooth_logits,
    )
    return sum(groups.feature_widths), sum(groups.param_widths)


def _hidden_sizes(settings: Settings, network: NetworkSettings) -> list[tuple[int, ...]]:
    """Units of the hidden layers of each member."""
    sizes, ordering = tuple(network.layer_sizes), settings.ordering
    if isinstance(ordering, EnsembleSettings):
        return [layers for layers, _ in member_layers(ordering, sizes, network.residual)]
    return [sizes] * settings.num_members


def _layers(
    network: NetworkSettings, features: int, params: int, sizes: Sequence[int]
) -> list[tuple[int, int]]:
    """Inputs and outputs of each masked layer of a network."""
    widths = [features, *sizes, params]
    chain = list(pairwise(widths)) if sizes else []
    chain *= 1 + network.conditioning_weights
    direct = network.connects_directly(features, params)
    return [*chain, *([(features, params)] if direct else [])]


def _stored(settings: Settings, rows: int, columns: int) -> float:
    """Weights of a layer that are kept, fewer where its connectivity is fixed."""
    is_fixed = not isinstance(settings.ordering, AgnosticSettings)
    is_packed = is_fixed and settings.trainer.kernel != "dense" and rows * columns >= SMALL_WEIGHT
    return rows * columns * (_PACKED if is_packed else 1)


def _scored(trainer: TrainerSettings, dataset: Dataset) -> int:
    """Examples of the largest batch that is scored."""
    return min(trainer.eval_batch_size, max(len(dataset.split(split)) for split in SPLITS[1:]))


def _samples(dataset: Dataset, width: int) -> int:
    """Bytes of samples, and of the rows that they are compared with."""
    count = max(NUM_SAMPLES, num_compared(dataset)) if is_table(dataset) else NUM_SAMPLES
    compared = count * dataset.num_dims * 4 * _DOUBLE + _PICTURE * is_table(dataset)
    return compared + 12 * 250 * width * _FLOAT


def _data(dataset: Dataset) -> int:
    """Bytes of codes, of counting, and of comparing each pair of variables."""
    counted = max(num_fitted(dataset.train), min(len(dataset.split(dataset.scored)), ROWS))
    order = 2 * _DOUBLE * len(dataset.train)  # of the examples of an epoch
    others = max(len(dataset.train) - counted, 0) * dataset.num_dims
    codes = 0 if dataset.is_mapped else _FLOAT * others
    pairs = 0
    if dataset.num_dims <= MAX_PAIRED and (dataset.is_binary or is_table(dataset)):
        pairs = 4 * _DOUBLE * (2 * dataset.num_dims) ** 2
    cells = counted * dataset.num_dims
    counting = 3 * _DOUBLE * min(cells, _COUNTED) + _SEEN * max(cells - _COUNTED, 0)
    return order + codes + counting + pairs


def _remedy(settings: Settings, dataset: Dataset, estimate: MemoryEstimate) -> str:
    network, weights = settings.model.network(), estimate.parameters + estimate.optimizer
    if estimate.gpu:
        return "fewer rows or columns"
    if max(weights, estimate.checks) >= max(estimate.activations, estimate.data):
        features, params = _widths(network, dataset)
        if network.direct_connections and features * params > MAX_DIRECT:
            return "set model.direct_connections=false"
        if settings.num_members > 1:
            return "fewer members (ordering.num_orderings) or smaller model.hidden_sizes"
        return "smaller model.hidden_sizes"
    if estimate.processes > estimate.activations:
        return "fewer trainer.processes"
    if estimate.activations >= estimate.data:
        return "smaller trainer.batch_size and trainer.eval_batch_size"
    return "fewer rows or columns"
