"""Drawing from finished runs: new samples, or completions of partly observed examples."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.density.completing import drawn_values
from made_exp.errors import ConfigError, as_config_errors
from made_exp.experiments.chosen import chosen_samples
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.given import Given, given_examples, given_row
from made_exp.experiments.pictures import pictures_of
from made_exp.experiments.synthetic import check_report, write_report
from made_exp.experiments.targets import checked_target
from made_exp.experiments.written import write_completed, write_drawn
from made_exp.files import atomic_write_arrays
from made_exp.model.made import MADE
from made_exp.reporting.figures import completion_grid, save_png
from made_exp.settings.commands import SampleSettings

# When the user does not say how many: samples or completions, and rows of them in a picture.
_NUM_SAMPLES, _MAX_PICTURED = 100, 5
_NOT_NEEDED = (
    "data=%s was not needed: it says where the data of the run are, if they have moved; rows to"
    " complete are observed=%s"
)
_log = logging.getLogger(__name__)


def sample_run(settings: SampleSettings) -> Path:
    """Draw from the best model of a run into a file, as `settings` ask; where it is.

    Raises:
        ConfigError: If the model cannot complete the pattern exactly, or a file does not fit.
        CheckpointError: If the run holds no model that can be used.
    """
    run = FinishedRun(settings.run, settings.device, settings.data)
    target = _target(run, settings)
    check_report(run, settings, target)
    generator = torch.Generator().manual_seed(settings.seed)
    draw = _draw_samples if settings.observed is None else _draw_completions
    draw(run, settings, target, generator)
    if settings.data is not None and "dataset" not in vars(run):
        _log.warning(_NOT_NEEDED, settings.data, settings.data)
    return target


def _target(run: FinishedRun, settings: SampleSettings) -> Path:
    if settings.path is not None:
        return checked_target(run, settings.path, settings.observed, settings.data)
    observed = settings.observed
    what = "samples" if observed is None else f"completions_{Path(observed).stem}"
    asked = filter(None, [settings.where, settings.balance])
    what = "_".join([what, *map(_safe, [*settings.given.values(), *asked])])
    suffix = ".csv" if run.data.get("table") else ".npz"
    if run.data["image_shape"] or (observed is None and len(run.data["variables"]) <= 2):
        suffix = ".png"
    return run.place(f"{what}_seed_{settings.seed}{suffix}", "samples")


def _safe(text: str) -> str:
    """A text as a part of the name of a file."""
    return re.sub(r"[^\w.+-]+", "_", text)


def _draw_samples(
    run: FinishedRun, settings: SampleSettings, target: Path, generator: torch.Generator
) -> None:
    model, count, context = run.model, settings.num_samples or _NUM_SAMPLES, None
    number = run.class_number(settings.label)
    if number is not None:
        context = torch.full((count,), number)
    elif num_classes := model.num_classes:
        context = torch.arange(count) * num_classes // count
    options: dict[str, Any] = {
        "generator": generator,
        "context": context,
        "temperature": settings.temperature,
    }
    if settings.where or settings.balance:
        samples = chosen_samples(run, settings, count, run.one_class(settings.label))
    elif settings.given:
        row = given_row(run, settings.given)
        with as_config_errors():
            drawn = model.complete(row.x.expand(count, -1), row.known[0], **options).cpu()
        samples = drawn.where(row.known[0], _on_grids(run, drawn))
    else:
        samples = _on_grids(run, model.sample(count, **options).cpu())
    match target.suffix.lower():
        case ".png":
            save_png(target, pictures_of(model, run.dataset, samples, context=context).whole)
        case ".npz":
            _write_npz(target, context, samples=_as_given(samples, model))
        case _:
            write_drawn(target, run.schema, samples, like=run.table_file)
    if settings.report:
        write_report(run, settings, target, samples)


def _on_grids(run: FinishedRun, x: Tensor) -> Tensor:
    """Draws x (n, D), those of a table rounded to the grids of its columns."""
    if not run.data.get("table"):
        return x
    return torch.from_numpy(run.schema.on_grids(x.double().numpy())).to(x.dtype)


def _draw_completions(
    run: FinishedRun, settings: SampleSettings, target: Path, generator: torch.Generator
) -> None:
    given, suffix = given_examples(run, settings, generator), target.suffix.lower()
    count = settings.num_samples or {".png": _MAX_PICTURED, ".npz": _NUM_SAMPLES}.get(suffix, 1)
    if suffix == ".png":
        count = min(count, _MAX_PICTURED)
    rows = given.repeated(count)
    with as_config_errors():  # A model of fixed orderings completes few patterns.
        drawn = drawn_values(
            run.model,
            rows.x,
            rows.known,
            rows.context,
            generator=generator,
            temperature=settings.temperature,
        )
    match suffix:
        case ".png":
            _picture_completions(given, drawn, run.data, target)
        case ".npz":
            shaped = _as_given(drawn, run.model).reshape(len(given.x), count, -1)
            known, x = given.known.numpy(), given.x.numpy()
            _write_npz(target, given.context, completions=shaped, observed=known, x=x)
        case _:
            with as_config_errors():
                write_completed(target, run.schema, drawn, rows, count)


def _picture_completions(given: Given, drawn: Tensor, data: dict[str, Any], target: Path) -> None:
    if not data["image_shape"]:
        raise ConfigError(
            "path: completions of a table have no picture; use .npz, .csv or .parquet"
        )
    largest = max(entry["num_values"] or 2 for entry in data["variables"]) - 1
    picture = completion_grid(
        torch.nan_to_num(given.x.double()).numpy(),
        given.known.numpy(),
        drawn.reshape(len(given.x), -1, drawn.shape[1]).numpy(),
        tuple(data["image_shape"]),
        title=f"{data['name']}, completions",
        max_value=largest,
    )
    save_png(target, picture)


def _as_given(samples: Tensor, model: MADE) -> np.ndarray:
    """Samples in the smallest type that holds the values of the data."""
    sizes = [variable.num_values for variable in model.groups.variables]
    if any(size is None for size in sizes):
        return samples.numpy()
    largest = max(size or 0 for size in sizes)
    return samples.round().to(torch.uint8 if largest <= 256 else torch.int64).numpy()


def _write_npz(path: Path, labels: Tensor | None, **arrays: Any) -> None:
    if labels is not None:
        arrays["labels"] = labels.numpy()
    atomic_write_arrays(path, arrays)
