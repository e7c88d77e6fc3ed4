"""Settings of tiny experiments on a table of one's own, for tests of whole runs."""

import json
from pathlib import Path

import numpy as np

from made_exp.experiments import drawing, scoring
from made_exp.settings.commands import EvalSettings, SampleSettings
from made_exp.settings.experiment import from_dict

NUM_DIMS = 8


def write_table(folder, labels=False, image=True):
    """A .npz file of binary rows whose second half copies the first; its path."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 90), ("valid", 40), ("test", 50)):
        half = rng.random((count, NUM_DIMS // 2)) < 0.5
        noise = rng.random(half.shape) < 0.1
        arrays[split] = np.concatenate([half, half ^ noise], 1).astype(np.uint8)
        if labels:
            arrays[f"{split}_labels"] = rng.integers(0, 3, count)
    if image:
        arrays["image_shape"] = np.array([2, NUM_DIMS // 2])
    path = folder / "table.npz"
    if not path.exists():
        np.savez(path, **arrays)
    return path


def make_config(folder, *, labels=False, image=True, **changes):
    """A run of 3 epochs as nested plain values; `changes` are merged into it."""
    path = write_table(folder, labels, image)
    config = {
        "model": {"name": "made", "hidden_sizes": [12]},
        "dataset": {"name": "npz", "path": str(path), "context": "labels" if labels else "none"},
        "optimizer": {"name": "adam", "lr": 1e-2},
        "scheduler": {"name": "constant"},
        "ordering": {"name": "natural"},
        "trainer": {
            "name": "default",
            "epochs": 3,
            "batch_size": 30,
            "device": "cpu",
            "progress": "off",
            "num_samples": 9,
            "samples_every": 0,
            "tensorboard": False,
        },
    }
    for key, value in changes.items():
        if isinstance(value, dict) and "name" not in value:
            config[key] = {**config[key], **value}
        else:
            config[key] = value
    return config


def make_settings(folder, **changes):
    """Settings of such a run; see `make_config`."""
    return from_dict(make_config(folder, **changes))


def read_results(folder):
    """results.json of a run without what depends on the clock, the process or the commit."""
    results = json.loads((folder / "results.json").read_text())
    for key in ("git_commit", "memory_estimate"):  # the estimate begins with what is held now
        results.pop(key, None)
    return {key: value for key, value in results.items() if "second" not in key}


def read_metrics(folder):
    """metrics.jsonl of a run without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def evaluate_run(run, **options):
    """What made-eval finds for a run."""
    return scoring.evaluate_run(EvalSettings(run=str(run), **as_typed(options)))


def sample_run(run, **options):
    """Where made-sample puts what it draws from a run."""
    return drawing.sample_run(SampleSettings(run=str(run), **as_typed(options)))


def as_typed(options):
    return {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
