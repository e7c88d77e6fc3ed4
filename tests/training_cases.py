"""A tiny training in its own folder, for the tests of everything around it."""

from dataclasses import replace

import torch
from builders import build_made, make_schedules

from made_exp.datasets.base import Dataset
from made_exp.model.evaluation import evaluate
from made_exp.model.implications import start_at_implications
from made_exp.runs.folder import RunDirectory
from made_exp.settings.experiment import OPTIONS, Settings
from made_exp.settings.training import TrainerSettings
from made_exp.training.assembly import make_trainer
from made_exp.training.state import Observer
from made_exp.training.world import ALONE
from made_exp.variables.variable import binary_variables

NUM_DIMS = 6
TRAINER = {
    "epochs": 4,
    "max_steps": None,
    "batch_size": 16,
    "patience": None,
    "eval_every": 1,
    "precision": "fp32",
    "grad_clip": None,
    "weight_averaging": 0.0,
    "max_minutes": None,
    "checkpoint_every_seconds": 1000.0,
    "samples_every": 0,
    "check_numbers": True,
}
OPTIMIZERS = {
    "adam": {"name": "adam", "lr": 1e-2, "betas": [0.9, 0.999]},
    "adamw": {"name": "adamw", "lr": 1e-2, "weight_decay": 0.1},
    "sgd": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
    "adagrad": {"name": "adagrad", "lr": 0.1},
    "adadelta": {"name": "adadelta", "lr": 1.0, "rho": 0.9},
}
SCHEDULERS = {
    "constant": {"name": "constant", "warmup_steps": 5},
    "cosine": {"name": "cosine", "warmup_steps": 2, "final_fraction": 0.1},
    "plateau": {"name": "plateau", "factor": 0.5, "patience": 0, "min_lr": 1e-4},
    "anneal": {"name": "anneal", "warmup_steps": 2, "patience": 1, "fraction": 0.5},
}


class Listener(Observer):
    """Keeps what the loop tells; pulls the plug after step `crash_at`, or in its evaluation."""

    def __init__(self, crash_at=None, *, when_evaluated=False):
        self.crash_at, self.when_evaluated = crash_at, when_evaluated
        self.lines, self.steps = [], []

    def stepped(self, state, epoch, recent_nll):
        self.steps.append(state.step)
        if state.step == self.crash_at and not self.when_evaluated:
            raise Crash

    def evaluated(self, state, train_nll, valid, lr, is_best):
        if state.step == self.crash_at:
            raise Crash
        self.lines.append((state.step, state.epochs_begun, train_nll, valid.nll, lr, is_best))
        return {}


class Crash(Exception):
    """Stands for a machine that stops."""


def make_dataset(num_train=60, binarize=False, num_classes=0, noise=0.1):
    """Rows whose second half copies the first, with a little noise."""
    generator = torch.Generator().manual_seed(7)

    def draw(count):
        half = torch.rand(count, NUM_DIMS // 2, generator=generator) < 0.5
        flipped = torch.rand(half.shape, generator=generator) < noise
        return torch.cat([half, half ^ flipped], 1).to(torch.uint8)

    def labels(count):
        return torch.randint(num_classes, (count,), generator=generator) if num_classes else None

    dataset = Dataset(
        "tiny",
        binary_variables(NUM_DIMS),
        draw(num_train),
        draw(40),
        draw(40),
        train_context=labels(num_train),
        valid_context=labels(40),
        test_context=labels(40),
        num_classes=num_classes,
    )
    if binarize:
        grey = (dataset.train.double() * 200 + 25).to(torch.uint8)
        dataset = replace(dataset, train=grey, dynamic_binarization=True)
    return dataset


def make_case(
    path,
    *,
    device="cpu",
    dtype=torch.float64,
    optimizer="adam",
    scheduler="constant",
    ordering=None,
    network=None,
    trainer=None,
    binarize=False,
    num_classes=0,
    listener=None,
    seed=0,
    kernel="auto",
    hidden_sizes=(8, 8),
    world=ALONE,
    lr=None,
    num_scored=0,
):
    """A trainer of a small model, not yet started, and the listener that observes it."""
    network = network or {}
    noise = 0.0 if network.get("implications") else 0.1
    dataset = make_dataset(binarize=binarize, num_classes=num_classes, noise=noise)
    schedules = make_schedules(
        num_dims=NUM_DIMS, hidden_sizes=hidden_sizes, **(ordering or NATURAL)
    )
    model = build_made(
        dataset.variables,
        schedules,
        num_classes=num_classes,
        backend=kernel,
        generator=torch.Generator().manual_seed(seed),
        **network,
    ).to(device, dtype)
    start_at_implications(model, dataset.train)
    run = RunDirectory(path)
    run.create()
    run.start({}, "")
    chosen = {**OPTIMIZERS[optimizer], **({} if lr is None else {"lr": lr})}
    settings = Settings(
        optimizer=OPTIONS["optimizer"][optimizer](**chosen),
        scheduler=OPTIONS["scheduler"][scheduler](**SCHEDULERS[scheduler]),
        trainer=TrainerSettings(**TRAINER | (trainer or {})),
        seed=seed,
    )

    def validate(shares=None):
        return evaluate(
            model, dataset.valid.to(device), context=dataset.valid_context, num_orderings=1
        )

    made = make_trainer(model, dataset, settings, run, validate, {}, world, num_scored)
    made.observer = listener or Listener()
    return made


NATURAL = {"ordering": "natural"}
AGNOSTIC = {"ordering": "agnostic", "num_orderings": 0, "resample": "both"}
ENSEMBLE = {"ordering": "ensemble", "num_orderings": 3}
