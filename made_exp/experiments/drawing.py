"""Drawing from finished runs: new samples, or completions of partly observed examples."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.csv import write_rows
from made_exp.experiments.experiment import load_data
from made_exp.experiments.given import Given, class_number, given_examples, table_schema
from made_exp.experiments.pictures import picture_of
from made_exp.files import atomic_path
from made_exp.model.made import MADE
from made_exp.reporting import figures
from made_exp.runs.folder import RunDirectory
from made_exp.runs.loading import load_with_description

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
        ValueError: If the model cannot complete the pattern exactly, or a file does not fit.
        CheckpointError: If the run holds no model that can be used.
    """
    model, content = load_with_description(run, device)
    target = _target(Path(run), path, seed, observed, content["data"])
    generator = torch.Generator().manual_seed(seed)
    number = class_number(label, content["data"])
    if observed is not None:
        known = given_examples(content, model, observed, num_examples, number, generator)
        return _complete(model, content["data"], target, generator, known, num_samples, temperature)
    context, num_classes = None, model.num_classes
    if num_classes:
        context = torch.arange(num_samples) * num_classes // num_samples
    if number is not None:
        context = torch.full((num_samples,), number)
    samples = model.sample(
        num_samples, generator=generator, context=context, temperature=temperature
    ).cpu()
    if target.suffix == ".png":
        picture_of(model, load_data(content["config"]), samples, target, context=context)
    elif target.suffix == ".csv":
        write_rows(target, table_schema(content["data"]), samples)
    else:
        labels = {} if context is None else {"labels": context.numpy()}
        _write_npz(target, samples=_as_given(samples, model), **labels)
    return target


def _target(
    run: Path, path: str | Path | None, seed: int, observed: str | None, data: dict[str, Any]
) -> Path:
    if path is not None:
        target = Path(path)
        if not target.absolute().parent.is_dir():
            raise ValueError(f"path: the folder of '{path}' does not exist")
        return target
    what = "samples" if observed is None else f"completions_{Path(observed).stem}"
    has_picture = data["image_shape"] or (observed is None and len(data["variables"]) <= 2)
    suffix = ".png" if has_picture else (".csv" if data.get("table") else ".npz")
    folder = RunDirectory(run).samples
    folder.mkdir(exist_ok=True)
    return folder / f"{what}_seed_{seed}{suffix}"


def _complete(
    model: MADE,
    data: dict[str, Any],
    target: Path,
    generator: torch.Generator,
    given: Given,
    num_samples: int,
    temperature: float,
) -> Path:
    x, known, context = given.x, given.known, given.context
    count = min(num_samples, _MAX_PICTURED) if target.suffix == ".png" else num_samples
    count = 1 if target.suffix == ".csv" else count
    drawn = model.complete(
        x.repeat_interleave(count, 0),
        known.repeat_interleave(count, 0),
        generator=generator,
        context=None if context is None else context.repeat_interleave(count, 0),
        temperature=temperature,
    ).cpu()
    if target.suffix == ".csv":
        write_rows(target, table_schema(data), drawn)
    elif target.suffix == ".png":
        _picture_completions(x, known, drawn, data, target)
    else:
        shaped = _as_given(drawn, model).reshape(len(x), count, -1)
        labels = {} if context is None else {"labels": context.numpy()}
        _write_npz(target, completions=shaped, observed=known.numpy(), x=x.numpy(), **labels)
    return target


def _picture_completions(
    x: Tensor, known: Tensor, drawn: Tensor, data: dict[str, Any], target: Path
) -> None:
    if not data["image_shape"]:
        raise ValueError("path: completions of a table have no picture; use .npz or .csv")
    largest = max(entry["num_values"] or 2 for entry in data["variables"]) - 1
    figures.completion_grid(
        torch.nan_to_num(x.double()).numpy(),
        known.numpy(),
        drawn.reshape(len(x), -1, x.shape[1]).numpy(),
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


def _write_npz(path: Path, **arrays: Any) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
