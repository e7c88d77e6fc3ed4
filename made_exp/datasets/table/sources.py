"""Which files a user's table is in: a file, a folder, a pattern, or a list of them."""

import glob
from collections.abc import Sequence
from pathlib import Path

from made_exp.datasets.registry import find_file

COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
TABLES = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt", ".dat", ".data"), "text"),
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), "Arrow"),
}
"""Ending of a file that holds a table -> its format."""
_ADVICE = {
    **dict.fromkeys(
        (".xlsx", ".xlsm", ".xls", ".ods"),
        "is a workbook; export the sheet as CSV (Save as: CSV UTF-8), or from Python with "
        "pandas.read_excel(...).to_csv(...)",
    ),
    ".npz": "holds arrays; take dataset=npz",
    **dict.fromkeys(
        (".json", ".jsonl", ".ndjson", ".pkl", ".pickle", ".zip", ".tar", ".7z", ".db", ".sqlite")
        + (".sav", ".dta", ".sas7bdat", ".rds", ".rdata", ".orc", ".h5", ".hdf5", ".npy"),
        "is not read; CSV, TSV, Parquet and Feather (Arrow) are, also compressed as .gz, .zst, "
        ".bz2 or .xz",
    ),
}


def find_tables(
    path: str | Sequence[str], data_dir: Path, setting: str = "dataset.path"
) -> list[Path]:
    """The files of a table, those of a folder or pattern in the order of their names.

    Args:
        path: A file, a folder, a pattern such as `part-*.parquet`, or several of these.
        data_dir: Where a relative path is looked for when the current folder has none.
        setting: What the path was given as, for messages.

    Raises:
        ValueError: If there is no such file, or one of a kind that is not read.
    """
    files = [
        file
        for one in ([path] if isinstance(path, str) else path)
        for file in _files_of(_absolute(one, data_dir, setting), setting)
    ]
    for file in files:
        if advice := _ADVICE.get(_ending(file)):
            raise ValueError(f"{setting}: {file} {advice}")
    if len(formats := set(map(format_of, files))) > 1:
        raise ValueError(
            f"{setting}: {path} has files of several formats ({', '.join(sorted(formats))}); "
            "name those that are meant, or give a pattern such as 'part-*.csv'"
        )
    return files


def absolute_paths(
    path: str | Sequence[str], data_dir: Path, setting: str = "dataset.path"
) -> str | list[str]:
    """The same paths, absolute; arguments and errors of `find_tables`."""
    find_tables(path, data_dir, setting)
    if isinstance(path, str):
        return str(_absolute(path, data_dir, setting))
    return [str(_absolute(one, data_dir, setting)) for one in path]


def _absolute(path: str, data_dir: Path, setting: str) -> Path:
    """Where `path` is: in the current folder, or else in `data_dir`."""
    given = Path(path).expanduser()
    for candidate in (given, data_dir / given):
        if candidate.is_dir() or (_is_pattern(candidate) and _matches(candidate)):
            return candidate.absolute()
    if _is_pattern(given):
        raise ValueError(f"{setting}: no file matches '{path}'")
    return find_file(path, data_dir, setting).absolute()


def format_of(file: Path) -> str:
    """What the name of a file says that it is; text where it says nothing."""
    return TABLES.get(_ending(file), "text")


def _files_of(path: Path, setting: str) -> list[Path]:
    if _is_pattern(path):
        return _matches(path)
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if file.is_file() and file.name[0] not in "._"]
    tables = sorted(file for file in files if _ending(file) in TABLES)
    if not tables:
        below = next((file for file in path.glob("*/*") if _ending(file) in TABLES), None)
        hint = f"; '{path}/*/*{below.suffix}' would read those below it" if below else ""
        raise ValueError(
            f"{setting}: '{path}' is a folder without tables in it (files that end in "
            f"{', '.join(TABLES)}){hint}"
        )
    return tables


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path)) and not path.exists()


def _matches(path: Path) -> list[Path]:
    found = (Path(file) for file in glob.glob(str(path), recursive=True))
    return sorted(file for file in found if file.is_file())


def _ending(file: Path) -> str:
    """The last ending that is none of a compression, in small letters."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
