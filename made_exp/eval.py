"""Score a finished run: `made-eval --help`."""

import sys

from made_exp.cli.key_value import Command
from made_exp.files import json_text
from made_exp.settings.commands import EvalSettings


def evaluate(settings: EvalSettings) -> str:
    """Score the run; the outcome as JSON."""
    from made_exp.experiments.scoring import evaluate_run  # torch is imported only here

    return json_text(evaluate_run(settings), indent=2)


main = Command(
    "made-eval",
    EvalSettings,
    evaluate,
    (
        "run=outputs/runs/RUN",
        "run=outputs/runs/RUN split=valid num_orderings=32",
        "run=outputs/runs/RUN compare=outputs/runs/OTHER",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
