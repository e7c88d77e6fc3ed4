"""One table, plots and a page over all runs below a folder: `made-report --help`."""

import sys
from collections.abc import Sequence

from made_exp.cli.key_value import run_command
from made_exp.settings.commands import ReportSettings


def write_report(settings: ReportSettings) -> None:
    """Print the table and where the files are."""
    from made_exp.reporting.output import report  # the library of charts takes a second

    outcome = report(
        settings.path,
        group_by=settings.group_by,
        sort=settings.sort,
        output=settings.output,
    )
    if outcome is not None:
        print(outcome)


def main(argv: Sequence[str] | None = None) -> int:
    """Run made-report with `argv` (default: sys.argv); the exit code."""
    return run_command(
        ReportSettings,
        write_report,
        program="made-report",
        examples=[
            "",
            "path=outputs/sweeps/SWEEP group_by=seed",
            "path=outputs/sweeps/SWEEP sort=valid_nll output=report",
        ],
        argv=argv,
    )


if __name__ == "__main__":
    sys.exit(main())
