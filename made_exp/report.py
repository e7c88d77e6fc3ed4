"""One table, plots and a page over all runs below a folder: `made-report --help`."""

import sys

from made_exp.cli.key_value import Command
from made_exp.settings.commands import ReportSettings


def write_report(settings: ReportSettings) -> object:
    """Write the report; its table, and where the files are."""
    from made_exp.reporting.output import report  # the library of charts takes a second

    return report(**vars(settings))


main = Command(
    "made-report",
    ReportSettings,
    write_report,
    (
        "",
        "path=outputs/sweeps/S group_by=seed",
        "path=outputs/sweeps/S sort=valid_nll output=report",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
