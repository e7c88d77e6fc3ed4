"""Draw samples or completions from a finished run: `made-sample --help`."""

import sys
from pathlib import Path

from made_exp.cli.key_value import Command
from made_exp.density.predicate import parse_predicate
from made_exp.settings.commands import SampleSettings


def sample(settings: SampleSettings) -> Path:
    """Draw from the run; where the samples are."""
    if settings.where is not None:
        parse_predicate(settings.where)
    from made_exp.experiments.drawing import sample_run  # torch is imported only here

    return sample_run(settings)


main = Command(
    "made-sample",
    SampleSettings,
    sample,
    (
        "run=outputs/runs/RUN",
        "run=outputs/runs/RUN num_samples=1000 path=samples.npz seed=1",
        "run=outputs/runs/RUN observed=top_half num_examples=10 path=completions.png",
        "run=outputs/runs/RUN 'given={species: Adelie}' num_samples=50 path=adelie.csv",
        "run=outputs/runs/RUN num_samples=1000 path=rows.csv report=true",
        "run=outputs/runs/RUN \"where=age >= 65 and income = '>50K'\" num_samples=50 path=w.csv",
        "run=outputs/runs/RUN balance=income num_samples=50 path=balanced.csv",
        "run=outputs/runs/RUN observed=asked.csv path=completed.csv",
        "run=outputs/runs/RUN observed=asked.parquet num_samples=5 path=completed.parquet",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
