"""A finished run as the commands after training meet it: its model, its data, its labels."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset, binarized, fingerprint
from made_exp.datasets.registry import (
    DATA_SEED,
    default_data_dir,
    find_arrays,
    find_file,
    load_dataset,
)
from made_exp.datasets.table.plain import schema_of
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.table.sources import absolute_paths, find_tables
from made_exp.datasets.table.text import TextStyle
from made_exp.density.density import Density
from made_exp.errors import CheckpointError, ConfigError, as_config_errors
from made_exp.model.build import build_model
from made_exp.runs.checkpoints import exists, load_checkpoint
from made_exp.runs.folder import RunDirectory
from made_exp.runs.portable import SUFFIX, load_portable
from made_exp.runtime import resolve_device
from made_exp.settings.dataset import FileSettings, NpzSettings, TableSettings
from made_exp.settings.experiment import Settings, from_dict
from made_exp.settings.model import NetworkSettings


class FinishedRun:
    """The best model of a run, and what belongs to it.

    Args:
        path: Folder of the run, one of its checkpoints, or the file that made-export made of it.
        device: auto, cpu, cuda or cuda:N.
        data: Where the file is that it was trained on, if that has moved.

    Attributes:
        model: In evaluation mode, on `device`.
        data: What the model was told of its data, as plain values.
        settings: Of the run.

    Raises:
        ConfigError: If there is no such device, or the file holds no model.
        CheckpointError: If the run holds no model that can be used.
    """

    def __init__(self, path: str | Path, device: str, data: str | None = None) -> None:
        self.path, self._moved = Path(path), data
        with as_config_errors():
            target = resolve_device(device)
        file = self.path if self.path.suffix in (".pt", SUFFIX) else RunDirectory(path).best
        content = _content(file, path)
        try:
            self.data, self.settings = content["data"], from_dict(content["config"])
            settings = _as_built(self.settings, content["model"])
            model = build_model(settings, self.data, device=target)
            model.load_state_dict(content["model"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"{file} does not describe a model: {error}") from error
        self.model = model.to(target).eval()

    def place(self, name: str, folder: str = "") -> Path:
        """Where a new file goes: into a folder of the run, or beside the file of the model."""
        if self.path.is_file():
            return self.path.with_name(f"{self.path.stem}_{name}")
        (self.path / folder).mkdir(exist_ok=True)
        return self.path / folder / name

    @cached_property
    def dataset(self) -> Dataset:
        """The data that the model was trained on.

        Raises:
            ConfigError: If they cannot be had, or have changed.
        """
        options = asdict(self.settings.dataset)
        with as_config_errors():
            if self._moved is not None:
                options |= self._place(self._moved)
            try:
                dataset = load_dataset(**options)
            except ValueError as error:
                hint = "; where it has moved, say data=FILE"
                hint = hint if self._is_file and not self._moved else ""
                raise ValueError(f"{error}{hint}") from error
        if fingerprint(dataset) != self.data["fingerprint"]:
            what = "the data have changed since it was trained"
            what = what if self._moved is None else f"data={self._moved} is not what it learned"
            raise ConfigError(f"{self.path}: {what} ({dataset.name})")
        return dataset

    @property
    def _is_file(self) -> bool:
        """Whether the data are in a file of the user's."""
        return isinstance(self.settings.dataset, FileSettings | TableSettings)

    def _place(self, moved: str) -> dict[str, Any]:
        dataset, here = self.settings.dataset, default_data_dir()
        if not self._is_file:
            raise ValueError(
                f"data={moved}: dataset={dataset.name} of this run is no file of yours"
            )
        if isinstance(dataset, TableSettings):
            return {"path": absolute_paths(moved, here, "data")}
        find = find_arrays if isinstance(dataset, NpzSettings) else find_file
        return {"path": str(find(moved, here, "data"))}

    def examples(self, split: str) -> tuple[Tensor, Tensor | None]:
        """Examples (N, D) of a split and their labels (N,); grey images are binarized once.

        Raises:
            ConfigError: If there are none.
        """
        x = self.dataset.split(split)
        if not len(x):
            raise ConfigError(f"split={split}: {self.path} kept no rows for it; take split=valid")
        if split == "train" and self.dataset.dynamic_binarization:
            x = binarized(x, DATA_SEED)
        return x, self.dataset.context(split)

    @cached_property
    def schema(self) -> TableSchema:
        """How the variables are written in a table."""
        return schema_of(self.data)

    @property
    def table_file(self) -> str:
        """The file of the table, or the first, that new ones are written like; "" if it is gone."""
        path = self._moved or getattr(self.settings.dataset, "path", "")
        if not (path and self.data.get("table")):
            return ""
        try:
            return str(find_tables(path, default_data_dir())[0])
        except (ValueError, OSError):  # a model may have gone elsewhere without its data
            return ""

    @property
    def text_style(self) -> TextStyle:
        """How new rows in delimited text are read: as the table was, or what was drawn from it."""
        settings, usual = self.settings.dataset, TextStyle()
        return TextStyle(
            encoding=getattr(settings, "encoding", usual.encoding),
            header=getattr(settings, "header", usual.header),
            or_utf8=True,
        )

    def class_number(self, label: str | int | None) -> int | None:
        """The class that `label` names, or None.

        Raises:
            ConfigError: If the model has no such class.
        """
        if label is None:
            return None
        num_classes = self.data["num_classes"]
        if not num_classes:
            raise ConfigError(
                f"label={label}: this model has no classes; train with context=labels"
            )
        names = self.data["class_names"] or [str(number) for number in range(num_classes)]
        if str(label) in names:
            return names.index(str(label))
        if str(label).isdigit() and int(label) < num_classes:
            return int(label)
        raise ConfigError(f"label '{label}' is not one of {', '.join(names)}")

    def one_class(self, label: str | int | None) -> int | None:
        """As `class_number`, where a model of classes needs to be told which one is meant."""
        number = self.class_number(label)
        if number is None and self.model.num_classes:
            raise ConfigError("label: this model has classes; say which one is meant, label=...")
        return number


def _as_built(settings: Settings, weights: Mapping[str, Any]) -> Settings:
    """Settings with the latent classes that the weights have, whatever null stands for today."""
    if not isinstance(settings.model, NetworkSettings):
        return settings
    num_classes = len(weights.get("mixture.log_shares", ()))
    return replace(settings, model=replace(settings.model, length_classes=num_classes))


def _content(file: Path, path: str | Path) -> dict[str, Any]:
    """What is in a checkpoint of the run at `path`, or in the file of a model.

    Raises:
        CheckpointError, ConfigError: If it cannot be read.
    """
    if file.suffix == SUFFIX:
        with as_config_errors():
            return load_portable(file)
    if file != Path(path) and Path(path).is_file():
        raise CheckpointError(f"{path} is neither the folder of a run nor a {SUFFIX} file")
    if not exists(file):
        raise CheckpointError(f"{path} holds no trained model: {file} does not exist")
    return load_checkpoint(file)


def load_run(
    path: str | Path, device: str | torch.device = "cpu", *, frames: Any = None
) -> Density:
    """The best model of a run, in evaluation mode.

    Args:
        path: See `FinishedRun`.
        device: See `FinishedRun`.
        frames: See `Density`; default polars for a table, and tensors for other data.

    Raises:
        ConfigError: If there is no such device.
        CheckpointError: If the run holds no model that can be used.
        ValueError: If the library of the frames is not known.

    Examples:
        >>> kept = load_run("outputs/people")  # which fit has made, or made-train
        >>> bool((kept.log_prob(people) == model.log_prob(people)).all())
        True
    """
    run = FinishedRun(path, str(device))
    if not run.data.get("table"):
        return Density(run.model, None, frames)
    return Density(run.model, run.schema, "polars" if frames is None else frames)
