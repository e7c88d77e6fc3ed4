"""What a model must know of its data, as plain values that a checkpoint keeps."""

from typing import Any

import torch

from made_exp.datasets.base import SPLITS, Dataset, fingerprint
from made_exp.datasets.parts import fitted_rows
from made_exp.variables.missing import num_left_out

MAX_GIVEN_ROWS = 10_000


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """What a model must know of its data, as plain values."""
    described = {
        "name": dataset.name,
        "variables": [variable.to_dict() for variable in dataset.variables],
        "image_shape": dataset.image_shape and list(dataset.image_shape),
        "num_classes": dataset.num_classes,
        "class_names": dataset.class_names and list(dataset.class_names),
        "table": dataset.schema,
        "missing": _missing_shares(dataset),
        "given": _given_rows(dataset),
        "lengths": _lengths(dataset),
        "num_train": len(dataset.train),
        "fingerprint": fingerprint(dataset),
    }
    assert _is_plain(described), "a checkpoint with this could not be read"
    return described


def _is_plain(value: Any) -> bool:
    """Whether it is of Python's own types alone, and not of numpy's, which are of them too."""
    if type(value) is dict:
        return all(map(_is_plain, (*value, *value.values())))
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def _missing_shares(dataset: Dataset) -> list[float]:
    """Share of the training examples in which each variable is missing; [] where none ever is.

    A few empty cells may all lie in valid or test: the shares are then zeros, not none.
    """
    counts = {s: num_left_out(dataset.split(s), dataset.variables) for s in SPLITS}
    if not any(bool(own.any()) for own in counts.values()):
        return []
    return (counts["train"].double() / len(dataset.train)).tolist()


def _lengths(dataset: Dataset) -> list[float]:
    """Mean and variance of the number of ones of a training row; [] where rows are not binary."""
    gaps = any(variable.may_be_missing for variable in dataset.variables)
    if not dataset.is_binary or gaps or dataset.num_classes or dataset.dynamic_binarization:
        return []
    lengths = fitted_rows(dataset.train).sum(1, dtype=torch.float64)
    return [float(lengths.mean()), float(lengths.var(correction=0))]


def _given_rows(dataset: Dataset) -> dict[str, Any] | None:
    """The different values that the given variables have together in train, and how often.

    Missing is None, which equals itself. Of more different rows than `MAX_GIVEN_ROWS` so many
    training rows are drawn at random.
    """
    if not dataset.given:
        return None
    missing = torch.inf
    rows = fitted_rows(dataset.train)[:, list(dataset.given)].double()
    rows = rows.nan_to_num(missing, torch.inf, -torch.inf)
    different, counts = rows.unique(dim=0, return_counts=True)
    if len(different) > MAX_GIVEN_ROWS:
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        different, counts = rows[order[:MAX_GIVEN_ROWS]].unique(dim=0, return_counts=True)
    listed = [[None if v == missing else v for v in row] for row in different.tolist()]
    return {"rows": listed, "counts": counts.tolist()}
