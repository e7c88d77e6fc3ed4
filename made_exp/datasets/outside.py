"""A dataset whose loader is the user's own, outside of this package."""

import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from made_exp.datasets.base import SPLITS, Dataset
from made_exp.errors import did_you_mean


def load(
    module: str, function: str, *, seed: int, data_dir: Path, arguments: Mapping[str, Any]
) -> Dataset:
    """What `function` of a module that can be imported, or of a file.py, returns.

    Args:
        module: Its dotted name, or the path of a file that ends in .py.
        function: It takes seed, data_dir and the `arguments` by keyword.
        seed: For what it draws or splits.
        data_dir: Where files are looked for.
        arguments: The user's own settings.

    Raises:
        ValueError: If there is no such function, it does not take these options, or what it
            returns is no `Dataset`, or has a value that is none of its variable.
    """
    found = _module(module)
    if not callable(loader := getattr(found, function, None)):
        raise ValueError(
            f"{module} has no function '{function}'{did_you_mean(function, dir(found))}"
        )
    _check_taken(f"{module}:{function}", loader, ("seed", "data_dir", *arguments))
    dataset = loader(seed=seed, data_dir=data_dir, **arguments)
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{module}:{function} must return a Dataset, got {type(dataset).__name__}")
    if not dataset.is_mapped:
        _check_values(f"{module}:{function}", dataset)
    return dataset


def _check_values(name: str, dataset: Dataset) -> None:
    """Raise ValueError, with row and column, unless all values are some of their variables'."""
    for split in SPLITS:
        for d, variable in enumerate(dataset.variables):
            column, most = dataset.split(split)[:, d].double(), variable.num_values or math.inf
            is_value = (column >= 0) & (column < most) & (column == column.floor())
            is_value = column.isfinite() if variable.is_real else is_value | variable.is_open
            odd = torch.nonzero(~(is_value | column.isnan()))
            if len(odd):
                row = int(odd[0])
                allowed = "a finite number" if variable.is_real else f"one of 0..{most - 1:g}"
                raise ValueError(
                    f"{name}: {split}[{row}, {d}], of {variable.kind} '{variable.name}', must be "
                    f"{allowed}, got {column[row].item():g}"
                )


def load_python(*, loader: str, seed: int, data_dir: Path, arguments: Mapping[str, Any]) -> Dataset:
    """The same of `loader`, FILE.py:FUNCTION or MODULE:FUNCTION."""
    module, _, function = loader.rpartition(":")
    return load(module, function, seed=seed, data_dir=data_dir, arguments=arguments)


def _check_taken(name: str, loader: Callable[..., Any], given: Sequence[str]) -> None:
    """Raise ValueError unless `loader` can be called with these arguments and no others."""
    if twice := [word for word in given[2:] if word in given[:2]]:
        raise ValueError(f"dataset.arguments: '{twice[0]}' is given by the program; leave it out")
    try:
        signature = inspect.signature(loader)
    except (TypeError, ValueError):
        return  # written in C: it says itself what is wrong
    try:
        signature.bind(**dict.fromkeys(given))
    except TypeError as error:
        unknown = [word for word in given[2:] if word not in signature.parameters]
        hint = did_you_mean(unknown[0], list(signature.parameters)) if unknown else ""
        raise ValueError(f"dataset.arguments: {name}: {error}{hint}") from error


def _module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(f"dataset.loader: no module '{name}' ({error})") from error
    # By a name of its own, so that classes of the file can be pickled.
    spec = spec_from_file_location(f"made_exp_outside_{Path(name).stem}", name)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise ValueError(f"dataset.loader: cannot read {name} ({error})") from error
    return module
