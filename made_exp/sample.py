"""Draw samples or completions from a finished run: `made-sample --help`."""

import sys
from collections.abc import Sequence

from made_exp.cli.key_value import run_command
from made_exp.settings.commands import SampleSettings


def sample(settings: SampleSettings) -> None:
    """Draw from the run and print where the samples are."""
    from made_exp.experiments.drawing import sample_run  # torch is imported only here

    path = sample_run(
        settings.run,
        num_samples=settings.num_samples,
        path=settings.path,
        seed=settings.seed,
        temperature=settings.temperature,
        observed=settings.observed,
        num_examples=settings.num_examples,
        label=settings.label,
        device=settings.device,
    )
    print(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run made-sample with `argv` (default: sys.argv); the exit code."""
    return run_command(
        SampleSettings,
        sample,
        program="made-sample",
        examples=[
            "run=outputs/runs/RUN",
            "run=outputs/runs/RUN num_samples=1000 path=samples.npz seed=1",
            "run=outputs/runs/RUN observed=top_half num_examples=10 path=completions.png",
            "run=outputs/runs/RUN observed=rows.csv path=completed.csv",
        ],
        argv=argv,
    )


if __name__ == "__main__":
    sys.exit(main())
