"""Drawing from finished runs: new samples, or completions of partly observed examples."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.csv import write_rows
from made_exp.errors import ConfigError, as_config_errors
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.given import Given, given_examples
from made_exp.experiments.pictures import picture_of
from made_exp.files import atomic_path
from made_exp.model.made import MADE
from made_exp.reporting import figures
from made_exp.runs.folder import RunDirectory

# Rows of completions in a picture when the user does not say how many.
_MAX_PICTURED = 5


def sample_run(
    run: str | Path,
    *,
    num_samples: int = 100,
    path: str | Path | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    observed: str | None = None,
    num_examples: int = 10,
    label: str | int | None = None,
    device: str = "auto",
) -> Path:
    """Draw from the best model of a run into a file.

    Args:
        run: Folder of the run.
        num_samples: Examples to draw; with `observed`, completions of each example.
        path: A .png, .npz or .csv file; default one in the run's folder samples/.
        seed: Of the draws.
        temperature: Divides the logits of discrete variables; 1 samples the model.
        observed: top_half, bottom_half, left_half, right_half or random_half of test examples; or
            a .npz file (`x`; `observed`, or NaN for what is unknown; `labels` where the model has
            classes) or a .csv file (empty cells are unknown) of your own.
        num_examples: With a named pattern, how many test examples are completed.
        label: Of a class-conditional model, the only class to draw, by name or number; default
            equally many of each class, or the labels that the completed examples have.
        device: auto, cpu, cuda or cuda:N.

    Returns:
        Where the draws are.

    Raises:
        ConfigError: If the model cannot complete the pattern exactly, or a file does not fit.
        CheckpointError: If the run holds no model that can be used.
    """
    finished = FinishedRun(run, device)
    target = _target(finished, path, seed, observed)
    number = finished.class_number(label)
    generator = torch.Generator().manual_seed(seed)
    if observed is None:
        _draw_samples(finished, target, generator, num_samples, number, temperature)
    else:
        given = given_examples(finished, observed, num_examples, number, generator)
        _draw_completions(finished, target, generator, num_samples, given, temperature)
    return target


def _target(run: FinishedRun, path: str | Path | None, seed: int, observed: str | None) -> Path:
    if path is not None:
        target = Path(path)
        if not target.absolute().parent.is_dir():
            raise ConfigError(f"path: the folder of '{path}' does not exist")
        return target
    what = "samples" if observed is None else f"completions_{Path(observed).stem}"
    is_density = observed is None and len(run.data["variables"]) <= 2
    suffix = ".csv" if run.data.get("table") else ".npz"
    folder = RunDirectory(run.path).samples
    folder.mkdir(exist_ok=True)
    return (
        folder / f"{what}_seed_{seed}{'.png' if run.data['image_shape'] or is_density else suffix}"
    )


def _draw_samples(
    run: FinishedRun,
    target: Path,
    generator: torch.Generator,
    count: int,
    number: int | None,
    temperature: float,
) -> None:
    model, context = run.model, None
    if number is not None:
        context = torch.full((count,), number)
    elif num_classes := model.num_classes:
        context = torch.arange(count) * num_classes // count
    samples = model.sample(
        count, generator=generator, context=context, temperature=temperature
    ).cpu()
    if target.suffix == ".png":
        picture_of(model, run.dataset, samples, target, context=context)
    elif target.suffix == ".csv":
        write_rows(target, run.schema, samples)
    else:
        _write_npz(target, context, samples=_as_given(samples, model))


def _draw_completions(
    run: FinishedRun,
    target: Path,
    generator: torch.Generator,
    count: int,
    given: Given,
    temperature: float,
) -> None:
    if target.suffix != ".npz":
        count = 1 if target.suffix == ".csv" else min(count, _MAX_PICTURED)
    rows = given.repeated(count)
    with as_config_errors():  # A model of fixed orderings completes few patterns.
        drawn = run.model.complete(
            rows.x, rows.known, generator=generator, context=rows.context, temperature=temperature
        ).cpu()
    if target.suffix == ".csv":
        write_rows(target, run.schema, drawn)
    elif target.suffix == ".png":
        _picture_completions(given, drawn, run.data, target)
    else:
        shaped = _as_given(drawn, run.model).reshape(len(given.x), count, -1)
        known, x = given.known.numpy(), given.x.numpy()
        _write_npz(target, given.context, completions=shaped, observed=known, x=x)


def _picture_completions(given: Given, drawn: Tensor, data: dict[str, Any], target: Path) -> None:
    if not data["image_shape"]:
        raise ConfigError("path: completions of a table have no picture; use .npz or .csv")
    largest = max(entry["num_values"] or 2 for entry in data["variables"]) - 1
    figures.completion_grid(
        torch.nan_to_num(given.x.double()).numpy(),
        given.known.numpy(),
        drawn.reshape(len(given.x), -1, drawn.shape[1]).numpy(),
        tuple(data["image_shape"]),
        title=f"{data['name']}, completions",
        max_value=largest,
        path=target,
    )


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
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
