"""Train one model, or with -m many: `made-train --help`."""

import sys

from made_exp.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
