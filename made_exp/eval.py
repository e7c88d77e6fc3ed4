"""Score a finished run: `made-eval --help`."""

import sys

from made_exp.cli.key_value import Command
from made_exp.files import json_text
from made_exp.settings.commands import EvalSettings


def evaluate(settings: EvalSettings) -> str:
    """Score the run, or new rows by it; the outcome as JSON, after the oddest rows if asked for."""
    if settings.scores_rows:
        from made_exp.experiments.row_scores import score_rows  # torch is imported only here

        shown, outcome = score_rows(settings)
        return "\n\n".join(filter(None, (shown, json_text(outcome, indent=2))))
    from made_exp.experiments.scoring import evaluate_run

    return json_text(evaluate_run(settings), indent=2)


main = Command(
    "made-eval",
    EvalSettings,
    evaluate,
    (
        "run=outputs/runs/RUN",
        "run=outputs/runs/RUN split=valid num_orderings=32",
        "run=outputs/runs/RUN compare=outputs/runs/OTHER",
        "run=outputs/runs/RUN plots=true",
        "run=outputs/runs/RUN data=new.csv path=scored.parquet",
        "run=outputs/runs/RUN data=new.csv top=20",
        "run=outputs/runs/RUN 'data=new/part-*.parquet' path=scored.csv.gz surprise=false",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
