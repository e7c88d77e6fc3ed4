"""Score a finished run: `made-eval --help`."""

import json
import sys
from collections.abc import Sequence

from made_exp.cli.key_value import run_command
from made_exp.settings.commands import EvalSettings


def evaluate(settings: EvalSettings) -> None:
    """Score the run and print the outcome as JSON."""
    from made_exp.experiments.scoring import evaluate_run  # torch is imported only here

    outcome = evaluate_run(
        settings.run,
        split=str(settings.split),
        num_orderings=settings.num_orderings,
        compare=settings.compare,
        batch_size=settings.batch_size,
        device=settings.device,
    )
    print(json.dumps(outcome, indent=2))


def main(argv: Sequence[str] | None = None) -> int:
    """Run made-eval with `argv` (default: sys.argv); the exit code."""
    return run_command(
        EvalSettings,
        evaluate,
        program="made-eval",
        examples=[
            "run=outputs/runs/RUN",
            "run=outputs/runs/RUN split=valid num_orderings=32",
            "run=outputs/runs/RUN compare=outputs/runs/OTHER",
        ],
        argv=argv,
    )


if __name__ == "__main__":
    sys.exit(main())
