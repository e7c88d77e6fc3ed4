"""What the commands for finished runs can be asked, typed."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from made_exp.datasets.table.sources import COMPRESSED, TABLES
from made_exp.errors import did_you_mean
from made_exp.settings.base import MISSING, CheckedSettings, check_device, setting

MODEL_FILES = (".pt", ".safetensors")
EXPORTS = (".safetensors", ".onnx", ".pt2")
_ANSWERS = (".json", ".png")
PATTERNS = ("top_half", "left_half", "random_half", "bottom_half", "right_half")


@dataclass
class EvalSettings(CheckedSettings):
    """Scores a finished run, or new rows by it (data=FILE path=OUT, or top=N); prints JSON."""

    run: str = setting(MISSING, "folder of the run, or a .safetensors file of made-export")
    split: str = setting("test", "part of the data", choices=("train", "valid", "test"))
    num_orderings: int | None = setting(
        None, "orderings of the mixture; null = as in training", at_least=1
    )
    compare: str | None = setting(None, "another run: paired difference on the same examples")
    plots: bool = setting(
        False, "draw calibration, PIT of numbers, and NLL by column or pixel into the run"
    )
    batch_size: int = setting(4000, "examples at a time", at_least=1)
    data: str | None = setting(
        None,
        "with path or top: new rows, a file, folder or pattern of tables, or .npz with x; "
        "else where the table is that the run was trained on, if it has moved",
    )
    path: str | None = setting(
        None,
        "where the rows go, with log_prob, rank (share of train that is less likely) and a "
        "surprise.COLUMN: .csv, .tsv (also .gz, .zst), .parquet, .feather or .npz",
    )
    top: int | None = setting(
        None, "print so many of the oddest rows, and what makes them odd", at_least=1
    )
    surprise: bool = setting(
        True, "with path: write -log p(cell | earlier ones) of each column; they sum to -log_prob"
    )
    others: bool = setting(
        False, "with path: also write -log p(cell | all others), of models of any order; slower"
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:0, ...")

    def _check(self) -> None:
        check_device(self.device)
        check_run(self.run, "run")
        if self.compare is not None:
            check_run(self.compare, "compare")
        if self.scores_rows and self.data is None:
            raise ValueError("path and top are for new rows: say which, data=FILE")
        if self.scores_rows and self.compare is not None:
            raise ValueError("compare is of the run's own examples: leave out path and top")
        if self.scores_rows and self.plots:
            raise ValueError("plots are of the run's own examples: leave out path and top")
        if self.others and self.path is None:
            raise ValueError("others=true is for new rows: say where they go, path=FILE")
        if self.path is not None and not _can_be_written(Path(self.path), (".npz",)):
            raise ValueError(_endings(".npz", self.path))

    @property
    def scores_rows(self) -> bool:
        """Whether new rows are scored, and not the run's own examples."""
        return self.path is not None or self.top is not None


@dataclass
class SampleSettings(CheckedSettings):
    """Draws new samples, or completions of partly observed examples, from a finished run."""

    run: str = setting(MISSING, "folder of the run, or a .safetensors file of made-export")
    num_samples: int | None = setting(
        None,
        "how many, or completions of each example; null = 100, and 1 of each row into a table",
        at_least=1,
    )
    path: str | None = setting(
        None,
        "where: .png, .npz, .csv, .tsv (also .gz, .zst), .parquet, .feather; null = into the run",
    )
    seed: int = setting(0, "of the draws", at_least=0)
    temperature: float = setting(1.0, "below 1 = likelier values, above 1 = more varied", above=0)
    observed: str | None = setting(
        None, f"{', '.join(PATTERNS)}, or a table or .npz file with the given values"
    )
    given: dict[str, str] = setting(
        {}, "values that all rows have: {COLUMN: VALUE}; the other columns are drawn given them"
    )
    where: str | None = setting(
        None, "what all rows are, as made-query reads it: \"age >= 65 and income = '>50K'\""
    )
    balance: str | None = setting(None, "a column: equally many rows of each of its classes")
    data: str | None = setting(
        None, "where the table is that the run was trained on, if it has moved"
    )
    report: bool = setting(
        False, "also a page, PATH_report.html, that compares rows of a table with real ones"
    )
    num_examples: int = setting(10, "with observed: examples to complete", at_least=1)
    label: str | None = setting(
        None, "class by name or number, where the model has classes; null = all"
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:0, ...")

    def _check(self) -> None:
        check_device(self.device)
        check_run(self.run, "run")
        if self.path is not None and not _can_be_written(Path(self.path)):
            raise ValueError(_endings(".png, .npz", self.path))
        given = [name for name in ("observed", "given", "where", "balance") if getattr(self, name)]
        if (self.where or self.balance) and (self.observed or self.given):
            raise ValueError(f"{' and '.join(given)} all say what is known; take one of them")
        if (self.where or self.balance) and self.temperature != 1:
            raise ValueError(f"{given[-1]} draws from the model as it is: leave temperature at 1")
        if self.report and given:
            raise ValueError(
                f"report=true compares rows of the whole model: take it without {given[0]}"
            )
        if self.observed is not None:
            _check_observed(self.observed)
            if self.given:
                raise ValueError(
                    f"observed={self.observed} and given={self.given} both say what is known; "
                    "take one"
                )


@dataclass
class QuerySettings(CheckedSettings):
    """Answers questions with a finished run: probabilities, means, quantiles, distributions.

    A question is PREDICATE, or PREDICATE | CONDITION, or mean(COLUMN), median(COLUMN),
    quantile(COLUMN, LEVEL) or distribution(COLUMN), with a condition or without. A predicate joins
    tests of columns by and, or, not and parentheses: = != < <= > >= VALUE, in {VALUES}, not in,
    between VALUE and VALUE, is missing, is not missing. Names and values with signs in them stand
    in quotes: income = '>50K'. Comparisons are false of missing cells.
    """

    run: str = setting(MISSING, "folder of the run, or a .safetensors file of made-export")
    queries: list[str] = setting([], "questions; on the command line without this name")
    file: str | None = setting(None, "a file of more questions, one a line; # begins a comment")
    rows: int | None = setting(
        None, "how many rows there are: say how many of them are so", at_least=1
    )
    counted: bool = setting(False, "say beside each probability how many rows of the data are so")
    num_samples: int = setting(1000, "paths, where an answer is not exact", at_least=2)
    seed: int = setting(0, "of the paths", at_least=0)
    json: bool = setting(False, "print JSON")
    path: str | None = setting(
        None, "write the answers: .json, .csv or another table; .png = picture of a distribution"
    )
    label: str | None = setting(None, "class by name or number, where the model has classes")
    device: str = setting("auto", "auto, cpu, cuda, cuda:0, ...")

    def _check(self) -> None:
        check_device(self.device)
        check_run(self.run, "run")
        if self.file is not None and not Path(self.file).is_file():
            raise ValueError(f"file: '{self.file}' is not a file")
        if self.path is not None and not _can_be_written(Path(self.path), _ANSWERS):
            raise ValueError(_endings(", ".join(_ANSWERS), self.path))


@dataclass
class CacheSettings(CheckedSettings):
    """Lists what is kept on disk of tables that do not fit memory, and removes it."""

    remove: str | None = setting(None, "all, or the name of a table in the list")


@dataclass
class ExportSettings(CheckedSettings):
    """Writes the best model of a run into one file that needs neither the run nor its data."""

    run: str = setting(MISSING, "folder of the run, or a .safetensors file of made-export")
    path: str = setting(
        MISSING, "where: .safetensors (made-exp reads it); .onnx or .pt2 (a program of log_prob)"
    )
    num_orderings: int | None = setting(
        None, "orderings of the mixture in a program; null = as in training", at_least=1
    )

    def _check(self) -> None:
        check_run(self.run, "run")
        if Path(self.path).suffix not in EXPORTS:
            hint = did_you_mean(Path(self.path).suffix, EXPORTS)
            raise ValueError(f"path must end in {', '.join(EXPORTS)}; got '{self.path}'{hint}")
        if self.num_orderings is not None and Path(self.path).suffix == ".safetensors":
            raise ValueError(
                f"num_orderings={self.num_orderings}: a .safetensors file holds the whole model"
            )


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
    """Raise ValueError unless `path`, the setting `name`, is a folder or file with a model."""
    folder = Path(path)
    if folder.is_file() and folder.suffix in MODEL_FILES:
        return
    if folder.suffix in MODEL_FILES:
        raise ValueError(f"{name}: file not found: {path}")
    if not folder.is_dir():
        runs = [found.parent.name for found in folder.parent.glob("*/checkpoints")]
        hint = did_you_mean(folder.name, runs)
        raise ValueError(
            f"{name}: '{path}' is neither the folder of a run nor a .safetensors file{hint}"
        )
    if not (folder / "checkpoints").is_dir():
        raise ValueError(f"{name}: '{path}' holds no trained model (no folder checkpoints/)")


def _check_observed(observed: str) -> None:
    if observed in PATTERNS or Path(observed).exists() or glob.has_magic(observed):
        return
    if not Path(observed).suffix:
        hint = did_you_mean(observed, PATTERNS)
        raise ValueError(
            f"observed: '{observed}' is not one of {', '.join(PATTERNS)}, nor a file{hint}"
        )
    raise ValueError(f"observed: file not found: {observed}")


def _endings(others: str, path: str) -> str:
    return (
        f"path must end in {others}, {', '.join(TABLES)}, text also in {', '.join(COMPRESSED)} "
        f"after that; got '{path}'"
    )


def _can_be_written(path: Path, others: Sequence[str] = (".png", ".npz")) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] and suffixes[-1] in COMPRESSED:
        return suffixes[-2:-1] != [] and TABLES.get(suffixes[-2]) == "text"
    return bool(suffixes) and suffixes[-1] in (*others, *TABLES)
