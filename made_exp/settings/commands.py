"""What made-eval, made-sample and made-report can be asked, typed."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from omegaconf import MISSING

from made_exp.settings.ranges import above, at_least

_PATTERNS = ("top_half", "left_half", "random_half", "bottom_half", "right_half")
_SAMPLE_FILES = (".png", ".npz", ".csv")


class Split(StrEnum):
    """A part of a dataset."""

    train = "train"
    valid = "valid"
    test = "test"


@dataclass
class EvalSettings:
    """Scores a finished run; prints JSON and writes it into the run."""

    run: str = field(default=MISSING, metadata={"help": "folder of the run"})
    split: Split = field(default=Split.test, metadata={"help": "train, valid or test"})
    num_orderings: int | None = field(
        default=None, metadata={"help": "orderings of the mixture; null = as in training"}
    )
    compare: str | None = field(
        default=None, metadata={"help": "another run: paired difference on the same examples"}
    )
    batch_size: int = field(default=1000, metadata={"help": "examples at a time"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:0, ..."})

    def __post_init__(self) -> None:
        self.split = Split(self.split)
        at_least(self, 1, "num_orderings", "batch_size")
        _check_device(self.device)
        check_run(self.run, "run")
        if self.compare is not None:
            check_run(self.compare, "compare")


@dataclass
class SampleSettings:
    """Draws new samples, or completions of partly observed examples, from a finished run."""

    run: str = field(default=MISSING, metadata={"help": "folder of the run"})
    num_samples: int = field(
        default=100, metadata={"help": "how many; with observed: completions of each example"}
    )
    path: str | None = field(
        default=None, metadata={"help": "where: .png, .npz or .csv; null = into the run"}
    )
    seed: int = field(default=0, metadata={"help": "of the draws"})
    temperature: float = field(
        default=1.0, metadata={"help": "below 1 = likelier values, above 1 = more varied"}
    )
    observed: str | None = field(
        default=None,
        metadata={"help": f"{', '.join(_PATTERNS)}, or a .npz or .csv file with the given values"},
    )
    num_examples: int = field(default=10, metadata={"help": "with observed: examples to complete"})
    label: str | None = field(
        default=None,
        metadata={"help": "class by name or number, where the model has classes; null = all"},
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:0, ..."})

    def __post_init__(self) -> None:
        at_least(self, 1, "num_samples", "num_examples")
        at_least(self, 0, "seed")
        above(self, 0, "temperature")
        _check_device(self.device)
        check_run(self.run, "run")
        if self.path is not None and Path(self.path).suffix.lower() not in _SAMPLE_FILES:
            raise ValueError(f"path must end in .png, .npz or .csv, got '{self.path}'")
        if self.observed is not None:
            _check_observed(self.observed)


@dataclass
class ReportSettings:
    """One table of all runs below a folder: terminal, CSV, Markdown, HTML page."""

    path: str = field(default="outputs", metadata={"help": "folder that is searched for runs"})
    group_by: str | None = field(
        default=None, metadata={"help": "a setting to average over, e.g. seed"}
    )
    sort: str | None = field(
        default=None,
        metadata={"help": "column to sort by, '-' before it: descending; null = test NLL"},
    )
    output: str | None = field(default=None, metadata={"help": "folder for the files; null = path"})

    def __post_init__(self) -> None:
        if not Path(self.path).is_dir():
            raise ValueError(f"path: '{self.path}' is not a folder")
        if self.output is not None and Path(self.output).is_file():
            raise ValueError(f"output: '{self.output}' is a file, not a folder")


def check_run(path: str, name: str) -> None:
    """Raise ValueError unless `path`, the setting `name`, is a folder with a trained model."""
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(f"{name}: '{path}' is not a folder")
    if not (folder / "checkpoints").is_dir():
        raise ValueError(f"{name}: '{path}' holds no trained model (no folder checkpoints/)")


def _check_device(device: str) -> None:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:0, cuda:1, ..., got '{device}'")


def _check_observed(observed: str) -> None:
    if observed in _PATTERNS:
        return
    if Path(observed).suffix.lower() not in (".npz", ".csv"):
        raise ValueError(
            f"observed: '{observed}' is not one of {', '.join(_PATTERNS)}, nor a .npz or .csv file"
        )
    if not Path(observed).is_file():
        raise ValueError(f"observed: file not found: {observed}")
