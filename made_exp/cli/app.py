"""The command made-train: checks, Hydra, and an answer for everything that can go wrong."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra._internal.hydra import Hydra

from made_exp.cli import sweeps
from made_exp.cli.command_line import CommandLine, parse_command_line
from made_exp.cli.help import train_help
from made_exp.cli.job import import_experiment, run_job
from made_exp.cli.launchers import guard_launchers, replaced
from made_exp.cli.messages import FULL_ERROR, answered
from made_exp.cli.preflight import described, preflight
from made_exp.cli.resolvers import conf_dir
from made_exp.cli.resuming import continued
from made_exp.cli.search import guard_search
from made_exp.cli.teaching import taught
from made_exp.cli.version import version_text
from made_exp.errors import as_config_errors, is_the_disks


def main(argv: Sequence[str] | None = None) -> int:
    """Run made-train with `argv` (default: sys.argv); the exit code.

    0 = done; 1 = a job failed; 2 = a mistake in the input, nothing written; 130 = Ctrl-C;
    143 = terminated.
    """
    with _same_environment():
        return answered(lambda: _run(list(sys.argv[1:] if argv is None else argv)))


def _run(argv: list[str]) -> int:
    command = parse_command_line(argv)
    if command.help:
        print(train_help(command.config_dir, command.asked))
        return 0
    if command.version:
        print(version_text())
        return 0
    if not command.runs:
        return _launch(command)
    command = preflight(taught(continued(command)).with_varied_first())
    if settings := described(command):
        import_experiment()
        from made_exp.experiments.understanding import describe

        print(describe(settings))
        return 0
    return _launch(command)


def _launch(command: CommandLine) -> int:
    sweeps.started.clear()
    sweeps.places.clear()
    if command.multirun:
        guard_launchers()
        guard_search()
    decorate = hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
    run = decorate(run_job)  # It keeps its own name, so that workers import it by name.
    try:
        # What is refused here is a setting of a launcher or sweeper: jobs answer for themselves.
        asking = replaced(Hydra, "get_mode", _mode_of_flags)
        with as_config_errors(), _as_hydra_wants_it(command.argv), asking:
            run()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        if _report():
            return 1
        if isinstance(error, OSError) and is_the_disks(error) and not error.filename:
            where = str(next(iter(sweeps.places), "."))
            raise OSError(error.errno, error.strerror, where) from error
        raise
    return int(_report())


@contextmanager
def _as_hydra_wants_it(argv: list[str]) -> Iterator[None]:
    # With this variable Hydra raises instead of printing and leaving.
    before = sys.argv
    sys.argv = [before[0], *argv]
    try:
        with _same_environment():
            os.environ[FULL_ERROR] = "1"
            yield
    finally:
        sys.argv = before


def _mode_of_flags(*_: Any, **__: Any) -> None:
    """The mode in which Hydra runs: none but that of -m.

    Hydra itself composes everything once more to ask the files for it; `preflight` has seen them.
    """


@contextmanager
def _same_environment() -> Iterator[None]:
    """Variables that the command sets for its jobs end with it: it may be called in a process."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _report() -> bool:
    """Print a sweep's best job and what to do next, and the failed jobs; whether there are any."""
    failures = ""
    for folder, offset in sweeps.started.items():
        if found := sweeps.what_next(folder):
            print(found)
        entries = sweeps.read(folder, offset)
        entries += sweeps.unanswered(folder, entries)
        if failures := sweeps.failure_table(folder, entries):
            print(failures, file=sys.stderr)
    return bool(failures)
