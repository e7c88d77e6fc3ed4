"""A page about rows that were drawn: how like real rows they are, and whether they are copies."""

import logging
from pathlib import Path

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.datasets.parts import ROWS, some_rows
from made_exp.datasets.table.sources import COMPRESSED
from made_exp.errors import ConfigError
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.table_rows import as_read, fields_of, is_table
from made_exp.files import atomic_write_text
from made_exp.model.evaluation import evaluate
from made_exp.reporting.detection import LACKING
from made_exp.reporting.quality import Quality, quality_of
from made_exp.reporting.synthetic import MARK, Likelihood, make_synthetic_page, scores_of
from made_exp.settings.commands import SampleSettings
from made_exp.variables.missing import left_out, num_left_out

_log = logging.getLogger(__name__)
_MAX_SCORED = 5000
_LOOKED_AT = 4096
# Of train, and of the held-out rows together.
_MAX_CELLS, _MIN_ROWS = 2**22, 10_000


def check_report(run: FinishedRun, settings: SampleSettings, rows: Path) -> None:
    """Raise ConfigError if no page about `rows` can be made, before anything is drawn.

    That is where the real data cannot be had, are no table, or the page would replace another
    file.
    """
    if not settings.report:
        return
    if run.model.num_classes or not is_table(run.dataset) or rows.suffix.lower() == ".png":
        raise ConfigError(
            "report=true compares the columns of tables: take a run of one, and a path that ends "
            "in .csv, .parquet or the like"
        )
    page = page_of(rows)
    if page.exists() and MARK not in page.read_bytes()[:_LOOKED_AT]:
        raise ConfigError(f"path: {page} is no report of made-sample; give the rows another name")


def page_of(rows: Path) -> Path:
    """Where the page about a file of rows is."""
    plain = rows.with_suffix("") if rows.suffix.lower() in COMPRESSED else rows
    return plain.with_name(f"{plain.stem}_report.html")


def write_report(run: FinishedRun, settings: SampleSettings, rows: Path, samples: Tensor) -> None:
    """Write the page about samples (m, D), which are in the file `rows`, and say what it says."""
    data, page = run.dataset, page_of(rows)
    # Of very many rows some, spread evenly; copies alone are looked for among all.
    most = max(_MAX_CELLS // data.num_dims, _MIN_ROWS)
    train = some_rows(data.train, most)
    held_out = torch.cat([some_rows(x, most // 2) for x in (data.valid, data.test)])
    notes = _some_notes(data, len(train), len(held_out))
    patterns = _missing_as_in(data.train, samples, run)
    if patterns is not None:
        samples = samples.masked_fill(patterns, torch.nan)
        notes.append("Cells of the synthetic rows are left out here where real rows lack them.")
    if settings.temperature != 1:
        notes.append(f"Drawn with temperature={settings.temperature:g}, not from the model itself.")
    learned, real, drawn = (as_read(data, x) for x in (train, held_out, samples))
    pieces = (as_read(data, x) for x in data.train.split(ROWS))
    quality = quality_of(learned, real, drawn, fields_of(data), pieces)
    likelihoods = [
        _likelihood(run, name, x)
        for name, x in (("synthetic", samples), ("held-out real", held_out), ("train", train))
    ]
    atomic_write_text(page, make_synthetic_page(quality, likelihoods, data.name, notes))
    if not quality.has_classifier:
        _log.warning("the report has no classifier: it %s", LACKING)
    print(_summary(quality, page))


def _some_notes(data: Dataset, num_train: int, num_held_out: int) -> list[str]:
    whole = (len(data.train), len(data.valid) + len(data.test))
    if (num_train, num_held_out) == whole:
        return []
    return [
        f"Of {whole[0]} rows of train {num_train} were looked at and of {whole[1]} held-out ones "
        f"{num_held_out}, spread evenly; copies were looked for among all of train."
    ]


def _missing_as_in(train: Tensor, samples: Tensor, run: FinishedRun) -> Tensor | None:
    """Where samples (m, D) are to lack a cell as random rows of train do; None for nowhere.

    A model of what is observed alone draws whole rows.
    """
    variables = run.dataset.variables
    if not num_left_out(train, variables).any():
        return None
    source = torch.Generator().manual_seed(0)
    rows = torch.randint(len(train), (len(samples),), generator=source)
    return left_out(train[rows], variables)


def _likelihood(run: FinishedRun, name: str, x: Tensor) -> Likelihood:
    """Of up to so many rows (n, D)."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:_MAX_SCORED]
    found = evaluate(run.model, x[order])
    return Likelihood(name, -found.nll, found.nll_stderr)


def _summary(quality: Quality, page: Path) -> str:
    """The scores, a line each, and where the page is."""
    lines = [f"  {s.name:<16} {s.value:<16} real rows {s.reference}" for s in scores_of(quality)]
    return "\n".join(["synthetic rows against held-out real ones:", *lines, f"report: {page}"])
