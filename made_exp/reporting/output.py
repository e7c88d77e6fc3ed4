"""The whole report: find the runs, make the tables, write CSV, Markdown and the page."""

import io
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from made_exp.errors import ConfigError
from made_exp.files import atomic_write_text
from made_exp.reporting.discovery import find_runs
from made_exp.reporting.page import make_page
from made_exp.reporting.summary import Table, make_tables
from made_exp.reporting.tables import problem_lines, terminal_table, to_csv, to_markdown

_MAX_PROBLEMS = 20
_WIDTH_OF_FILES = 200
# By what our files are known, within so many bytes.
_MARKS = {".csv": b"dataset,", ".md": b"NLL in nats", ".html": b"<title>Report on "}
_LOOKED_AT = 4096


@dataclass(frozen=True)
class Report:
    """What was found and where it was written; as text, what a terminal shows.

    Attributes:
        tables: One a dataset.
        csv: Path of the CSV file.
        markdown: Path of the Markdown file.
        page: Path of the HTML page.
    """

    tables: tuple[Table, ...]
    csv: Path
    markdown: Path
    page: Path

    def __str__(self) -> str:
        is_terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if is_terminal else _WIDTH_OF_FILES
        return self.as_text(width, is_terminal)

    def as_text(self, width: int, colored: bool = False) -> str:
        """The tables, the problems and the paths, for a terminal of `width` columns."""
        buffer = io.StringIO()
        console = Console(file=buffer, width=width, force_terminal=colored)
        for table in self.tables:
            shown, needed = terminal_table(table, width)
            console.print(shown, width=needed, crop=False, no_wrap=True)
            for remark in table.remarks:
                console.print(Text(f"  {remark}"), soft_wrap=True)
        problems = problem_lines(self.tables)
        lines = problems[:_MAX_PROBLEMS]
        if len(problems) > _MAX_PROBLEMS:
            lines.append(f"... and {len(problems) - _MAX_PROBLEMS} more in {self.page}")
        for line in [*lines, "", *map(str, (self.csv, self.markdown, self.page))]:
            console.print(Text(line), soft_wrap=True)
        return buffer.getvalue().rstrip("\n")


def report(
    path: str | Path,
    *,
    group_by: str | None = None,
    sort: str | None = None,
    output: str | Path | None = None,
) -> Report:
    """Report on all runs below `path`: write report.csv, report.md and report.html.

    Args:
        path: A run, a sweep, or a folder with any number of both.
        group_by: A setting to average over, e.g. "seed"; None for one row a run.
        sort: The column to sort by, "-" before it for descending order; test NLL by default.
        output: Folder for the files; `path` by default.

    Raises:
        ValueError: If there are no runs, `group_by` or `sort` is not a name that they have, or a
            file of this name is no report.
        OSError: If a file cannot be written.
    """
    runs = find_runs(path)
    tables = make_tables(runs, group_by=group_by, sort=sort or "test_nll")
    by_run = make_tables(runs) if group_by else []
    folder = Path(path if output is None else output)
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"report.{suffix}" for suffix in ("csv", "md", "html")]
    for file in written:
        _refuse_others(file)
    title = f"Report on {Path(path).resolve().name}".encode(errors="replace").decode()
    atomic_write_text(written[0], to_csv(tables))
    atomic_write_text(written[1], to_markdown(tables))
    atomic_write_text(written[2], make_page(tables, title, folder, by_run))
    return Report(tuple(tables), *written)


def _refuse_others(file: Path) -> None:
    """Raise ConfigError where there is a file that is no report of an earlier call."""
    if not file.exists():
        return
    with open(file, "rb") as stream:
        beginning = stream.read(_LOOKED_AT)
    if _MARKS[file.suffix] not in beginning:
        raise ConfigError(
            f"{file} is no report of made-report; give output=FOLDER, or move it away"
        )
