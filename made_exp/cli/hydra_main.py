"""The Hydra application. `run_job` keeps its own name, so that workers import it by name."""

from collections.abc import Callable
from typing import Any

import hydra

from made_exp.cli.conf_folder import conf_dir
from made_exp.cli.job import run_job


def hydra_main() -> Callable[[], Any]:
    """The command: reads sys.argv, composes, and runs one job or a sweep."""
    decorate = hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
    return decorate(run_job)
