"""Write the model of a finished run into one file: `made-export --help`."""

import sys
from pathlib import Path

from made_exp.cli.key_value import Command
from made_exp.settings.commands import ExportSettings


def export(settings: ExportSettings) -> Path:
    """Write the file; where it is."""
    from made_exp.experiments.exporting import export_run  # torch is imported only here

    return export_run(settings)


main = Command(
    "made-export",
    ExportSettings,
    export,
    (
        "run=outputs/runs/RUN path=model.safetensors",
        "run=outputs/runs/RUN path=model.onnx",
        "run=outputs/runs/RUN path=model.pt2 num_orderings=2",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
