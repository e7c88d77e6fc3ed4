"""What simple models score on the same test split, so that a broken likelihood shows at once."""

import json
import logging
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset, fingerprint
from made_exp.datasets.baselines.choice import fit_classes
from made_exp.datasets.baselines.coordinates import (
    Coordinates,
    Rows,
    codes_of,
    encoded,
    has_coordinate,
)
from made_exp.datasets.baselines.copula import Copula
from made_exp.datasets.baselines.counting import Independent
from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.datasets.baselines.tree import ChowLiu
from made_exp.datasets.download import cached
from made_exp.datasets.parts import ROWS, fitted_rows
from made_exp.files import atomic_write_json

_log = logging.getLogger(__name__)
Scores = dict[str, Any]
MAX_TABLE = 2**17  # cells of a joint table that is still worth counting
MAX_PAIRED = 3000  # variables, each of which is compared with each: 0.6 GB of counts
_MAX_ROWS = 50_000  # of train and of valid to which what is dear is fitted
_VERSION = 8  # raise it when a baseline changes: the cached file's name holds it


def compute(dataset: Dataset) -> Scores:
    """Test NLL of simple models fitted to train, in nats per example.

    `independent`: every variable on its own, by counting, and numbers by a smooth density too;
    `chow_liu`: the best tree, for binary data and tables (Chow and Liu 1968); `copula`: a Gaussian
    one, for tables with several numbers (both of at most MAX_PAIRED variables);
    `gaussian_mixture`: latent classes, for tables that are not binary, their number chosen on
    valid; `histogram` and `uniform`: the joint table, for one or
    two variables. One is added to the counts of single binary variables, 1/4 to those of a table of
    two, PAIR_COUNT to those of the tree. Missing values (NaN) are left out, in fitting as in
    scoring. Grey levels of dynamic binarization count as the probabilities that they are. Where
    variables are given, these are densities of the others: `independent` ignores what is given, the
    others are given it.

    Returns:
        NLL by name of the baseline, each finite; their standard errors by the same names in
        `stderr`; and in `columns`, where the data are no images, what each variable has of the
        NLL of `independent`, by its name.

    Examples:
        >>> from made_exp.variables.variable import binary_variables
        >>> x = torch.tensor([[0, 0], [1, 1]], dtype=torch.uint8).repeat(50, 1)
        >>> scores = compute(Dataset("twins", binary_variables(2), x, x, x))
        >>> scores["chow_liu"] < scores["independent"], round(scores["uniform"], 3)
        (True, 1.386)
    """
    names = ["independent", *(name for name, suits in _SUITS.items() if suits(dataset))]
    rows, means = dict[str, list[Tensor]]({name: [] for name in names}), list[Tensor]()
    for x in dataset.split(dataset.scored).split(ROWS):
        codes, log_slopes = encoded(dataset.variables, x)
        terms = independent(dataset).terms(codes) + log_slopes
        means.append(terms.mean(0) * len(x))
        rows["independent"].append(terms.sum(1))
        for name in names[1:]:
            rows[name].append(FITTED[name](dataset).log_prob(codes) + log_slopes.sum(1))
    log_probs = {name: torch.cat(parts) for name, parts in rows.items()} | _joint_table(dataset)
    scores: Scores = {name: -float(rows.mean()) for name, rows in log_probs.items()}
    scores["stderr"] = {name: _stderr(rows) for name, rows in log_probs.items()}
    if dataset.image_shape is None:
        of_columns = torch.stack(means).sum(0) / len(log_probs["independent"])
        named = zip(dataset.variables, (-of_columns).tolist(), strict=True)
        scores["columns"] = {v.name: mean for v, mean in named if not v.is_given}
    return scores


def load_or_compute(dataset: Dataset, data_dir: Path) -> Scores:
    """`compute`, kept in `data_dir` under a name made from the dataset's content."""
    if dataset.num_dims > MAX_PAIRED:
        _log.info(
            "no chow_liu and no copula beside the results: they compare each pair of variables, "
            "of at most %d; there are %d",
            MAX_PAIRED,
            dataset.num_dims,
        )
    name = f"baselines/v{_VERSION}-{fingerprint(dataset)[:32]}.json"
    return cached(data_dir, name, lambda: compute(dataset), _read, atomic_write_json)


def _read(path: Path) -> Scores:
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ValueError("not a table of numbers")
    tables = [content["stderr"], content.get("columns", {})]
    numbers = [nll for name, nll in content.items() if name not in ("stderr", "columns")]
    if not all(isinstance(v, float) for v in (*numbers, *(v for t in tables for v in t.values()))):
        raise ValueError("not a table of numbers")
    return content


@lru_cache(maxsize=1)
def independent(dataset: Dataset) -> Independent:
    """Every variable of train on its own."""
    return Independent.fit(dataset.variables, _codes_of_train(dataset))


@lru_cache(maxsize=1)
def tree(dataset: Dataset) -> ChowLiu:
    """The best tree over train."""
    return ChowLiu.fit(independent(dataset), _codes_of_train(dataset))


@lru_cache(maxsize=1)
def classes(dataset: Dataset) -> SimpleDensity:
    """The latent-class model of train whose form valid chose."""
    train, valid = _train_and_valid(dataset, "gaussian_mixture")
    return fit_classes(Coordinates(dataset.variables), train, valid)


@lru_cache(maxsize=1)
def copula(dataset: Dataset) -> Copula:
    """The Gaussian copula of train, shrunk as valid is predicted best."""
    return Copula.fit(independent(dataset), *_train_and_valid(dataset, "copula"))


def _train_and_valid(dataset: Dataset, name: str) -> tuple[Rows, Rows]:
    """Both, taken apart.

    Raises:
        ValueError: If train holds grey levels, which are no rows.
    """
    if dataset.dynamic_binarization:
        raise ValueError(f"model.baselines: no {name} with binarization=dynamic")
    coordinates = Coordinates(dataset.variables)
    generator = torch.Generator().manual_seed(0)
    train, valid = (
        coordinates.rows(codes_of(dataset.variables, _some(dataset.split(split), generator)))
        for split in ("train", "valid")
    )
    return train, valid


def _some(x: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of x (N, D), drawn if there are too many."""
    if len(x) <= _MAX_ROWS:
        return x
    return x[torch.randperm(len(x), generator=generator)[:_MAX_ROWS]]


FITTED: dict[str, Callable[[Dataset], SimpleDensity]] = {
    "independent": independent,
    "chow_liu": tree,
    "copula": copula,
    "gaussian_mixture": classes,
}
"""Simple densities by name, each fitted to a dataset."""


def _is_table(dataset: Dataset) -> bool:
    """Whether it is no picture, and has too many variables for a joint table of values."""
    is_small = dataset.is_discrete and dataset.num_dims < 3
    return dataset.image_shape is None and not is_small


def _suits_tree(dataset: Dataset) -> bool:
    return 1 < dataset.num_dims <= MAX_PAIRED and (dataset.is_binary or _is_table(dataset))


def _suits_copula(dataset: Dataset) -> bool:
    return (
        dataset.num_dims <= MAX_PAIRED
        and _is_table(dataset)
        and sum(map(has_coordinate, dataset.variables)) > 1
    )


def _suits_classes(dataset: Dataset) -> bool:
    return _is_table(dataset) and not dataset.is_binary


_SUITS: dict[str, Callable[[Dataset], bool]] = {
    "chow_liu": _suits_tree,
    "copula": _suits_copula,
    "gaussian_mixture": _suits_classes,
}


def has_missing(dataset: Dataset) -> bool:
    """Whether a value of train or test is missing."""
    splits = (dataset.train, dataset.split(dataset.scored))
    return any(bool(part.isnan().any()) for x in splits for part in x.split(ROWS))


def _codes_of_train(dataset: Dataset) -> Tensor:
    """Codes of train, of some of its rows if they are very many; grey levels as probabilities."""
    train = fitted_rows(dataset.train)
    return (
        train.float() / 255 if dataset.dynamic_binarization else codes_of(dataset.variables, train)
    )


def _stderr(log_probs: Tensor) -> float:
    count = len(log_probs)
    return float(log_probs.std()) / math.sqrt(count) if count > 1 else 0.0


def _joint_table(dataset: Dataset) -> dict[str, Tensor]:
    """Log-probabilities of test by the joint table of one or two variables, and by none."""
    shape = tuple(variable.num_values or 0 for variable in dataset.variables)
    size = math.prod(shape)
    fits = len(shape) <= 2 and 0 < size <= MAX_TABLE and not dataset.dynamic_binarization
    fits = fits and not dataset.given
    if not fits or has_missing(dataset):
        return {}
    strides = torch.tensor([math.prod(shape[d + 1 :]) for d in range(len(shape))])
    train, test = (
        (x.long() * strides).sum(1) for x in (dataset.train, dataset.split(dataset.scored))
    )
    counts = torch.bincount(train, minlength=size).double() + 1 / len(shape) ** 2
    uniform = torch.full((len(test),), -math.log(size), dtype=torch.float64)
    return {"histogram": (counts / counts.sum()).log()[test], "uniform": uniform}
