"""The command made-train: checks, Hydra, and an answer for everything that can go wrong."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import hydra

from made_exp.cli import sweeps
from made_exp.cli.command_line import CommandLine, parse_command_line
from made_exp.cli.help import train_help
from made_exp.cli.job import run_job
from made_exp.cli.messages import explain
from made_exp.cli.preflight import preflight
from made_exp.cli.resolvers import conf_dir
from made_exp.errors import JobFailure, TrainingError, is_users_mistake, one_line

_FULL_ERROR = "HYDRA_FULL_ERROR"


def main(argv: Sequence[str] | None = None) -> int:
    """Run made-train with `argv` (default: sys.argv); the exit code.

    0 = done; 1 = a job failed; 2 = a mistake in the input, nothing written; 130 = Ctrl-C;
    143 = terminated.
    """
    try:
        command = parse_command_line(list(sys.argv[1:] if argv is None else argv))
        if command.help:
            print(train_help(command.config_dir))
            return 0
        if command.runs:
            command = preflight(command)
        return _launch(command)
    except JobFailure as failure:
        return answer(failure.error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return answer(error)


def answer(error: BaseException) -> int:
    """Say on stderr what `error` is about; the exit code.

    One line for a mistake of the user and for a run that diverged, a traceback for everything
    else, and for everything where the user has set HYDRA_FULL_ERROR=1.
    """
    mistake = is_users_mistake(error) or _is_about_config(error)
    stopped = isinstance(error, TrainingError) or _is_about_database(error)
    if os.environ.get(_FULL_ERROR) == "1" or not (mistake or stopped):
        traceback.print_exception(error)
    if mistake or stopped:
        text = explain(error) if _is_about_config(error) else _text(error)
        print(f"error: {text}", file=sys.stderr)
    return 2 if mistake else 1


def _text(error: BaseException) -> str:
    if _is_about_database(error):
        return f"the database of the search (hydra.sweeper.storage): {str(error).splitlines()[0]}"
    # A message in several lines, such as Hydra's three hints, is kept as it is.
    return one_line(error) if isinstance(error, OSError) else str(error) or one_line(error)


def _is_about_config(error: BaseException) -> bool:
    return type(error).__module__.split(".")[0] in ("hydra", "omegaconf")


def _is_about_database(error: BaseException) -> bool:
    return type(error).__module__.split(".")[0] in ("sqlalchemy", "sqlite3")


def _launch(command: CommandLine) -> int:
    sweeps.started.clear()
    decorate = hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
    run = decorate(run_job)  # It keeps its own name, so that workers import it by name.
    try:
        with _as_hydra_wants_it(command.argv):
            run()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:
        if _report_failures():
            return 1
        raise
    if _report_failures():
        return 1
    _report_search(command)
    return 0


@contextmanager
def _as_hydra_wants_it(argv: list[str]) -> Iterator[None]:
    # With this variable Hydra raises instead of printing and leaving.
    before, before_argv = os.environ.get(_FULL_ERROR), sys.argv
    os.environ[_FULL_ERROR] = "1"
    sys.argv = [before_argv[0], *argv]
    try:
        yield
    finally:
        sys.argv = before_argv
        if before is None:
            del os.environ[_FULL_ERROR]
        else:
            os.environ[_FULL_ERROR] = before


def _report_failures() -> bool:
    """Print the table of failed jobs of the sweep that has just ended; whether there are any."""
    for sweep in sweeps.started:
        entries = sweeps.read(sweep.folder, sweep.offset)
        entries += sweeps.unanswered(sweep.folder, entries)
        table = sweeps.failure_table(sweep.folder, entries)
        if table:
            _report_search(None)
            print(table, file=sys.stderr)
            return True
    return False


def _report_search(command: CommandLine | None) -> None:
    for sweep in sweeps.started:
        line = sweeps.best_command(sweep.folder)
        if line:
            print(line)
