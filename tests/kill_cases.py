"""The runs that `kill_loop.py` kills: overrides of made-train, by name."""

import logging

import numpy as np
from experiment_cases import write_table

EACH = [
    "trainer.device=cpu",
    "trainer.progress=off",
    "trainer.patience=null",
    "trainer.num_samples=9",
    "trainer.batch_size=30",
    "trainer.checkpoint_every_seconds=0.1",
    "hydra.job_logging.root.level=WARNING",
]


def npz(folder, *overrides):
    """A run on binary rows, which are small pictures."""
    return [*EACH, "dataset=npz", f"dataset.path={write_table(folder)}", *overrides]


def csv(folder, *overrides):
    """A run of the recipe for tables, small, on mixed columns."""
    rng, path = np.random.default_rng(0), folder / "table.csv"
    rows = ["age,group,wage,city"]
    for _ in range(300):
        age, group = rng.integers(18, 90), rng.choice(["x", "y", ""])
        city = rng.choice(["Ulm", "Bonn", "Trier"])
        rows.append(f"{age},{group},{rng.lognormal(3 + age / 90, 1):.2f},{city}")
    path.write_text("\n".join(rows) + "\n")
    return [
        *EACH,
        "experiment=table",
        f"dataset.path={path}",
        "model.hidden_sizes=[12,12]",
        "trainer.max_minutes=null",
        "trainer.max_steps=300",
        "trainer.tensorboard=false",
        *overrides,
    ]


def agnostic(folder):
    """One network of any order."""
    return npz(
        folder,
        "ordering=agnostic",
        "ordering.num_orderings=5",
        "model.hidden_sizes=[12]",
        "model.dropout=0.2",
        "trainer.epochs=300",
        "trainer.eval_every=5",
        "trainer.tensorboard=true",
    )


def ensemble(folder):
    """Members in two processes."""
    return npz(
        folder,
        "ordering=ensemble",
        "ordering.num_orderings=5",
        "model.hidden_sizes=[12]",
        "trainer.epochs=200",
        "trainer.eval_every=5",
        "trainer.processes=2",
        "trainer.tensorboard=true",
    )


def density(folder):
    """The recipe for binary tables, small, with simple densities in the mixture."""
    return npz(
        folder,
        "experiment=density",
        "model.hidden_sizes=[12,12]",
        "model.baselines=[independent,chow_liu]",
        "ordering.num_orderings=5",
        "scheduler.warmup_steps=50",
        "trainer.sparsity=0.2",
        "trainer.max_steps=1000",
        "trainer.processes=2",
        "trainer.tensorboard=false",
    )


def steps(folder):
    """A budget of steps, annealed; pictures and a film of them."""
    return npz(
        folder,
        "scheduler=anneal",
        "model.hidden_sizes=[12]",
        "trainer.epochs=100000",
        "trainer.max_steps=900",
        "trainer.eval_every=null",
        "trainer.samples_every=20",
        "trainer.animation=true",
        "trainer.tensorboard=false",
    )


def all_rows(folder):
    """A table of which all rows are trained on: a run beside the run finds the length."""
    return csv(
        folder, "dataset.valid_fraction=0", "trainer.max_steps=100", "model.baselines=[copula]"
    )


CASES = {one.__name__: one for one in (agnostic, ensemble, density, steps, csv, all_rows)}


def tensorboard_curve(folder):
    """What TensorBoard shows of the validation NLL."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of each resume
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("valid/nll")]
