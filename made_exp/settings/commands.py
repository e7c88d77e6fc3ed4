"""What made-eval, made-sample and made-report can be asked, typed."""

from dataclasses import dataclass
from pathlib import Path

from made_exp.settings.base import MISSING, CheckedSettings, check_device, setting

_PATTERNS = ("top_half", "left_half", "random_half", "bottom_half", "right_half")
_SAMPLE_FILES = (".png", ".npz", ".csv")


@dataclass
class EvalSettings(CheckedSettings):
    """Scores a finished run; prints JSON and writes it into the run."""

    run: str = setting(MISSING, "folder of the run")
    split: str = setting("test", "part of the data", choices=("train", "valid", "test"))
    num_orderings: int | None = setting(
        None, "orderings of the mixture; null = as in training", at_least=1
    )
    compare: str | None = setting(None, "another run: paired difference on the same examples")
    batch_size: int = setting(1000, "examples at a time", at_least=1)
    device: str = setting("auto", "auto, cpu, cuda, cuda:0, ...")

    def _check(self) -> None:
        check_device(self.device)
        check_run(self.run, "run")
        if self.compare is not None:
            check_run(self.compare, "compare")


@dataclass
class SampleSettings(CheckedSettings):
    """Draws new samples, or completions of partly observed examples, from a finished run."""

    run: str = setting(MISSING, "folder of the run")
    num_samples: int = setting(
        100, "how many; with observed: completions of each example", at_least=1
    )
    path: str | None = setting(None, "where: .png, .npz or .csv; null = into the run")
    seed: int = setting(0, "of the draws", at_least=0)
    temperature: float = setting(1.0, "below 1 = likelier values, above 1 = more varied", above=0)
    observed: str | None = setting(
        None, f"{', '.join(_PATTERNS)}, or a .npz or .csv file with the given values"
    )
    num_examples: int = setting(10, "with observed: examples to complete", at_least=1)
    label: str | None = setting(
        None, "class by name or number, where the model has classes; null = all"
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:0, ...")

    def _check(self) -> None:
        check_device(self.device)
        check_run(self.run, "run")
        if self.path is not None and Path(self.path).suffix.lower() not in _SAMPLE_FILES:
            raise ValueError(f"path must end in .png, .npz or .csv, got '{self.path}'")
        if self.observed is not None:
            _check_observed(self.observed)


@dataclass
class ReportSettings(CheckedSettings):
    """One table of all runs below a folder: terminal, CSV, Markdown, HTML page."""

    path: str = setting("outputs", "folder that is searched for runs")
    group_by: str | None = setting(None, "a setting to average over, e.g. seed")
    sort: str | None = setting(
        None, "column to sort by, '-' before it: descending; null = test NLL"
    )
    output: str | None = setting(None, "folder for the files; null = path")

    def _check(self) -> None:
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


def _check_observed(observed: str) -> None:
    if observed in _PATTERNS:
        return
    if Path(observed).suffix.lower() not in (".npz", ".csv"):
        raise ValueError(
            f"observed: '{observed}' is not one of {', '.join(_PATTERNS)}, nor a .npz or .csv file"
        )
    if not Path(observed).is_file():
        raise ValueError(f"observed: file not found: {observed}")
